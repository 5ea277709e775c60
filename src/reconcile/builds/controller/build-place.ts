import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { SlotStore } from '../queue/slot-store.ts';

/** Where a build runs or ran: what its slot says, then what its result says, and the cluster itself for any other. */
export function executorOf(
  { spec, uid, result }: ObservedBuild,
  { slotStore, pool }: { readonly slotStore: SlotStore; readonly pool: ExecutorPool },
): BuildExecutor | undefined {
  const name = slotStore.find(spec.id, uid)?.executor ?? result?.ran?.executor;
  return name === undefined ? pool.local : pool.get(name);
}
