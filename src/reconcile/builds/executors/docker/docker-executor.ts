import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { containerName, labelledSpec, missingBackend } from '../../../../builder/build/build-container.ts';
import type { BackendConfig, BuildsConfig } from '../../../../config/config.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import { DockerEngine } from '../../../../storage/docker-engine/docker-engine.ts';
import { EngineError } from '../../../../storage/docker-engine/engine-error.ts';
import type { EngineAddress } from '../../../../storage/docker-engine/engine-connection.ts';
import { Backoff } from '../../../../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../../util/clock.ts';
import { sleep } from '../../../../util/sleep.ts';
import { DockerCache } from './docker-cache.ts';
import { preparingRun } from './docker-run.ts';
import { startContainer } from './docker-start.ts';
import { DockerStarts } from './docker-starts.ts';
import type { Installation } from '../installation.ts';
import {
  type Attempt,
  type BuildExecutor,
  type BuildSecrets,
  ExecutorUnavailable,
  type LogPosition,
  type ObservedRun,
} from '../executor.ts';

export interface DockerExecutorOptions extends EngineAddress {
  readonly name: string;
  readonly capacity?: number | undefined;
  readonly config: BuildsConfig;
  /** Instead of that of the builds. */
  readonly backend?: BackendConfig | undefined;
  /** Its name is what containers are labelled with. */
  readonly installation: Pick<Installation, 'read' | 'lastError'>;
  /** Hears of every change of what `observe` says. */
  readonly onChange: (id: string) => void;
  /** Hears when its cache is synced, and again after an outage. */
  readonly onReady?: (() => void) | undefined;
  readonly logger: Logger;
  readonly delays?: { readonly firstRetryMs?: number; readonly longestRetryMs?: number; readonly refreshMs?: number };
  /** For one answer of the engine. */
  readonly timeoutMs?: number;
  readonly clock?: Pick<Clock, 'monotonic'>;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
/** A stream of events is silent where nothing happens, and where the way to the engine is cut. */
const REFRESH_MS = 20_000;

/**
 * Builds in containers of a Docker-compatible engine (Docker, Podman) over its API, without Kubernetes.
 *
 * One attempt at a build on the engine:
 *
 * ```
 *          start()             made, given its secrets, started          ends
 *   (none) ───────► starting ─────────────────────────────────► running ─────► ended
 *      ▲               │  stop(), or it fails                      │ stop()       │ stop()
 *      └───────────────┴───────────────────────────────────────────┴──────────────┘
 * ```
 *
 * Starting may have to fetch the image of the builder and take minutes; DockerStarts has those that go on.
 */
export class DockerExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly #options: DockerExecutorOptions;
  readonly #backend: BackendConfig;
  readonly #engine: DockerEngine;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #starts: DockerStarts;
  readonly #over = new AbortController();
  /** Once the name of this installation is known. */
  #cache: DockerCache | undefined;
  #controller = '';
  #isReady = false;
  #lastError: Error | undefined;
  #lastStartAt = -Infinity;

  constructor(options: DockerExecutorOptions) {
    const { name, capacity = Number.POSITIVE_INFINITY, config, timeoutMs, clock = SYSTEM_CLOCK } = options;
    this.name = name;
    this.capacity = capacity;
    this.#options = options;
    this.#clock = clock;
    this.#backend = options.backend ?? config.backend;
    this.#starts = new DockerStarts({
      start: (spec, secrets, signal) => this.#start(spec, secrets, signal),
      onEnd: options.onChange,
    });
    const address = { address: options.address, tls: options.tls };
    this.#engine = new DockerEngine({ ...address, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get waitsFor(): string | undefined {
    return this.#cache === undefined ? 'it is not known yet what is ours there' : undefined;
  }

  get lastError(): Error | undefined {
    return this.#cache === undefined ? this.#options.installation.lastError : this.#lastError;
  }

  get lastStartAt(): number {
    return this.#lastStartAt;
  }

  *runs(): Iterable<ObservedRun> {
    for (const { id } of this.#cache?.runs() ?? []) {
      const run = this.observe(id);
      if (run !== undefined) yield run;
    }
    for (const spec of this.#starts.all()) {
      if (this.#cache?.observe(spec.id) === undefined) yield preparingRun(spec, this.name);
    }
  }

  observe(id: string): ObservedRun | undefined {
    const run = this.#cache?.observe(id);
    const spec = this.#starts.find(id);
    // What is there of an attempt before this one is removed by the start.
    return spec === undefined || run?.createdAt === spec.createdAt ? run : preparingRun(spec, this.name);
  }

  async run(signal: AbortSignal): Promise<void> {
    const controller = await this.#options.installation.read(signal);
    if (controller !== undefined) await this.#keepFollowing(controller, signal);
    this.#over.abort(signal.reason);
    await this.#starts.end(signal.reason);
    await this.#engine.close();
  }

  start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    return new Promise((resolve) => resolve(this.#accept(spec, secrets)));
  }

  async stop(attempt: Attempt): Promise<void> {
    const cache = this.#known();
    await this.#starts.stop(attempt);
    const container = cache.containerOf(attempt) ?? (await this.#findContainer(attempt, cache));
    if (container !== undefined) await this.#engine.removeContainer(container, this.#over.signal);
    cache.forget(attempt, container);
  }

  async openLog(id: string, { since, follow }: LogPosition, signal: AbortSignal): Promise<Readable> {
    const run = this.#cache?.observe(id);
    const container = run === undefined ? undefined : this.#cache?.containerOf(run);
    if (container === undefined) throw new Error('The build has no container there.');
    return this.#engine.openLog(container, { since, follow, signal: AbortSignal.any([signal, this.#over.signal]) });
  }

  /** @throws as `start` */
  #accept(spec: BuildSpec, secrets: BuildSecrets): void {
    const missing = missingBackend(this.#backend);
    if (missing !== undefined) throw new ExecutorUnavailable(missing);
    const cache = this.#known();
    if (cache.observe(spec.id)?.createdAt !== spec.createdAt) this.#starts.begin(spec, secrets);
  }

  async #start(spec: BuildSpec, secrets: BuildSecrets, signal: AbortSignal): Promise<void> {
    const cache = this.#known();
    const { name, config } = this.#options;
    const isOurs = cache.isOurs.bind(cache);
    const options = {
      engine: this.#engine,
      name,
      config,
      controller: this.#controller,
      backend: this.#backend,
      isOurs,
    };
    const container = await startContainer(spec, secrets, options, signal);
    this.#lastStartAt = this.#clock.monotonic();
    await cache.look(container, signal).catch(() => undefined);
  }

  /** @throws {ExecutorUnavailable} */
  #known(): DockerCache {
    if (this.#cache !== undefined) return this.#cache;
    const cause = this.#options.installation.lastError;
    throw new ExecutorUnavailable(`${this.name} cannot be used: ${this.waitsFor ?? ''}`, { cause });
  }

  /** The container of an attempt that the cache does not have: not started, or not heard of yet. */
  async #findContainer({ id, createdAt }: Attempt, cache: DockerCache): Promise<string | undefined> {
    const found = await this.#engine.inspectContainer(containerName(id), this.#over.signal);
    const isIt = found !== undefined && cache.isOurs(found) && labelledSpec(found.labels)?.createdAt === createdAt;
    return isIt ? found.id : undefined;
  }

  async #keepFollowing(controller: string, signal: AbortSignal): Promise<void> {
    const { name, config, onChange, delays } = this.#options;
    const { firstRetryMs: firstMs = FIRST_RETRY_MS, longestRetryMs: longestMs = LONGEST_RETRY_MS } = delays ?? {};
    this.#controller = controller;
    this.#cache = new DockerCache({
      ...{ engine: this.#engine, name, controller, totalMs: config.deadlines.total, onChange },
    });
    const backoff = new Backoff({ firstMs, longestMs });
    while (!signal.aborted) {
      try {
        await this.#follow(this.#cache, signal, () => {
          backoff.reset();
          this.#noteHealth(undefined);
        });
      } catch (error) {
        this.#noteHealth(error as Error, signal);
      }
      await sleep(backoff.next(), signal);
    }
  }

  /** Keeps the cache fresh until something breaks, which it always throws. */
  async #follow(cache: DockerCache, signal: AbortSignal, onHealthy: () => void): Promise<never> {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    await this.#engine.renegotiate();
    const { at, leftovers } = await cache.refresh(signal);
    const isNews = !this.#isReady || this.#lastError !== undefined;
    this.#isReady = true;
    onHealthy();
    if (isNews) this.#options.onReady?.();
    const loops = [this.#hearEvents(cache, at, both), this.#refreshAgain(cache, leftovers, both)];
    try {
      return await Promise.race(loops);
    } finally {
      ended.abort(new Error('another part has failed'));
      await Promise.allSettled(loops);
    }
  }

  /** From before the list on, so that nothing falls between the two. */
  async #hearEvents(cache: DockerCache, since: number, signal: AbortSignal): Promise<never> {
    for await (const container of this.#engine.containerEvents(cache.labels, since, signal)) {
      await cache.look(container, signal);
    }
    throw new EngineError(0, 'follow events: the engine has ended the stream');
  }

  async #refreshAgain(
    cache: DockerCache,
    first: readonly { readonly id: string }[],
    signal: AbortSignal,
  ): Promise<never> {
    for (let leftovers = first; ;) {
      for (const { id } of leftovers) await this.#engine.removeContainer(id, signal);
      await delay(this.#options.delays?.refreshMs ?? REFRESH_MS, undefined, { signal });
      ({ leftovers } = await cache.refresh(signal));
    }
  }

  /** @param signal that of the end: what fails then has not failed */
  #noteHealth(error: Error | undefined, signal?: AbortSignal): void {
    if (signal?.aborted === true) return;
    const { name, logger } = this.#options;
    const before = this.#lastError;
    if (error === undefined) {
      this.#lastError = undefined;
      if (before !== undefined) logger.info(`The engine "${name}" answers.`);
      return;
    }
    const sentence = `The engine "${name}" cannot be followed.`;
    this.#lastError = new ExecutorUnavailable(sentence, { cause: error });
    // Once for each outage, however many attempts it takes.
    if (before === undefined)
      logger.warn({ reason: error.message, address: this.#engine.address }, `${sentence} Trying again.`);
  }
}
