import type { Logger } from 'pino';
import type { Place } from '../../../domain/build/build-queue.ts';
import type { BuildExecutor, ObservedRun } from './executor.ts';

export interface ExecutorPoolOptions {
  /** In the order in which they are tried. */
  readonly executors: readonly BuildExecutor[];
  readonly logger: Logger;
  /** The first quarantine, in milliseconds. */
  readonly firstMs?: number | undefined;
  readonly now?: () => number;
  /** Between 0 and 1; tests own it. */
  readonly random?: () => number;
}

interface Quarantine {
  readonly failures: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly message: string;
}

const FIRST_QUARANTINE_MS = 10_000;
const LONGEST_QUARANTINE_MS = 60 * 60_000;

/**
 * The executors, and which of them can take builds.
 *
 * One that could not start a build is left alone for a while, twice as long each time in a row; what runs there goes on being
 * followed. The others are not concerned.
 */
export class ExecutorPool {
  readonly #executors: ReadonlyMap<string, BuildExecutor>;
  readonly #quarantined = new Map<string, Quarantine>();
  readonly #logger: Logger;
  readonly #firstMs: number;
  readonly #now: () => number;
  readonly #random: () => number;

  constructor(options: ExecutorPoolOptions) {
    const { executors, logger, firstMs = FIRST_QUARANTINE_MS, now = Date.now, random = Math.random } = options;
    this.#executors = new Map(executors.map((executor) => [executor.name, executor]));
    this.#logger = logger;
    this.#firstMs = firstMs;
    this.#now = now;
    this.#random = random;
  }

  get(name: string): BuildExecutor | undefined {
    return this.#executors.get(name);
  }

  /** That which runs the intents themselves, where builds run in this cluster. */
  get home(): BuildExecutor | undefined {
    return [...this.#executors.values()].find(({ isHome }) => isHome === true);
  }

  /** What runs a build, wherever that is, with the name of the executor. */
  *runsOf(id: string): Iterable<{ readonly executor: BuildExecutor; readonly run: ObservedRun }> {
    for (const executor of this.#executors.values()) {
      const run = executor.observe(id);
      if (run !== undefined) yield { executor, run };
    }
  }

  all(): Iterable<BuildExecutor> {
    return this.#executors.values();
  }

  /** Those that can take builds now, in the order in which they are tried. */
  places(): Place[] {
    return [...this.#executors.values()]
      .filter(({ name, isReady }) => isReady && !this.#isQuarantined(name))
      .map(({ name, capacity }) => ({ name, capacity }));
  }

  /** It could not start a build. Builds that were being started when it was quarantined say nothing new. */
  failed(name: string, error: Error): void {
    if (this.#isQuarantined(name)) return;
    const failures = (this.#quarantined.get(name)?.failures ?? 0) + 1;
    const ms = Math.min(this.#firstMs * 2 ** (failures - 1), LONGEST_QUARANTINE_MS) * (0.75 + this.#random() / 2);
    this.#quarantined.set(name, { failures, until: this.#now() + ms, message: error.message.replace(/\.$/, '') });
    this.#logger.warn(
      { err: error, executor: name, seconds: Math.round(ms / 1000) },
      'an executor cannot start builds',
    );
  }

  /** It has started a build: what was before does not count any more. */
  succeeded(name: string): void {
    if (this.#quarantined.delete(name)) this.#logger.info({ executor: name }, 'an executor starts builds again');
  }

  /** Milliseconds until the first quarantine is over; undefined when there is none. */
  nextReturn(): number | undefined {
    const left = [...this.#quarantined.values()].map(({ until }) => until - this.#now()).filter((ms) => ms > 0);
    return left.length === 0 ? undefined : Math.min(...left);
  }

  /** Executors that cannot start builds at the moment, and why: one sentence each, without its full stop. */
  outages(): { readonly executor: string; readonly message: string }[] {
    return [...this.#executors.values()].flatMap(({ name, isReady, waitsFor = 'it has not answered yet' }) => {
      const message = this.#isQuarantined(name) ? this.#quarantined.get(name)?.message : undefined;
      if (message !== undefined) return [{ executor: name, message }];
      return isReady ? [] : [{ executor: name, message: waitsFor }];
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#executors.values()].map((executor) => executor.run(signal)));
  }

  #isQuarantined(name: string): boolean {
    return (this.#quarantined.get(name)?.until ?? 0) > this.#now();
  }
}
