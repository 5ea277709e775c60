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
