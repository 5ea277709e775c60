import { LRUCache } from 'lru-cache';
import { raceAbort } from './abort.ts';
import { runContext } from './run-context.ts';

export interface MemoOptions {
  /** How long a result is kept once it is there, in milliseconds; 0, the default, is not at all. */
  readonly keepMs?: number;
  /** Most results that are kept. */
  readonly max?: number;
}

interface Work<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

/**
 * Makes once what many want at the same moment, and keeps it for a while. Work that nobody waits for any more is aborted. A
 * failure is told to those who wait, and not kept.
 */
export class Memo<T> {
  readonly #running = new Map<string, Work<T>>();
  readonly #kept: LRUCache<string, { readonly result: T }> | undefined;

  constructor({ keepMs = 0, max = 1 }: MemoOptions = {}) {
    this.#kept =
      keepMs > 0
        ? new LRUCache({ max, ttl: keepMs, ttlResolution: 0, perf: { now: () => performance.now() } })
        : undefined;
  }

  /** How many works are under way. */
  get size(): number {
    return this.#running.size;
  }

  /** Resolves when every work that is under way now has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(Array.from(this.#running.values(), ({ result }) => result));
  }

  /** @throws the signal's reason when it aborts, or what the work throws */
  async get(key: string, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const kept = this.#kept?.get(key);
    if (kept !== undefined) return kept.result;
    const shared = this.#running.get(key) ?? this.#begin(key, work);
    shared.waiting += 1;
    try {
      return await (signal === undefined ? shared.result : raceAbort(shared.result, signal));
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
    // It is for all who wait, and does not end with the run of the one that came first.
    const result = runContext.exit(() => work(controller.signal));
    const shared: Work<T> = { result, controller, waiting: 0 };
    this.#running.set(key, shared);
    shared.result.then(
      (result) => {
        this.#kept?.set(key, { result });
        this.#end(key, shared);
      },
      () => this.#end(key, shared),
    );
    return shared;
  }

  #end(key: string, shared: Work<T>): void {
    if (this.#running.get(key) === shared) this.#running.delete(key);
  }
}

/**
 * One thing that is read again once what was read is too old, counted from when the reading began: once, however many want
 * it in that moment. A failure is not kept, and a reading that hangs is given up for another one after that time.
 */
export function reread<T>(maxAgeMs: number, read: () => Promise<T>, first?: T): () => Promise<T> {
  let current: { readonly at: number; readonly value: Promise<T> } | undefined =
    first === undefined ? undefined : { at: performance.now(), value: Promise.resolve<T>(first) };
  return () => {
    const now = performance.now();
    if (current !== undefined && now - current.at < maxAgeMs) return current.value;
    // For all who come meanwhile: it does not end with the run of the one that came first.
    const reading = (current = { at: now, value: runContext.exit(read) });
    reading.value.catch(() => {
      if (current === reading) current = undefined;
    });
    return reading.value;
  };
}
