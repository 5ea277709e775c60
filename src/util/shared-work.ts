import { unlessAborted } from './unless-aborted.ts';

interface Work<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

/** Makes one of many who want the same at once. The work ends when nobody waits for it any more. */
export class SharedWork<T> {
  readonly #running = new Map<string, Work<T>>();

  /** @throws the signal's reason when it aborts, or what the work throws */
  async do(key: string, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const shared = this.#running.get(key) ?? this.#begin(key, work);
    shared.waiting += 1;
    try {
      return await (signal === undefined ? shared.result : unlessAborted(shared.result, signal));
    } finally {
      shared.waiting -= 1;
      if (shared.waiting === 0) {
        this.#end(key, shared);
        shared.controller.abort();
      }
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<T>): Work<T> {
    const controller = new AbortController();
    const shared: Work<T> = { result: work(controller.signal), controller, waiting: 0 };
    this.#running.set(key, shared);
    shared.result.then(
      () => this.#end(key, shared),
      () => this.#end(key, shared),
    );
    return shared;
  }

  #end(key: string, shared: Work<T>): void {
    if (this.#running.get(key) === shared) this.#running.delete(key);
  }
}
