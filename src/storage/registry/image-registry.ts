import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { parseImageReference } from '../../domain/image/image-reference.ts';
import { type FoundImage, findImage } from './find-image.ts';
import { listTags } from './list-tags.ts';
import type { RegistryConnectionOptions } from './registry-connection.ts';
import { type ReadTime, RegistryReader } from './registry-reader.ts';

export type { FoundImage } from './find-image.ts';
export type { RegistrySettings } from './registry-connection.ts';

export interface FindImageOptions {
  /** What was found last: when the digest is the same, its size and architectures are taken over and no manifest is read. */
  readonly known?: FoundImage | undefined;
  readonly signal: AbortSignal;
}

/** Reads the repositories of one registry. Names of repositories are as `parseImageReference` gives them: `library/python`. */
export interface ImageRegistry {
  /**
   * All tags of a repository, each once.
   *
   * @throws TypeError for what is no name of a repository
   * @throws {RegistryProblem} `RegistryRepositoryMissing`, `RegistryDenied`, `RegistryUnavailable`
   */
  listTags(repository: string, signal: AbortSignal): Promise<readonly string[]>;
  /**
   * The image that a tag or a digest names; null when it is not there.
   *
   * @throws TypeError for what is no name of an image
   * @throws {RegistryProblem} `RegistryDenied`, `RegistryUnavailable`
   */
  findImage(repository: string, tagOrDigest: string, options: FindImageOptions): Promise<FoundImage | null>;
  close(): Promise<void>;
}

/** Works on one registry at the same moment, however many are wanted. */
const CONCURRENCY = 8;
/** Images that are remembered, some 200 bytes each: aliases and tags that move to one that was there before. */
const LATELY = 2_000;
/** Longest time of a work with all its questions and pauses, in answers of the configured time. */
const LISTING_ANSWERS = 30;
const FINDING_ANSWERS = 6;

/** A registry that speaks the OCI distribution protocol. */
export class OciRegistry implements ImageRegistry {
  readonly #reader: RegistryReader;
  readonly #timeout: number;
  readonly #lately = new LRUCache<string, FoundImage>({ max: LATELY });
  readonly #queue = new PQueue({ concurrency: CONCURRENCY });

  constructor(options: RegistryConnectionOptions) {
    this.#reader = new RegistryReader(options);
    this.#timeout = options.settings.timeout;
  }

  close(): Promise<void> {
    return this.#reader.close();
  }

  listTags(repository: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#inTurn([repository, 'latest'], LISTING_ANSWERS, signal, (time) =>
      listTags(this.#reader, repository, time),
    );
  }

  findImage(repository: string, reference: string, { known, signal }: FindImageOptions): Promise<FoundImage | null> {
    return this.#inTurn([repository, reference], FINDING_ANSWERS, signal, async (time) => {
      const found = await findImage(this.#reader, { repository, reference, known, lately: this.#lately }, time);
      if (found !== null && found.size !== null && found.architectures !== null) this.#lately.set(found.digest, found);
      return found;
    });
  }

  /** The time begins with the work, not with the waiting for its turn. */
  async #inTurn<T>(
    [repository, reference]: readonly [string, string],
    answers: number,
    signal: AbortSignal,
    work: (time: ReadTime) => Promise<T>,
  ): Promise<T> {
    const name = `registry.invalid/${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
    // What is no name could be another path of the registry.
    if (parseImageReference(name)?.repository !== repository) throw new TypeError('expected the name of an image');
    return this.#queue.add(() => this.#reader.within(answers * this.#timeout, signal, work), { signal });
  }
}
