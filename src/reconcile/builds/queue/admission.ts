import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import {
  admit,
  type BuildSlot,
  fairOrder,
  type QueueBounds,
  type WaitingBuild,
} from '../../../domain/build/build-queue.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { KubernetesWatches } from '../executors/kubernetes/kubernetes-watches.ts';
import type { SlotStore } from './slot-store.ts';

export interface AdmissionOptions {
  readonly watches: KubernetesWatches;
  readonly slotStore: SlotStore;
  readonly pool: ExecutorPool;
  readonly bounds: QueueBounds;
  /** It could not be written whose turn it is; it is tried again when somebody asks. */
  readonly onError: (error: unknown) => void;
}

const RETRY_MS = 1_000;

/** Gives waiting builds their turn. One run at a time; what is asked for meanwhile makes one more. */
export class Admission {
  readonly #options: AdmissionOptions;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;
  /** Who waits, in order, and the place of each; computed when somebody wants it after a change. */
  #order: readonly WaitingBuild[] | undefined;
  #places: ReadonlyMap<string, number> | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** Builds or slots are not what they were. */
  changed(): void {
    this.#forgetOrder();
    this.request();
  }

  /** It may be somebody's turn. */
  request(): void {
    this.#isAsked = true;
    if (this.#running !== undefined || this.#isStopped) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // Asked in the very moment in which it ended.
      if (this.#isAsked) this.request();
    });
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Builds that wait for their turn, in the order in which they get it. */
  waiting(): readonly WaitingBuild[] {
    this.#order ??= fairOrder(this.#findWaiting(this.#options.slotStore.slots), this.#options.slotStore.slots);
    return this.#order;
  }

  /** Place in the queue, from 1; null when it does not wait. */
  positionOf(id: string): number | null {
    this.#places ??= new Map(this.waiting().map((build, index) => [build.id, index + 1]));
    return this.#places.get(id) ?? null;
  }

  #forgetOrder(): void {
    this.#order = undefined;
    this.#places = undefined;
  }

  async #run(): Promise<void> {
    while (this.#isAsked && !this.#isStopped) {
      this.#isAsked = false;
      try {
        await this.#admit();
      } catch (error) {
        this.#options.onError(error);
        this.#again(RETRY_MS);
      }
    }
  }

  async #admit(): Promise<void> {
    const { slotStore, pool, bounds } = this.#options;
    await slotStore.change((slots) => {
      const taken = [...slots, ...this.#findUnlisted(slots)];
      const admitted = admit(this.#findWaiting(slots), taken, bounds, pool.places(), Date.now());
      return admitted.length === 0 ? slots : [...slots, ...admitted];
    });
    this.#forgetOrder();
    const returns = pool.nextReturn();
    if (returns !== undefined) this.#again(returns);
  }

  #findWaiting(slots: readonly BuildSlot[]): WaitingBuild[] {
    const taken = new Set(slots.map(({ uid }) => uid));
    return [...this.#options.watches.jobs()]
      .filter((build) => isWaiting(build) && !taken.has(build.uid))
      .map(asWaiting);
  }

  /** Builds that somebody has released, or whose slots were lost: they have a place until it is written down again. */
  #findUnlisted(slots: readonly BuildSlot[]): BuildSlot[] {
    const listed = new Set(slots.map(({ uid }) => uid));
    const { home } = this.#options.pool;
    if (home === undefined) return [];
    return [...this.#options.watches.jobs()]
      .filter(
        ({ suspended, result, finished, uid }) =>
          !suspended && result === null && finished === null && !listed.has(uid),
      )
      .map((build) => ({ ...asWaiting(build), executor: home.name, at: 0 }));
  }

  #again(ms: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.request(), ms);
  }
}

function isWaiting({ suspended, result, cancel, terminating, finished }: ObservedBuild): boolean {
  return suspended && result === null && cancel === null && !terminating && finished === null;
}

function asWaiting({ spec, uid }: ObservedBuild): WaitingBuild {
  const { id, requestedBy, repository, createdAt } = spec;
  return { id, uid, user: requestedBy, repository: repository.url, createdAt };
}
