import type { V1Pod } from '@kubernetes/client-node';
import { raceAbort } from '../../src/util/abort.ts';
import { imageOfBuild } from './build-pod.ts';
import type { BuildScript } from './build-script.ts';
import type { ContainerLog } from './container-log.ts';
import type { Exit, Found, PodContainer } from './containers.ts';
import { messages } from './messages.ts';
import { pause } from './pause.ts';

/** Pushes the image of a build. @throws Error when the registry does not take it */
export type Push = (image: string, pod: V1Pod, signal: AbortSignal) => Promise<unknown>;

export interface BuildOptions {
  readonly script: BuildScript;
  readonly log: ContainerLog;
  readonly push: Push;
  readonly stopMs: number;
}

/** A build in which nothing runs: a script says what it writes and how it ends. */
export class BuildContainer implements PodContainer {
  readonly #options: BuildOptions;
  readonly #over = new AbortController();
  #playing: Promise<Exit> | undefined;

  constructor(options: BuildOptions) {
    this.#options = options;
  }

  start(pod: V1Pod): Promise<void> {
    this.#playing = this.#play(pod, this.#over.signal);
    // Nobody may be waiting for it when it is ended.
    this.#playing.catch(() => undefined);
    return Promise.resolve();
  }

  /** What an earlier kubelet began is begun again. */
  async resume(pod: V1Pod): Promise<Found> {
    await this.start(pod);
    return 'running';
  }

  ready(): Promise<boolean> {
    return Promise.resolve(true);
  }

  end(signal: AbortSignal): Promise<Exit> {
    return raceAbort(this.#playing ?? new Promise<never>(() => undefined), signal);
  }

  async stop(graceMs: number, signal: AbortSignal): Promise<Exit> {
    await this.kill();
    await pause(Math.min(this.#options.stopMs, graceMs), signal);
    return { exitCode: 137 };
  }

  async kill(): Promise<void> {
    this.#over.abort();
    await this.#playing?.catch(() => undefined);
    this.#options.log.end();
  }

  async #play(pod: V1Pod, signal: AbortSignal): Promise<Exit> {
    const { script, log } = this.#options;
    const { lines = [], delayMs = 0, exitCode = 0, push = true, hang = false } = script;
    // A log that waits for nothing is written at once, one that comes from elsewhere as it comes.
    for await (const line of unlessOver(lines, signal)) {
      await pause(delayMs, signal);
      log.append(typeof line === 'string' ? Buffer.from(`${line}\n`) : line);
    }
    if (hang) await raceAbort(new Promise<never>(() => undefined), signal);
    const exit = exitCode === 0 && push ? await this.#push(pod, signal) : { exitCode };
    log.end();
    return exit;
  }

  async #push(pod: V1Pod, signal: AbortSignal): Promise<Exit> {
    const image = imageOfBuild(pod);
    try {
      await this.#options.push(image, pod, signal);
      return { exitCode: 0 };
    } catch (error) {
      signal.throwIfAborted();
      const why = error instanceof Error ? error.message : 'unknown';
      for (const line of messages.pushFailed(image, why)) this.#options.log.append(Buffer.from(`${line}\n`));
      return { exitCode: 1 };
    }
  }
}

async function* unlessOver<T>(lines: Iterable<T> | AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = Symbol.asyncIterator in lines ? lines[Symbol.asyncIterator]() : lines[Symbol.iterator]();
  for (;;) {
    signal.throwIfAborted();
    const step = await raceAbort(Promise.resolve(iterator.next()), signal);
    if (step.done === true) return;
    yield step.value;
  }
}
