/** Lets those who wait for a change of something know that there was one. Who waits says for how long, by a signal. */
export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** It has changed. */
  notify(key: string): void {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    for (const wake of waiting ?? []) wake();
  }

  /** Resolves at the next change, or when the signal aborts. To be called before what may change is looked at. */
  next(key: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(key) ?? new Set();
    const wake = () => {
      signal.removeEventListener('abort', wake);
      waiting.delete(wake);
      if (waiting.size === 0 && this.#waiting.get(key) === waiting) this.#waiting.delete(key);
      resolve();
    };
    waiting.add(wake);
    this.#waiting.set(key, waiting);
    signal.addEventListener('abort', wake, { once: true });
    if (signal.aborted) wake();
    return promise;
  }

  /** How many wait. */
  get size(): number {
    let size = 0;
    for (const waiting of this.#waiting.values()) size += waiting.size;
    return size;
  }
}
