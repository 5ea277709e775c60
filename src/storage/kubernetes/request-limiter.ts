export type Priority = 'interactive' | 'background';

export interface RequestLimiterOptions {
  /** Sustained calls per second. */
  readonly requestsPerSecond: number;
  /** Calls that may start at once after a quiet time. */
  readonly burst: number;
  /** Calls under way at the same moment. */
  readonly inFlight: number;
}

/**
 * What keeps one controller from overwhelming an API server: a token bucket and a bound on calls under way.
 *
 * Calls that a person waits for go before background work (collecting old namespaces), in order of arrival within each.
 */
export class RequestLimiter {
  readonly #options: RequestLimiterOptions;
  readonly #waiting: Record<Priority, Array<() => void>> = { interactive: [], background: [] };
  #tokens: number;
  #filledAt = performance.now();
  #inFlight = 0;
  /** Set while calls wait for nothing but their token. */
  #refill: NodeJS.Timeout | undefined;

  constructor(options: RequestLimiterOptions) {
    this.#options = options;
    this.#tokens = options.burst;
  }

  /** Waits for this call's turn. The caller must call `release` when its call has ended. */
  async acquire(priority: Priority, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#nobodyWaits() && this.#take()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const lane = this.#waiting[priority];
    const abort = () => {
      const place = lane.indexOf(resolve);
      if (place < 0) return;
      lane.splice(place, 1);
      if (this.#nobodyWaits()) this.#stopRefill();
      reject(signal.reason as Error);
    };
    lane.push(resolve);
    signal.addEventListener('abort', abort, { once: true });
    this.#next();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  release(): void {
    this.#inFlight -= 1;
    this.#next();
  }

  #nobodyWaits(): boolean {
    return this.#waiting.interactive.length === 0 && this.#waiting.background.length === 0;
  }

  /** Takes one token and one place if both are there. */
  #take(): boolean {
    const now = performance.now();
    const { requestsPerSecond, burst, inFlight } = this.#options;
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filledAt) / 1000) * requestsPerSecond);
    this.#filledAt = now;
    if (this.#inFlight >= inFlight || this.#tokens < 1) return false;
    this.#tokens -= 1;
    this.#inFlight += 1;
    return true;
  }

  #next(): void {
    while (!this.#nobodyWaits() && this.#take()) {
      (this.#waiting.interactive.shift() ?? this.#waiting.background.shift())?.();
    }
    if (this.#nobodyWaits() || this.#tokens >= 1 || this.#refill !== undefined) return;
    const missing = 1 - this.#tokens;
    this.#refill = setTimeout(
      () => {
        this.#stopRefill();
        this.#next();
      },
      Math.ceil((missing / this.#options.requestsPerSecond) * 1000),
    );
  }

  #stopRefill(): void {
    clearTimeout(this.#refill);
    this.#refill = undefined;
  }
}
