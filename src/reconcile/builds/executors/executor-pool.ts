import type { Logger } from 'pino';
import type { Place } from '../../../domain/build/build-queue.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { Controller } from '../../controller.ts';
import type { Component, Health } from '../../health.ts';
import type { BuildExecutor, ObservedRun } from './executor.ts';

export interface ExecutorPoolOptions {
  /** In the order in which they are tried. */
  readonly executors: readonly BuildExecutor[];
  readonly logger: Logger;
  /** The first quarantine, in milliseconds. */
  readonly firstMs?: number | undefined;
  readonly clock?: Pick<Clock, 'monotonic'>;
  /** Between 0 and 1; tests own it. */
  readonly random?: () => number;
}

interface Quarantine {
  readonly failures: number;
  /** From when on and until when, by the monotonic clock. */
  readonly since: number;
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
export class ExecutorPool implements Component {
  readonly name = 'build-executors';
  readonly #executors: ReadonlyMap<string, BuildExecutor>;
  readonly #quarantined = new Map<string, Quarantine>();
  readonly #logger: Logger;
  readonly #firstMs: number;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #random: () => number;

  constructor(options: ExecutorPoolOptions) {
    const { executors, logger, firstMs = FIRST_QUARANTINE_MS, clock = SYSTEM_CLOCK, random = Math.random } = options;
    this.#executors = new Map(executors.map((executor) => [executor.name, executor]));
    this.#logger = logger;
    this.#firstMs = firstMs;
    this.#clock = clock;
    this.#random = random;
  }

  get(name: string): BuildExecutor | undefined {
    return this.#executors.get(name);
  }

  /** That which runs the intents themselves, where builds run in this cluster. */
  get local(): BuildExecutor | undefined {
    return [...this.#executors.values()].find(({ isLocal }) => isLocal === true);
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
    this.#forgetIfStarted(name);
    const failures = (this.#quarantined.get(name)?.failures ?? 0) + 1;
    const ms = Math.min(this.#firstMs * 2 ** (failures - 1), LONGEST_QUARANTINE_MS) * (0.75 + this.#random() / 2);
    const since = this.#clock.monotonic();
    const message = error.message.replace(/\.$/, '');
    this.#quarantined.set(name, { failures, since, until: since + ms, message });
    this.#logger.warn(
      { err: error, executor: name, seconds: Math.round(ms / 1000) },
      'an executor cannot start builds',
    );
  }

  /**
   * It has started a build: what was before does not count any more. Of an executor whose starts go on beside `start` it says
   * itself when one has succeeded.
   */
  succeeded(name: string): void {
    if (this.#executors.get(name)?.lastStartAt === undefined) this.#forgive(name);
  }

  #forgetIfStarted(name: string): void {
    const quarantine = this.#quarantined.get(name);
    const { lastStartAt = -Infinity } = this.#executors.get(name) ?? {};
    if (quarantine !== undefined && lastStartAt > quarantine.since) this.#forgive(name);
  }

  #forgive(name: string): void {
    if (this.#quarantined.delete(name)) this.#logger.info({ executor: name }, 'an executor starts builds again');
  }

  /** Milliseconds until the first quarantine is over; undefined when there is none. */
  nextReturn(): number | undefined {
    const left = [...this.#quarantined.values()]
      .map(({ until }) => until - this.#clock.monotonic())
      .filter((ms) => ms > 0);
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

  /** An executor that is away makes nothing unready: builds wait for it, or go elsewhere. */
  health(): Health {
    const [outage, ...others] = this.outages();
    if (outage === undefined) return { component: this.name, ready: true };
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    return { component: this.name, ready: true, message: `${outage.executor}: ${outage.message}${more}` };
  }

  /** Those that executors need besides what `run` does. */
  controllers(): Controller[] {
    return [...this.#executors.values()].flatMap(({ controllers = [] }) => controllers);
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#executors.values()].map((executor) => executor.run(signal)));
  }

  #isQuarantined(name: string): boolean {
    return (this.#quarantined.get(name)?.until ?? 0) > this.#clock.monotonic();
  }
}
