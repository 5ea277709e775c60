import { isDeepStrictEqual } from 'node:util';
import type { Config, ImageSourceConfig } from '../../config/index.ts';
import { buildsUnreached } from '../../config/index.ts';
import { type BuiltImage, builtImageOf, isReached, newestBuilt } from '../../domain/image/built-image.ts';
import type { FoundImage, FoundImages } from '../../domain/image/found-images.ts';
import { parseImageReference } from '../../domain/image/image-reference.ts';
import { RepositoryPatterns } from '../../domain/git/repository-patterns.ts';
import type { BuildService } from '../builds/build-service.ts';
import { lookUp } from './look-up.ts';
import type { Reading, ReadingOptions } from './read-source.ts';

/** Of the builds, what images are taken from. */
export type ReadyBuilds = Pick<BuildService, 'isReady' | 'list'>;

/** A source of images that were built here. */
export type BuiltSource = Pick<ImageSourceConfig, 'name'> & {
  readonly builds: NonNullable<ImageSourceConfig['builds']>;
};

export interface BuiltImagesOptions {
  /** Undefined where nothing is built. */
  readonly builds: ReadyBuilds | undefined;
  /** The configuration that holds now. */
  readonly config: () => Pick<Config, 'builds'>;
}

/** What the ConfigMaps of these sources have as their origin: what is remembered outlives a change of the patterns. */
export const BUILDS_ORIGIN = 'builds';

/**
 * Remembers images that were built here. The Job of a build that is over stays for `builds.retention` only; what its image is called and
 * what it was built from is taken over from it before, into the ConfigMap of each source that has its repository.
 */
export class BuiltImages {
  readonly #options: BuiltImagesOptions;
  /**
   * By source, what the registry did not have when the source was last read, though its build may still be known: it is asked for again
   * with the next reading and not before. Another leader asks once more.
   */
  readonly #missing = new Map<string, ReadonlySet<string>>();

  constructor(options: BuiltImagesOptions) {
    this.#options = options;
  }

  /** Whether there is an image to be taken in, or to be left out because the configuration has changed. */
  hasNews(source: BuiltSource, before: FoundImages | undefined): boolean {
    const missing = this.#missing.get(source.name);
    const there = this.#candidates(source, before).filter(({ reference }) => missing?.has(reference) !== true);
    return !isDeepStrictEqual(newestBuilt(there, source.builds.newest), before?.built ?? []);
  }

  /**
   * Asks the registry for the newest images of each repository, and for older ones in the place of those that are not there any more. What
   * the registry does not say stays.
   */
  async read(source: BuiltSource, options: ReadingOptions): Promise<Reading> {
    const { newest } = source.builds;
    const candidates = this.#candidates(source, options.before);
    const before = this.#missing.get(source.name);
    const missing = new Set<string>();
    const asked = new Set<string>();
    const images = new Map<string, FoundImage>();
    let failure: unknown;
    for (;;) {
      const built = newestBuilt(
        candidates.filter(({ reference }) => !missing.has(reference)),
        newest,
      );
      const next = built.filter(({ reference }) => !asked.has(reference));
      if (next.length === 0) {
        this.#missing.set(source.name, missing);
        return { tags: [], images: imagesOf(built, images), built, ...(failure === undefined ? {} : { failure }) };
      }
      const looked = await lookUp(next.flatMap(named), options);
      failure ??= looked.failure;
      for (const { reference } of next) {
        asked.add(reference);
        const found = looked.images[reference];
        if (found !== undefined) images.set(reference, found);
        else if (looked.missing.has(reference) || before?.has(reference) === true) missing.add(reference);
      }
    }
  }

  /** The source is not configured any more. */
  forget(name: string): void {
    this.#missing.delete(name);
  }

  /** What is remembered and what the builds have, of the repositories of the source. */
  #candidates({ builds: { repositories } }: BuiltSource, before: FoundImages | undefined): BuiltImage[] {
    const { builds } = this.#options;
    const config = this.#options.config().builds;
    if (config === undefined) return [];
    const { denied } = config.repositories;
    const patterns = new RepositoryPatterns({ allowed: repositories, denied });
    const areUnreachedBuilt = buildsUnreached(config.repositories);
    const ready = builds?.isReady() === true ? builds.list({ phase: 'ready' }) : [];
    return [...(before?.built ?? []), ...ready.flatMap((state) => builtImageOf(state) ?? [])].filter(
      ({ repository }) => patterns.admits(repository, repository.ref) && (!areUnreachedBuilt || isReached(repository)),
    );
  }
}

function named({ reference }: BuiltImage) {
  const parsed = parseImageReference(reference);
  return parsed === undefined ? [] : [{ name: reference, reference: parsed }];
}

function imagesOf(built: readonly BuiltImage[], images: ReadonlyMap<string, FoundImage>): Record<string, FoundImage> {
  const found = built.flatMap(({ reference }) => {
    const image = images.get(reference);
    return image === undefined ? [] : [[reference, image] as const];
  });
  return Object.fromEntries(found);
}
