import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildExecutor, ObservedRun } from './executor.ts';
import type { ExecutorPool } from './executor-pool.ts';
import type { SlotStore } from '../queue/slot-store.ts';

export interface OrphanedRunsOptions {
  readonly pool: ExecutorPool;
  readonly slotStore: SlotStore;
  readonly logger: Logger;
}

/** Until an executor that could not end something is told again. */
const AGAIN_MS = 2_000;
const REMEMBERED = 5_000;

interface Found {
  readonly executor: BuildExecutor;
  readonly run: ObservedRun;
}

/**
 * What runs for a build beside it: an executor started it and could not say so, it is of an attempt before this one, or its
 * build is gone. It is ended, however long its executor is away, and holds up nothing meanwhile.
 */
export class OrphanedRuns {
  readonly #options: OrphanedRunsOptions;
  /** When an executor was last told in vain to end a build; milliseconds since the epoch. */
  readonly #failedAt = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(options: OrphanedRunsOptions) {
    this.#options = options;
  }

  /**
   * Ends what runs for this build anywhere but where its slot says.
   *
   * @returns milliseconds until to look again; undefined when nothing is left
   */
  async stopOrphans(build: ObservedBuild): Promise<number | undefined> {
    const { pool, slotStore } = this.#options;
    const { id } = build.spec;
    if (!this.#isAny(build)) return undefined;
    // The picture may be old: another controller may have moved the build.
    await slotStore.read();
    return this.#end(
      id,
      [...pool.runsOf(id)].filter((found) => this.#isStray(build, found)),
    );
  }

  /** Ends all that runs for a build of which there is no intent. As above. */
  async stopAll(id: string): Promise<number | undefined> {
    return this.#end(id, [...this.#options.pool.runsOf(id)]);
  }

  #isAny(build: ObservedBuild): boolean {
    return [...this.#options.pool.runsOf(build.spec.id)].some((found) => this.#isStray(build, found));
  }

  #isStray({ spec, uid }: ObservedBuild, { executor, run }: Found): boolean {
    const slot = this.#options.slotStore.find(spec.id, uid);
    if (executor.isHome === true) return slot !== undefined && slot.executor !== executor.name && run.stage !== 'ended';
    return slot?.executor !== executor.name || run.createdAt !== spec.createdAt;
  }

  async #end(id: string, strays: readonly Found[]): Promise<number | undefined> {
    let again: number | undefined;
    for (const { executor } of strays) {
      const key = `${executor.name}/${id}`;
      const left = (this.#failedAt.get(key) ?? 0) + AGAIN_MS - Date.now();
      const isEnded = left <= 0 && (await this.#tell(executor, id));
      if (isEnded) this.#failedAt.delete(key);
      else again = Math.min(again ?? Infinity, left > 0 ? left : AGAIN_MS);
    }
    return again;
  }

  async #tell(executor: BuildExecutor, id: string): Promise<boolean> {
    const { logger } = this.#options;
    const about = { build: id, executor: executor.name };
    try {
      await executor.stop(id);
      logger.info(about, 'ended what ran for a build beside it');
      return true;
    } catch (err) {
      logger.debug({ ...about, err }, 'what runs for a build beside it could not be ended; it is tried again');
      this.#failedAt.set(`${executor.name}/${id}`, Date.now());
      return false;
    }
  }
}
