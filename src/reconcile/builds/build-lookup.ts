import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { buildObjectName } from '../../domain/build/build-intent.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import { Memo } from '../../util/memo.ts';
import type { BuildArchive } from './archive/build-archive.ts';
import type { BuildCache } from './executors/kubernetes/build-cache.ts';

export interface BuildLookupOptions {
  readonly client: KubeClient;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly cache: BuildCache;
  readonly archive: Pick<BuildArchive, 'find'>;
  /** Questions to the API server in a second; those that are too many wait for the next one. */
  readonly perSecond?: number;
  /** How long an answer is taken for the truth, in milliseconds. */
  readonly freshMs?: number;
}

const PER_SECOND = 20;
const FRESH_MS = 1_000;
const REMEMBERED = 10_000;
/** As many seconds' worth of questions may wait. */
const WAITING_SECONDS = 2;
const ID = /^[0-9a-f]{40}$/;

/**
 * Asks for a build where the cache may be behind: another replica has just been asked for it, or has saved it to the archive.
 * Each id is asked for once, however many come for it, and not again for a second. Ids that nobody has made up cost nothing.
 */
export class BuildLookup {
  readonly #options: BuildLookupOptions;
  readonly #asked: LRUCache<string, true>;
  readonly #asking = new Memo<void>();
  readonly #queue: PQueue;
  readonly #most: number;

  constructor(options: BuildLookupOptions) {
    const { perSecond = PER_SECOND, freshMs = FRESH_MS } = options;
    this.#options = options;
    this.#asked = new LRUCache<string, true>({ max: REMEMBERED, ttl: freshMs });
    this.#queue = new PQueue({ interval: 1_000, intervalCap: perSecond, concurrency: perSecond });
    this.#most = perSecond * WAITING_SECONDS;
  }

  /**
   * Resolves when the cache and the index of the archive say of this build what is so.
   *
   * @throws {LabwrightError} `not_ready` (503, with retryAfter) when too many ids are asked for
   */
  async freshen(id: string, signal?: AbortSignal): Promise<void> {
    if (!this.#mayBeBehind(id) || this.#asked.has(id)) return;
    await this.#asking.get(id, signal, async (asking) => {
      if (this.#queue.size >= this.#most) {
        // What is known is an answer; that nothing is known is none.
        if (this.#options.cache.job(id) !== undefined) return;
        throw new LabwrightError('not_ready', 503, 'Too many unknown builds are asked for; try again in a moment', {
          retryAfter: 1,
        });
      }
      await this.#queue.add(() => this.#ask(id, asking), { signal: asking });
      this.#asked.set(id, true);
    });
  }

  /** A build that has failed may have been asked for anew; one that is ready or goes on is what it is. */
  #mayBeBehind(id: string): boolean {
    const known = this.#options.cache.job(id);
    if (known === undefined) return ID.test(id);
    return known.result !== null && known.result.status !== 'ready';
  }

  async #ask(id: string, signal: AbortSignal): Promise<void> {
    const { client, namespace, cache, archive } = this.#options;
    const found = await client.get(Jobs, { namespace, name: buildObjectName(id) }, { signal });
    if (found !== undefined) return cache.observeJob(found);
    const known = cache.job(id);
    if (known !== undefined) cache.forgetJob(id, known.uid);
    await archive.find(id, signal);
  }
}
