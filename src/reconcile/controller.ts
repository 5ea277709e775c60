import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { KubeError } from '../storage/kubernetes/kube-error.ts';
import { jittered } from '../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../util/clock.ts';
import { withDeadline } from '../util/deadline.ts';
import { runContext } from '../util/run-context.ts';
import { aborted, sleep } from '../util/sleep.ts';
import type { Cache, Health } from './health.ts';
import { TerminalError } from './terminal-error.ts';
import { type Result, WorkQueue } from './work-queue.ts';

/** What one run is given. */
export interface Run {
  /** Aborts when the program stops, the run's time is over or leadership is lost. Calls to Kubernetes end with it by themselves. */
  readonly signal: AbortSignal;
  /** Short and random; in every log line of the run. */
  readonly id: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * Where keys come from: it calls `enqueue` whenever something has changed that a key depends on, until `signal` aborts. See
 * `every` for the simplest one; caches have one each.
 */
export type Source = (
  enqueue: (key: string) => void,
  signal: AbortSignal,
  /** What a source throws later, from a timer or a listener, ends the process unless it is told here. */
  report: (error: unknown) => void,
) => void;

export interface ControllerOptions {
  /** In the log, in health and in metrics: `labs`, `lab-tokens`, `build-admission`. */
  readonly name: string;
  /** The caches that have to be synced before the first run. */
  readonly caches: readonly Cache[];
  readonly sources: readonly Source[];
  /** Every key there is: reconciled at the start and at each resync. */
  readonly keys: () => Iterable<string>;
  /** One run for one key. What it throws is reported; the key comes back after a backoff, unless it is a TerminalError. */
  readonly reconcile: (key: string, run: Run) => Promise<Result | void>;
  readonly logger: Logger;
  /** Keys reconciled at the same moment; 1 if not given. */
  readonly concurrency?: number;
  /** Milliseconds between two resyncs: a safety net for missed watch events. */
  readonly resyncMs?: number;
  /** How long one run may take, in milliseconds. */
  readonly runTimeoutMs?: number;
  /** The longest backoff, in milliseconds. */
  readonly maxDelayMs?: number;
  /** Whether only the leader runs it; true if not given. What every replica does for its own readers needs none. */
  readonly needsLeader?: boolean;
  readonly clock?: Clock;
}

/** One stretch of work of a controller: from the start, or from becoming leader, to its end. */
export interface Session {
  /** No new runs from here on; those under way have `drainMs` to end. */
  readonly stopping: AbortSignal;
  /** Runs under way are to end at once. */
  readonly lost: AbortSignal;
  readonly mayWrite: () => boolean;
}

const RESYNC_MS = 10 * 60_000;
const RUN_TIMEOUT_MS = 60_000;
/** The longest pause between two attempts: when the API server is back, somebody is waiting for it. */
const MAX_DELAY_MS = 5_000;
/** How long a run that is under way may go on when the program stops, in milliseconds. */
const DRAIN_MS = 1_000;
/** How long a run may take to end after leadership was lost, in milliseconds. */
const ABANDON_MS = 5_000;
/** Failures in a row of a call to the API server after which it is reported at `warn`. */
const LOUD_FAILURES = 5;

/**
 * Reconciles keys: one run at a time for a key, some keys at once, each again after a change, a failure, a resync or when the
 * run itself asks for it. What a run does has to be safe to interrupt anywhere, and to be done again by another process.
 *
 * The states and what moves between them are those of the WorkQueue; the controller adds where keys come from, what a run is
 * given, and what is said about its end.
 */
export class Controller {
  readonly name: string;
  readonly needsLeader: boolean;
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  #queue: WorkQueue | undefined;
  readonly #failing = new Map<string, string>();
  readonly #running = new Set<string>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.name = options.name;
    this.needsLeader = options.needsLeader ?? true;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /**
   * Something about this key has changed: for those who know before any cache does. While the controller does not run it is
   * ignored, since everything is looked at when it starts.
   */
  enqueue(key: string): void {
    this.#queue?.add(key);
  }

  /** Ready means that it runs, or that another replica does. A key that fails makes nothing unready. */
  health(): Health {
    const [key, error] = this.#failing.entries().next().value ?? [];
    const message = key === undefined ? undefined : `${this.#failing.size} of its keys fail; ${key}: ${error}`;
    return { component: this.name, ready: true, message };
  }

  /** Keys that wait or run. */
  get depth(): number {
    return this.#queue?.size ?? 0;
  }

  /** Works until the session ends and no run is under way. Never rejects. */
  async run(session: Session): Promise<void> {
    const { caches, sources, keys, concurrency = 1, resyncMs = RESYNC_MS, maxDelayMs = MAX_DELAY_MS } = this.#options;
    const stopping = AbortSignal.any([session.stopping, session.lost]);
    await Promise.race([Promise.all(caches.map(({ synced }) => synced)), aborted(stopping)]);
    if (stopping.aborted) return;
    const runs = new AbortController();
    session.lost.addEventListener('abort', () => runs.abort(session.lost.reason), { once: true });
    let over = false;
    const mayWrite = () => !over && session.mayWrite();
    const queue = new WorkQueue((key) => this.#turn(key, runs.signal, mayWrite), {
      concurrency,
      maxDelayMs,
      onError: (key, error, failures) => this.#report(key, error, failures),
    });
    this.#queue = queue;
    const resync = () => {
      this.#guard('keys', () => {
        const all = new Set(keys());
        for (const key of all) queue.add(key);
        for (const key of this.#failing.keys()) if (!all.has(key)) this.#failing.delete(key);
      });
    };
    const report = (error: unknown) => this.#complain('a source', error);
    for (const source of sources) this.#guard('a source', () => source((key) => queue.add(key), stopping, report));
    resync();
    const timer = setInterval(resync, resyncMs);
    await aborted(stopping);
    clearInterval(timer);
    const ended = queue.stop();
    const drained = new AbortController();
    void ended.then(() => drained.abort());
    await sleep(DRAIN_MS, AbortSignal.any([drained.signal, session.lost]));
    runs.abort(session.lost.aborted ? session.lost.reason : new DOMException('the program stops', 'AbortError'));
    await this.#end(ended, drained.signal, session.lost);
    over = true;
    this.#queue = undefined;
    this.#failing.clear();
  }

  /**
   * Waits for the runs that were told to end. One that does not heed its signal would keep this replica from leading ever again:
   * when leadership is lost it is left alone after a while. Nothing that it still tries is sent.
   */
  async #end(ended: Promise<void>, drained: AbortSignal, lost: AbortSignal): Promise<void> {
    await Promise.race([ended, aborted(lost)]);
    if (!lost.aborted) return;
    await sleep(ABANDON_MS, drained);
    if (drained.aborted) return;
    const { logger, name } = this.#options;
    const keys = [...this.#running];
    logger.error({ controller: name, keys }, 'reconcile did not end when leadership was lost; left alone');
  }

  /** What is called here are other people's functions: a fault in one must not end the process. */
  #guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#complain(what, error);
    }
  }

  #complain(what: string, err: unknown): void {
    this.#options.logger.error({ controller: this.name, err }, `${what} of a controller threw`);
  }

  async #turn(key: string, stopping: AbortSignal, mayWrite: () => boolean): Promise<Result | void> {
    const { reconcile, logger, name, runTimeoutMs = RUN_TIMEOUT_MS } = this.#options;
    const id = randomBytes(4).toString('hex');
    this.#running.add(key);
    try {
      const result = await withDeadline({ ms: runTimeoutMs, signal: stopping }, (signal) => {
        const run: Run = { signal, id, logger: logger.child({ controller: name, run: id }), clock: this.#clock };
        return runContext.run({ id, signal, mayWrite }, () => reconcile(key, run));
      });
      this.#failing.delete(key);
      return result;
    } catch (error) {
      // Interrupted, and done again by whoever reconciles it next.
      if (stopping.aborted) return;
      if (!(error instanceof TerminalError)) throw error;
      this.#failing.set(key, error.message);
      logger.error({ controller: name, key, run: id, err: error }, 'reconcile failed; will not retry');
    } finally {
      this.#running.delete(key);
    }
  }

  #report(key: string, err: unknown, failures: number): void {
    const { logger, name } = this.#options;
    const isQuiet = err instanceof KubeError && failures < LOUD_FAILURES;
    if (!isQuiet) this.#failing.set(key, err instanceof Error ? err.message : String(err));
    logger[isQuiet ? 'debug' : 'warn']({ controller: name, key, err, failures }, 'reconcile failed; will retry');
  }
}

/** A source that enqueues keys so often, in milliseconds, with jitter. */
export function every(ms: number, keys: () => Iterable<string>): Source {
  return (enqueue, signal, report) => {
    if (signal.aborted) return;
    const look = () => {
      try {
        for (const key of keys()) enqueue(key);
      } catch (error) {
        report(error);
      }
    };
    const timer = setInterval(look, jittered(ms));
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  };
}
