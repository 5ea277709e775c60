import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { containerName, missingBackend } from '../../../../builder/build/build-container.ts';
import type { BackendConfig, BuildsConfig } from '../../../../config/config.ts';
import { BuildProblem, type BuildSpec } from '../../../../domain/build/build.ts';
import { DockerEngine } from '../../../../storage/docker-engine/docker-engine.ts';
import { EngineError } from '../../../../storage/docker-engine/engine-error.ts';
import type { EngineAddress } from '../../../../storage/docker-engine/engine-connection.ts';
import { DockerPicture } from './docker-executor-picture.ts';
import { preparingRun } from './docker-executor-run.ts';
import { startContainer } from './docker-executor-start.ts';
import {
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
  /** What its containers are labelled with. */
  readonly controller: string;
  /** Hears of every change of what `observe` says. */
  readonly onChange: (id: string) => void;
  /** Hears when its picture is there, and there again. */
  readonly onReady?: (() => void) | undefined;
  readonly logger: Logger;
  readonly delays?: { readonly firstRetryMs?: number; readonly longestRetryMs?: number; readonly refreshMs?: number };
  /** For one answer of the engine. */
  readonly timeoutMs?: number;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
/** A stream of events is silent where nothing happens, and where the way to the engine is cut. */
const REFRESH_MS = 20_000;

/** Builds in containers of a Docker-compatible engine (Docker, Podman) over its API, without Kubernetes. */
export class DockerExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly #options: DockerExecutorOptions;
  readonly #backend: BackendConfig;
  readonly #engine: DockerEngine;
  readonly #picture: DockerPicture;
  readonly #starting = new Map<string, { readonly spec: BuildSpec; readonly stopped: AbortController }>();
  readonly #over = new AbortController();
  #isReady = false;
  #lastError: Error | undefined;

  constructor(options: DockerExecutorOptions) {
    const { name, capacity = Number.POSITIVE_INFINITY, config, controller, onChange, timeoutMs } = options;
    this.name = name;
    this.capacity = capacity;
    this.#options = options;
    this.#backend = options.backend ?? config.backend;
    const address = { address: options.address, tls: options.tls };
    this.#engine = new DockerEngine({ ...address, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    this.#picture = new DockerPicture({
      engine: this.#engine,
      name,
      controller,
      totalMs: config.deadlines.total,
      onChange,
    });
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  *runs(): Iterable<ObservedRun> {
    yield* this.#picture.runs();
    for (const [id, { spec }] of this.#starting) {
      if (this.#picture.observe(id) === undefined) yield preparingRun(spec, this.name);
    }
  }

  observe(id: string): ObservedRun | undefined {
    const starting = this.#starting.get(id);
    return this.#picture.observe(id) ?? (starting === undefined ? undefined : preparingRun(starting.spec, this.name));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { firstRetryMs = FIRST_RETRY_MS, longestRetryMs = LONGEST_RETRY_MS } = this.#options.delays ?? {};
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#follow(signal, () => {
          failures = 0;
          this.#noteHealth(undefined);
        });
      } catch (error) {
        this.#noteHealth(error as Error, signal);
      }
      const longest = Math.min(longestRetryMs, firstRetryMs * 2 ** failures);
      failures += 1;
      // The wait ends early with the signal, and so does the loop.
      await delay(longest * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
    this.#over.abort(signal.reason);
    await this.#engine.close();
  }

  /**
   * As in the contract. Where the engine does not have the image of the builder it takes as long as fetching it.
   */
  async start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    const missing = missingBackend(this.#backend);
    if (missing !== undefined) throw new ExecutorUnavailable(missing);
    if (this.#starting.has(spec.id)) return;
    const stopped = new AbortController();
    this.#starting.set(spec.id, { spec, stopped });
    const signal = AbortSignal.any([stopped.signal, this.#over.signal]);
    try {
      const { name, config, controller } = this.#options;
      const isOurs = this.#picture.isOurs.bind(this.#picture);
      const options = { engine: this.#engine, name, config, controller, backend: this.#backend, isOurs };
      const container = await startContainer(spec, secrets, options, signal);
      await this.#picture.look(container, signal).catch(() => undefined);
    } catch (error) {
      // That the program stops is no fault of the engine: the build keeps its place there, and the next process finds it.
      this.#over.signal.throwIfAborted();
      throw error;
    } finally {
      this.#starting.delete(spec.id);
    }
  }

  async stop(id: string): Promise<void> {
    this.#starting
      .get(id)
      ?.stopped.abort(
        new BuildProblem({ reason: 'Cancelled', message: 'The build was stopped before it had started.' }),
      );
    const container = this.#picture.containerOf(id) ?? (await this.#findContainer(id));
    if (container !== undefined) await this.#engine.removeContainer(container, this.#over.signal);
    this.#picture.forget(id, container);
  }

  async openLog(id: string, { since, follow }: LogPosition, signal: AbortSignal): Promise<Readable> {
    const container = this.#picture.containerOf(id);
    if (container === undefined) throw new Error('The build has no container there.');
    return this.#engine.openLog(container, { since, follow, signal: AbortSignal.any([signal, this.#over.signal]) });
  }

  /** The container of a build that the picture does not have: not started, or not heard of yet. */
  async #findContainer(id: string): Promise<string | undefined> {
    const found = await this.#engine.inspectContainer(containerName(id), this.#over.signal);
    return found !== undefined && this.#picture.isOurs(found) ? found.id : undefined;
  }

  /** Keeps the picture true until something breaks, which it always throws. */
  async #follow(signal: AbortSignal, onHealthy: () => void): Promise<never> {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    await this.#engine.renegotiate();
    const { at, leftovers } = await this.#picture.refresh(signal);
    const isNews = !this.#isReady || this.#lastError !== undefined;
    this.#isReady = true;
    onHealthy();
    if (isNews) this.#options.onReady?.();
    const loops = [this.#hearEvents(at, both), this.#refreshAgain(leftovers, both)];
    try {
      return await Promise.race(loops);
    } finally {
      ended.abort(new Error('another part has failed'));
      await Promise.allSettled(loops);
    }
  }

  /** From before the list on, so that nothing falls between the two. */
  async #hearEvents(since: number, signal: AbortSignal): Promise<never> {
    for await (const container of this.#engine.containerEvents(this.#picture.labels, since, signal)) {
      await this.#picture.look(container, signal);
    }
    throw new EngineError(0, 'follow events: the engine has ended the stream');
  }

  async #refreshAgain(first: readonly { readonly id: string }[], signal: AbortSignal): Promise<never> {
    for (let leftovers = first; ;) {
      for (const { id } of leftovers) await this.#engine.removeContainer(id, signal);
      await delay(this.#options.delays?.refreshMs ?? REFRESH_MS, undefined, { signal });
      ({ leftovers } = await this.#picture.refresh(signal));
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
