import { LRUCache } from 'lru-cache';
import { buildObjectName, type ObservedBuild } from '../../../domain/build/build-intent.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import { Controller } from '../../controller.ts';
import type { Cache } from '../../health.ts';
import type { Result } from '../../work-queue.ts';
import type { BuildScope } from '../build-scope.ts';
import type { SlotStore } from '../queue/slot-store.ts';
import type { BuildExecutor, ObservedRun } from './executor.ts';
import type { ExecutorPool } from './executor-pool.ts';
import type { BuildCache } from './kubernetes/build-cache.ts';

export interface OrphanedRunsOptions extends Omit<BuildScope, 'config' | 'controller'> {
  readonly caches: readonly Cache[];
  readonly cache: Pick<BuildCache, 'job' | 'observeJob'>;
  readonly pool: ExecutorPool;
  readonly slotStore: SlotStore;
  readonly concurrency?: number;
  readonly clock?: Clock;
}

/** Until an executor that could not end something is told again. */
const AGAIN_MS = 2_000;
const REMEMBERED = 5_000;

interface Found {
  readonly executor: BuildExecutor;
  readonly run: ObservedRun;
}

/**
 * `build-orphans`: runs that no slot points to are stopped, and slots that no build has are released. Keys are ids of builds, to be
 * enqueued when the Job, the slot or a run of a build changes.
 *
 * A run is orphaned when an executor has started it and could not say so, when it is of an attempt before this one, or when its
 * build is gone. However long its executor is away, it holds up nothing meanwhile.
 */
export function buildOrphans(options: OrphanedRunsOptions): Controller {
  const { caches, pool, slotStore, concurrency = 4, logger } = options;
  const orphans = new OrphanedRuns(options);
  return new Controller({
    name: 'build-orphans',
    caches,
    sources: [],
    keys: function* () {
      for (const { id } of slotStore.slots) yield id;
      for (const executor of pool.all()) for (const { id } of executor.runs()) yield id;
    },
    reconcile: (id) => orphans.reconcile(id),
    concurrency,
    logger,
  });
}

export class OrphanedRuns {
  readonly #options: OrphanedRunsOptions;
  readonly #clock: Clock;
  /** When an executor was last told in vain to end a build, by the monotonic clock. */
  readonly #failedAt = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(options: OrphanedRunsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  async reconcile(id: string): Promise<Result> {
    const build = this.#options.cache.job(id);
    const again = build === undefined ? await this.#clearUp(id) : await this.#stopOrphans(build);
    return again === undefined ? {} : { requeueAfterMs: again };
  }

  /**
   * Ends what runs for this build anywhere but where its slot says, and releases slots of Jobs before this one.
   *
   * @returns milliseconds until to look again; undefined when nothing is left
   */
  async #stopOrphans(build: ObservedBuild): Promise<number | undefined> {
    const { pool, slotStore } = this.#options;
    const { id } = build.spec;
    await this.#releaseLost(build);
    if (!this.#hasOrphans(build)) return undefined;
    // The cache may be old: another replica may have moved the build.
    await slotStore.read();
    return this.#stop([...pool.runsOf(id)].filter((found) => this.#isOrphan(build, found)));
  }

  /** A slot of an earlier Job, which has vanished without anybody noticing. The cache of Jobs may be older than the slot. */
  async #releaseLost({ spec, uid, name }: ObservedBuild): Promise<void> {
    const { client, namespace, slotStore, cache } = this.#options;
    const { id } = spec;
    if (!slotStore.slots.some((slot) => slot.id === id && slot.uid !== uid)) return;
    const found = await client.get(Jobs, { namespace, name });
    if (found === undefined) return;
    cache.observeJob(found);
    await slotStore.releaseOthers(id, found.metadata?.uid);
  }

  /** There is no Job: nothing of it may run or hold a slot. The cache may be old, so the API server is asked. */
  async #clearUp(id: string): Promise<number | undefined> {
    const { client, namespace, slotStore, pool, cache } = this.#options;
    const hasSlot = slotStore.slots.some((slot) => slot.id === id);
    if (!hasSlot && [...pool.runsOf(id)].length === 0) return undefined;
    const found = await client.get(Jobs, { namespace, name: buildObjectName(id) });
    if (found !== undefined) {
      cache.observeJob(found);
      return undefined;
    }
    const again = await this.#stop([...pool.runsOf(id)]);
    await slotStore.releaseOthers(id, undefined);
    return again;
  }

  #hasOrphans(build: ObservedBuild): boolean {
    return [...this.#options.pool.runsOf(build.spec.id)].some((found) => this.#isOrphan(build, found));
  }

  #isOrphan({ spec, uid, result }: ObservedBuild, { executor, run }: Found): boolean {
    const slot = this.#options.slotStore.find(spec.id, uid);
    // What has ended stays for a while with its log; the controller `builds` removes it.
    const isHeld = slot === undefined && result?.ran?.executor === executor.name && run.stage === 'ended';
    if (isHeld && run.createdAt === spec.createdAt) return false;
    if (executor.isLocal === true)
      return slot !== undefined && slot.executor !== executor.name && run.stage !== 'ended';
    return slot?.executor !== executor.name || run.createdAt !== spec.createdAt;
  }

  async #stop(orphans: readonly Found[]): Promise<number | undefined> {
    let again: number | undefined;
    for (const { executor, run } of orphans) {
      const key = `${executor.name}/${run.id}`;
      const left = (this.#failedAt.get(key) ?? -Infinity) + AGAIN_MS - this.#clock.monotonic();
      const isStopped = left <= 0 && (await this.#stopRun(executor, run));
      if (isStopped) this.#failedAt.delete(key);
      else again = Math.min(again ?? Infinity, left > 0 ? left : AGAIN_MS);
    }
    return again;
  }

  async #stopRun(executor: BuildExecutor, run: ObservedRun): Promise<boolean> {
    const { logger } = this.#options;
    const about = { build: run.id, executor: executor.name };
    try {
      await executor.stop(run);
      logger.info(about, 'stopped an orphaned run of a build');
      return true;
    } catch (err) {
      logger.debug({ ...about, err }, 'an orphaned run of a build could not be stopped; will retry');
      this.#failedAt.set(`${executor.name}/${run.id}`, this.#clock.monotonic());
      return false;
    }
  }
}
