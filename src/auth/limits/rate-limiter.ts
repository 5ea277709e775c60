import { LRUCache } from 'lru-cache';

export interface Rate {
  /** On average. */
  readonly perSecond: number;
  /** At once, after a quiet time. */
  readonly burst: number;
}

export interface RateLimiterOptions extends Rate {
  /** Most keys that are remembered; those that were quiet for longest are forgotten first. */
  readonly keys?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

const KEYS = 20_000;

/**
 * Counts per key, as a leaking bucket: what is remembered of a key is the one moment at which its bucket is empty again.
 * There is no timer and a bound on the keys, and asking costs no promise.
 */
export class RateLimiter {
  readonly #interval: number;
  readonly #tolerance: number;
  readonly #now: () => number;
  readonly #emptyAt: LRUCache<string, number>;

  constructor({ perSecond, burst, keys = KEYS, now = () => performance.now() }: RateLimiterOptions) {
    this.#interval = 1000 / perSecond;
    this.#tolerance = this.#interval * (burst - 1);
    this.#now = now;
    this.#emptyAt = new LRUCache({ max: keys });
  }

  /** Counts one, unless there were too many. @returns 0, or the milliseconds after which one more is admitted */
  take(key: string): number {
    const wait = this.wait(key);
    if (wait === 0) this.#emptyAt.set(key, Math.max(this.#emptyAt.get(key) ?? 0, this.#now()) + this.#interval);
    return wait;
  }

  /** As `take` after so many others, and counts nothing. */
  wait(key: string, others = 0): number {
    const now = this.#now();
    const emptyAt = Math.max(this.#emptyAt.get(key) ?? 0, now) + others * this.#interval;
    return Math.max(0, emptyAt - now - this.#tolerance);
  }
}
