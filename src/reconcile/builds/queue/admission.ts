import { admitInOrder, type BuildSlot, type QueueBounds, waitingBuild } from '../../../domain/build/build-queue.ts';
import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import { Controller, type Run } from '../../controller.ts';
import type { Cache } from '../../health.ts';
import type { Result } from '../../work-queue.ts';
import type { BuildScope } from '../build-scope.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { QueueOrder } from './queue-order.ts';
import type { SlotStore } from './slot-store.ts';

export interface AdmissionOptions extends Pick<BuildScope, 'logger'> {
  readonly bounds: QueueBounds;
  readonly caches: readonly Cache[];
  readonly cache: { jobs(): Iterable<ObservedBuild> };
  readonly slotStore: Pick<SlotStore, 'change'>;
  readonly order: QueueOrder;
  readonly pool: Pick<ExecutorPool, 'local' | 'places' | 'nextReturn'>;
}

/** The only key of `build-admission`: all builds that wait are looked at together. */
export const ADMISSION = 'queue';

/**
 * Admits waiting builds, as far as the bounds and the executors leave room.
 *
 * | it is enqueued | by |
 * |---|---|
 * | when a Job or a slot changes, or an executor becomes ready | whoever has the caches, with `enqueue(ADMISSION)` |
 * | when the first quarantine of an executor ends | itself |
 */
export function buildAdmission({ logger, caches, ...options }: AdmissionOptions): Controller {
  return new Controller({
    name: 'build-admission',
    caches,
    sources: [],
    keys: () => [ADMISSION],
    reconcile: (_key, run) => admitBuilds(options, run),
    maxDelayMs: 1_000,
    logger,
  });
}

async function admitBuilds(
  { bounds, cache, slotStore, order, pool }: Omit<AdmissionOptions, 'logger' | 'caches'>,
  { clock }: Run,
): Promise<Result> {
  await slotStore.change((slots) => {
    const taken = [...slots, ...findUnlisted(cache.jobs(), slots, pool.local?.name)];
    const admitted = admitInOrder(order.waitingBeside(slots), taken, bounds, pool.places(), clock.now());
    return admitted.length === 0 ? slots : [...slots, ...admitted];
  });
  const next = pool.nextReturn();
  return next === undefined ? {} : { requeueAfterMs: next };
}

/** Builds that somebody has released, or whose slots were lost: they count until their slots are written again. */
function findUnlisted(
  jobs: Iterable<ObservedBuild>,
  slots: readonly BuildSlot[],
  local: string | undefined,
): BuildSlot[] {
  if (local === undefined) return [];
  const listed = new Set(slots.map(({ uid }) => uid));
  return [...jobs]
    .filter((build) => isReleased(build) && !listed.has(build.uid))
    .map((build) => ({ ...waitingBuild(build), executor: local, at: 0 }));
}

function isReleased({ suspended, result, finished }: ObservedBuild): boolean {
  return !suspended && result === null && finished === null;
}
