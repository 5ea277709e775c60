import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import {
  type BuildSlot,
  fairOrder,
  isQueued,
  waitingBuild,
  type WaitingBuild,
} from '../../../domain/build/build-queue.ts';

export interface QueueOrderOptions {
  readonly cache: {
    jobs(): Iterable<ObservedBuild>;
    /** Grows whenever a build begins or ceases to be queued. */
    readonly queueVersion: number;
  };
  readonly slotStore: {
    readonly slots: readonly BuildSlot[];
    readonly version: number;
  };
}

interface Order {
  readonly jobs: number;
  readonly slots: number;
  readonly waiting: readonly WaitingBuild[];
  readonly positions: ReadonlyMap<string, number>;
}

/**
 * Who waits, in order. It follows from the Jobs and the slots alone, so that every replica comes to the same positions from its own
 * caches; it is computed once for each version of the two, however many builds wait and ask.
 */
export class QueueOrder {
  readonly #options: QueueOrderOptions;
  #order: Order | undefined;

  constructor(options: QueueOrderOptions) {
    this.#options = options;
  }

  /** Builds that wait to be admitted, in the order in which they will be. */
  get waiting(): readonly WaitingBuild[] {
    return this.#current.waiting;
  }

  /** Position in the queue, from 1; null when it does not wait. */
  positionOf(id: string): number | null {
    return this.#current.positions.get(id) ?? null;
  }

  /** The order for these slots, which may be newer than those of the cache. */
  waitingBeside(slots: readonly BuildSlot[]): readonly WaitingBuild[] {
    return slots === this.#options.slotStore.slots ? this.waiting : this.#findWaiting(slots);
  }

  get #current(): Order {
    const { cache, slotStore } = this.#options;
    const [jobs, slots] = [cache.queueVersion, slotStore.version];
    if (this.#order?.jobs === jobs && this.#order.slots === slots) return this.#order;
    const waiting = this.#findWaiting(slotStore.slots);
    const positions = new Map(waiting.map((build, index) => [build.id, index + 1]));
    this.#order = { jobs, slots, waiting, positions };
    return this.#order;
  }

  #findWaiting(slots: readonly BuildSlot[]): readonly WaitingBuild[] {
    const admitted = new Set(slots.map(({ uid }) => uid));
    const waiting: WaitingBuild[] = [];
    for (const build of this.#options.cache.jobs()) {
      if (isQueued(build) && !admitted.has(build.uid)) waiting.push(waitingBuild(build));
    }
    return fairOrder(waiting, slots);
  }
}
