import { setTimeout as delay } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import type { BuildSpec } from '../../../domain/build/build.ts';
import {
  type BuildExecutor,
  type BuildSecrets,
  ExecutorUnavailable,
  type LogPosition,
  type ObservedRun,
} from './executor.ts';

export interface AwayExecutorOptions {
  readonly name: string;
  readonly capacity: number;
  /** What this installation is called where others may be, too. */
  readonly installation: (signal: AbortSignal) => Promise<string>;
  /** The executor of an installation of this name. */
  readonly make: (installation: string) => BuildExecutor;
  readonly logger: Logger;
  readonly firstRetryMs?: number;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;

/**
 * An executor outside of this cluster. What is there is this installation's when it is labelled with its name, and that is
 * known only when the cluster has been asked; until then nothing is known of it, and nothing is started or ended there.
 */
export class AwayExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly #options: AwayExecutorOptions;
  #inner: BuildExecutor | undefined;
  #lastError: Error | undefined;

  constructor(options: AwayExecutorOptions) {
    this.name = options.name;
    this.capacity = options.capacity;
    this.#options = options;
  }

  get isKnown(): boolean {
    return this.#inner !== undefined && (this.#inner.isKnown ?? this.#inner.isReady);
  }

  get isReady(): boolean {
    return this.#inner?.isReady === true;
  }

  get waitsFor(): string | undefined {
    return this.#inner === undefined ? 'it is not known yet what is ours there' : this.#inner.waitsFor;
  }

  get lastError(): Error | undefined {
    return this.#inner === undefined ? this.#lastError : this.#inner.lastError;
  }

  async run(signal: AbortSignal): Promise<void> {
    const name = await this.#identify(signal);
    if (name === undefined) return;
    this.#inner = this.#options.make(name);
    await this.#inner.run(signal);
  }

  runs(): Iterable<ObservedRun> {
    return this.#inner?.runs() ?? [];
  }

  observe(id: string): ObservedRun | undefined {
    return this.#inner?.observe(id);
  }

  async lookAgain(id: string): Promise<void> {
    await this.#inner?.lookAgain?.(id);
  }

  async start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    await this.#known().start(spec, secrets);
  }

  async stop(id: string): Promise<void> {
    await this.#known().stop(id);
  }

  async openLog(id: string, position: LogPosition, signal: AbortSignal): Promise<Readable> {
    return this.#known().openLog(id, position, signal);
  }

  #known(): BuildExecutor {
    if (this.#inner !== undefined) return this.#inner;
    throw new ExecutorUnavailable(`${this.name} cannot be used: ${this.waitsFor ?? ''}`, { cause: this.#lastError });
  }

  async #identify(signal: AbortSignal): Promise<string | undefined> {
    const { installation, logger, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    const stopped = () => signal.aborted;
    for (let wait = firstRetryMs; !stopped(); wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
      try {
        return await installation(signal);
      } catch (err) {
        if (stopped()) return undefined;
        this.#lastError = err as Error;
        logger.debug({ err, executor: this.name }, 'the name of this installation is not known yet');
      }
      await delay(wait * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
    return undefined;
  }
}
