import { sleep } from './sleep.ts';

export interface BackoffOptions {
  /** The first delay, in milliseconds; it doubles with each further failure in a row. */
  readonly firstMs: number;
  readonly longestMs: number;
  /** Between 0 and 1; tests own it. */
  readonly random?: () => number;
}

/**
 * How long to wait after so many failures in a row: doubling, bounded, and with jitter (half to all of it), so that those who
 * failed together do not come back together.
 *
 * @param failures at least 1
 * @returns milliseconds
 */
export function backoffMs(failures: number, { firstMs, longestMs, random = Math.random }: BackoffOptions): number {
  return Math.min(firstMs * 2 ** (failures - 1), longestMs) * (0.5 + random() / 2);
}

/** A delay around so many milliseconds (a tenth less to a tenth more), so that what repeats does not run in step. */
export function jittered(ms: number, random: () => number = Math.random): number {
  return ms * (0.9 + random() / 5);
}

/** The delays after failures in a row of one thing. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Failures since the last `reset`. */
  get failures(): number {
    return this.#failures;
  }

  /** One more failure. @returns milliseconds to wait before the next attempt */
  next(): number {
    this.#failures += 1;
    return backoffMs(this.#failures, this.#options);
  }

  /** It has worked. */
  reset(): void {
    this.#failures = 0;
  }
}

export interface RetryOptions extends BackoffOptions {
  /** How often it is tried at most. */
  readonly attempts: number;
  /**
   * Whether what has failed with this error is tried again: for how many milliseconds it is to be left alone besides the
   * backoff, or undefined.
   */
  readonly again: (error: unknown) => number | undefined;
  /** Moment of the monotonic clock after which no attempt begins. */
  readonly endsAt?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Tries something a few times. What it throws last is what is thrown, also where the signal aborts during a pause. */
export async function retry<T>(options: RetryOptions, attempt: () => Promise<T>): Promise<T> {
  const { attempts, again, endsAt = Number.POSITIVE_INFINITY, signal } = options;
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      const rest = failures < attempts ? again(error) : undefined;
      if (rest === undefined) throw error;
      const wait = rest + backoffMs(failures, options);
      if (performance.now() + wait >= endsAt) throw error;
      await sleep(wait, signal);
      if (signal?.aborted === true) throw error;
    }
  }
}
