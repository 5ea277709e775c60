import PQueue from 'p-queue';
import { backoffMs } from '../util/backoff.ts';

/** What a run of a key asks for when it did not throw. */
export interface Result {
  /** Run this key again after so many milliseconds even if nothing changes. */
  readonly requeueAfterMs?: number;
}

export interface WorkQueueOptions {
  /** How many keys run at the same moment. */
  readonly concurrency: number;
  /** First delay after a failure; it doubles with each further one. */
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
  readonly onError?: (key: string, error: unknown, failures: number) => void;
  /** Between 0 and 1; tests own it. */
  readonly random?: () => number;
}

/** Longest rest after a failure while changes of the key arrive. */
const REST_MS = 1_000;
/** setTimeout holds no more than 31 bits. */
const LONGEST_TIMER_MS = 2_147_483_647;

/**
 * Keys waiting to be reconciled.
 *
 * A key is in at most one of three places, and changes place only here:
 *
 * | place | enters by | leaves by |
 * |---|---|---|
 * | waiting (`#dirty`) | `add` | its turn: to running |
 * | running | its turn | its end: to nowhere, or to waiting when `add` was called meanwhile |
 * | delayed (`#timers`) | `addAfter`, a failure, a result that asks for it | its time, or an earlier `add` |
 *
 * - A key added many times before its turn runs once. A key never runs twice at the same moment; one that is added while
 *   it runs, runs again afterwards, so that no change is lost.
 * - A key that throws comes back after a delay that doubles, with jitter; a run that returns starts the count anew.
 * - A key that has thrown rests for that delay, a second at most, whoever adds it: what a run has written before it
 *   failed comes back as a change, and would otherwise run the key again at once, for ever.
 *
 * The contract is that of client-go's `util/workqueue`. The bound is the number of keys, which is the number of labs.
 */
export class WorkQueue {
  readonly #run: (key: string) => Promise<Result | void>;
  readonly #options: WorkQueueOptions;
  readonly #pool: PQueue;
  readonly #dirty = new Set<string>();
  readonly #running = new Set<string>();
  /** How often each key has thrown in a row, and the moment of `performance.now()` until which it rests. */
  readonly #failures = new Map<string, { readonly count: number; readonly restUntil: number }>();
  readonly #timers = new Map<string, { readonly due: number; readonly timer: NodeJS.Timeout }>();
  #stopped = false;

  constructor(run: (key: string) => Promise<Result | void>, options: WorkQueueOptions) {
    this.#run = run;
    this.#options = options;
    this.#pool = new PQueue({ concurrency: options.concurrency });
  }

  add(key: string): void {
    if (this.#stopped || this.#dirty.has(key)) return;
    const rest = (this.#failures.get(key)?.restUntil ?? 0) - performance.now();
    if (rest > 0 && !this.#running.has(key)) return this.addAfter(key, rest);
    this.#cancel(key);
    this.#dirty.add(key);
    if (!this.#running.has(key)) this.#dispatch(key);
  }

  /** Adds the key later; of several times asked for, the earliest counts. One that waits for its turn comes earlier. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped || this.#dirty.has(key)) return;
    const due = performance.now() + ms;
    const pending = this.#timers.get(key);
    if (pending !== undefined && pending.due <= due) return;
    clearTimeout(pending?.timer);
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        this.add(key);
      },
      Math.min(Math.max(0, ms), LONGEST_TIMER_MS),
    );
    this.#timers.set(key, { due, timer });
  }

  /** Takes no more keys, forgets those that wait, and resolves when those that run have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#dirty.clear();
    this.#pool.clear();
    await this.#pool.onIdle();
  }

  /** Keys that wait or run. */
  get size(): number {
    return this.#dirty.size + this.#running.size;
  }

  #cancel(key: string): void {
    clearTimeout(this.#timers.get(key)?.timer);
    this.#timers.delete(key);
  }

  #dispatch(key: string): void {
    // Never rejects: #turn catches what a run throws.
    void this.#pool.add(() => this.#turn(key));
  }

  async #turn(key: string): Promise<void> {
    if (this.#stopped) return;
    this.#dirty.delete(key);
    this.#running.add(key);
    try {
      const result = await this.#run(key);
      this.#failures.delete(key);
      if (result?.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      this.#failed(key, error);
    } finally {
      this.#running.delete(key);
      // Through the front door, where a key that has just failed is made to rest.
      if (this.#dirty.delete(key)) this.add(key);
    }
  }

  #failed(key: string, error: unknown): void {
    const { baseDelayMs: firstMs = 100, maxDelayMs: longestMs = 30_000, random = Math.random } = this.#options;
    const failures = (this.#failures.get(key)?.count ?? 0) + 1;
    const delay = backoffMs(failures, { firstMs, longestMs, random });
    this.#failures.set(key, { count: failures, restUntil: performance.now() + Math.min(delay, REST_MS) });
    this.addAfter(key, delay);
    try {
      this.#options.onError?.(key, error, failures);
    } catch {
      // A listener that throws has nobody to tell, and must not cost the key its next run.
    }
  }
}
