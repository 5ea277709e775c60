import type { BuildsConfig } from '../../../config/config.ts';
import { BuildProblem, type BuildSpec } from '../../../domain/build/build.ts';
import type { QueueOrder } from './queue-order.ts';
import type { SlotStore } from './slot-store.ts';

export interface RequestBoundsOptions {
  readonly config: BuildsConfig;
  readonly order: Pick<QueueOrder, 'waiting' | 'positionOf'>;
  readonly slotStore: Pick<SlotStore, 'slots'>;
}

/** Requests of one user under way at the same moment, where no more builds of one user may wait. */
const LEAST_UNDER_WAY = 16;
const TRY_LATER_MS = 30_000;
const TRY_SOON_MS = 1_000;

/**
 * The bounds on what may be asked for. Each replica counts what its caches have, and what it is creating itself: between a check and
 * the answer of the API server no cache has that, and requests at the same moment would all find room.
 *
 * Replicas that are asked at the same moment hear of each other's Jobs after a round trip of the watch: the bounds on waiting builds
 * can be exceeded by what the others accept in that time.
 */
export class RequestBounds {
  readonly #options: RequestBoundsOptions;
  /** Builds whose Jobs are being created, by id. */
  readonly #reserved = new Map<string, { readonly user: string; holders: number }>();
  /** Requests under way, by user. */
  readonly #underWay = new Map<string, number>();

  constructor(options: RequestBoundsOptions) {
    this.#options = options;
  }

  /**
   * One more request of this user, whether for a ref or a full commit: each asks the registry.
   *
   * @param user undefined for somebody who asks for many users
   * @returns to be called when the request has ended
   * @throws BuildProblem `QueueFull`
   */
  enter(user: string | undefined): () => void {
    if (user === undefined) return () => undefined;
    const count = this.#underWay.get(user) ?? 0;
    if (count >= Math.max(LEAST_UNDER_WAY, this.#options.config.queue.waitingPerUser)) {
      throw full('You ask for too many builds at once; try again in a moment.', TRY_SOON_MS);
    }
    this.#underWay.set(user, count + 1);
    return () => {
      const left = (this.#underWay.get(user) ?? 1) - 1;
      if (left === 0) this.#underWay.delete(user);
      else this.#underWay.set(user, left);
    };
  }

  /**
   * Room for one more waiting build.
   *
   * @returns to be called when its Job is in the cache, or could not be created
   * @throws BuildProblem `QueueFull`
   */
  reserve({ id, requestedBy }: Pick<BuildSpec, 'id' | 'requestedBy'>): () => void {
    this.#check(id, requestedBy);
    const held = this.#reserved.get(id) ?? { user: requestedBy, holders: 0 };
    held.holders += 1;
    this.#reserved.set(id, held);
    return () => {
      held.holders -= 1;
      if (held.holders === 0) this.#reserved.delete(id);
    };
  }

  #check(id: string, user: string): void {
    const { config, order, slotStore } = this.#options;
    const { waiting, waitingPerUser, running } = config.queue;
    const free = Math.max(0, running - slotStore.slots.length);
    // What is in the cache already is not counted twice; neither is another request for the same build.
    const reserved = [...this.#reserved].filter(([other]) => other !== id && order.positionOf(other) === null);
    if (order.waiting.length + reserved.length >= waiting + free)
      throw full('There are too many builds waiting already; try again later.', TRY_LATER_MS);
    const own = [...order.waiting, ...reserved.map(([, held]) => held)].filter((build) => build.user === user);
    if (own.length >= waitingPerUser)
      throw full('You have too many builds waiting already; try again later.', TRY_LATER_MS);
  }
}

function full(message: string, retryAfterMs: number): BuildProblem {
  return new BuildProblem({ reason: 'QueueFull', message }, { retryAfterMs });
}
