import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import type { Admission } from './admission.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { KubernetesWatches } from '../executors/kubernetes/kubernetes-watches.ts';
import type { SlotStore } from './slot-store.ts';

export interface BuildTurnsOptions {
  readonly client: KubeClient;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly watches: KubernetesWatches;
  readonly slotStore: SlotStore;
  readonly pool: ExecutorPool;
  readonly admission: Admission;
}

/** Where builds run, and who has a slot: changes of the slotStore that concern one build. */
export class BuildTurns {
  readonly #options: BuildTurnsOptions;

  constructor(options: BuildTurnsOptions) {
    this.#options = options;
  }

  /** Where it runs: what its slot says, and the cluster itself for one that somebody has released. */
  executorOf({ spec, uid }: ObservedBuild): BuildExecutor | undefined {
    const { slotStore, pool } = this.#options;
    const slot = slotStore.find(spec.id, uid);
    return slot === undefined ? pool.home : pool.get(slot.executor);
  }

  /** A build that runs without having been admitted takes a place all the same. */
  async take({ spec, uid }: ObservedBuild): Promise<void> {
    const { slotStore, pool } = this.#options;
    const [first] = pool.all();
    const taken = {
      ...{ id: spec.id, uid, user: spec.requestedBy, repository: spec.repository.url },
      ...{ executor: (pool.home ?? first)?.name ?? '', at: Date.now() },
    };
    await slotStore.change((slots) => (slots.some((slot) => slot.uid === uid) ? slots : [...slots, taken]));
  }

  /** The slot is given back: the build is over, or waits for another executor, before all others. */
  async giveBack({ uid }: ObservedBuild): Promise<void> {
    await this.#options.slotStore.remove((slot) => slot.uid === uid);
    this.#options.admission.request();
  }

  /** A slot of a Job before this one, which has vanished without anybody noticing. The picture may be older than the slot. */
  async freeLost({ spec, uid, name }: ObservedBuild): Promise<void> {
    const { client, namespace, slotStore, watches, admission } = this.#options;
    const { id } = spec;
    if (!slotStore.slots.some((slot) => slot.id === id && slot.uid !== uid)) return;
    const found = await client.get(Jobs, { namespace, name });
    if (found === undefined) return;
    watches.observeJob(found);
    await slotStore.remove((slot) => slot.id === id && slot.uid !== found.metadata?.uid);
    admission.request();
  }

  /** There is no such build any more. */
  async freeAll(id: string): Promise<void> {
    await this.#options.slotStore.remove((slot) => slot.id === id);
    this.#options.admission.request();
  }
}
