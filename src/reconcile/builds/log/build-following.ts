import type { Logger } from 'pino';
import type { BuildOperation } from '../controller/build-operations.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import { LogFollower } from './log-follower.ts';

/** Where a log is read. */
type Followed = Pick<BuildExecutor, 'observe' | 'openLog'>;

export interface BuildFollowingOptions {
  readonly logger: Logger;
  /** The log of this build has come to its end, or repo2docker has begun with something else. */
  readonly onChange: (id: string) => void;
}

/** Reads the logs of builds while they run: one stream for each, however many want to see it. */
export class BuildFollowing {
  readonly #options: BuildFollowingOptions;
  readonly #stopping = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(options: BuildFollowingOptions) {
    this.#options = options;
  }

  /** Begins to read the log of this build, unless it is read or has been. */
  ensure(operation: BuildOperation, executor: Followed): void {
    if (operation.following !== null || this.#stopping.signal.aborted) return;
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, this.#stopping.signal]);
    const done = this.#follow(operation, executor, signal).finally(() => this.#running.delete(done));
    this.#running.add(done);
    operation.following = { done, isDone: false, abort };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async #follow(operation: BuildOperation, executor: Followed, signal: AbortSignal): Promise<void> {
    const { logger, onChange } = this.#options;
    const { spec, log } = operation;
    let phase: string | null = null;
    const follower = new LogFollower({
      open: (position, reading) => executor.openLog(spec.id, position, reading),
      log,
      isOver: () => executor.observe(spec.id)?.stage !== 'running',
      onOutput: () => {
        if (log.lastPhase === phase) return;
        phase = log.lastPhase;
        onChange(spec.id);
      },
      logger,
    });
    await follower.run(signal);
    if (signal.aborted) return;
    if (operation.following !== null) operation.following.isDone = true;
    onChange(spec.id);
  }
}
