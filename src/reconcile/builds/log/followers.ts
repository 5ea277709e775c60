import type { Logger } from 'pino';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import { runContext } from '../../../util/run-context.ts';
import { aborted } from '../../../util/sleep.ts';
import type { Component, Health } from '../../health.ts';
import type { BuildOperation } from '../controller/build-operations.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import { LogFollower } from './follower.ts';

export interface LogFollowersOptions {
  readonly logger: Logger;
  /** The log of this build has come to its end, or repo2docker has begun with something else. */
  readonly onChange: (id: string) => void;
  /** How long a build may be silent, in milliseconds: it is made sure of some times before that. */
  readonly noOutputMs?: number | undefined;
  readonly clock?: Clock;
}

/** Where a log is read. */
export type LogSource = Pick<BuildExecutor, 'observe' | 'openLog'>;

/** The reading of the log of one build. */
export interface Following {
  readonly done: Promise<void>;
  /** Nothing more will come: its last line is there, or what is left of it cannot be had. */
  readonly isDone: boolean;
  /** Whether the log is open for reading. */
  readonly isConnected: boolean;
  /** For how many milliseconds it was listened to since the last line. */
  readonly silentMs: number;
  /** Ends it. */
  readonly abort: AbortController;
}

/** A safety net for changes of runs that nobody has told of, in milliseconds: one timer for all logs. */
const LOOK_MS = 5_000;
/** How often a log is read to its end before its build has been silent for too long. */
const READ_THROUGHS = 4;
const LONGEST_SILENCE_MS = 300_000;

/** Reads the logs of builds while they run: one stream for each on each replica, however many readers it has. */
export class LogFollowers implements Component {
  readonly name = 'build-logs';
  readonly #options: LogFollowersOptions;
  readonly #stopping = new AbortController();
  /** What is being read; `look` finds out whether its container has ended. */
  readonly #running = new Set<{ readonly id: string; readonly done: Promise<void>; readonly look: () => void }>();
  #net: NodeJS.Timeout | undefined;

  constructor(options: LogFollowersOptions) {
    this.#options = options;
  }

  health(): Health {
    return { component: this.name, ready: true };
  }

  /** Reads until `signal` aborts, and what was being read has ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await aborted(signal);
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([...this.#running].map(({ done }) => done));
  }

  /** Begins to read the log of this build, unless it is read or has been. */
  ensure(operation: BuildOperation, source: LogSource): void {
    if (operation.following === null && !this.#stopping.signal.aborted) this.#begin(operation, source);
    this.changed(operation.spec.id);
  }

  /** What runs this build has changed: a log whose container has ended is read to its end. */
  changed(id: string): void {
    for (const each of this.#running) if (each.id === id) each.look();
  }

  #begin(operation: BuildOperation, source: LogSource): void {
    const { logger, noOutputMs = Infinity, clock = SYSTEM_CLOCK } = this.#options;
    const { spec, log } = operation;
    const abort = new AbortController();
    const over = new AbortController();
    let phase: string | null = null;
    const follower = new LogFollower({
      open: (position, signal) => source.openLog(spec.id, position, signal),
      ...{ log, over: over.signal, logger, clock },
      silenceMs: Math.min(noOutputMs / READ_THROUGHS, LONGEST_SILENCE_MS),
      onOutput: () => {
        if (log.lastPhase === phase) return;
        phase = log.lastPhase;
        this.#options.onChange(spec.id);
      },
    });
    let isDone = false;
    const work = async () => {
      const signal = AbortSignal.any([abort.signal, this.#stopping.signal]);
      await follower.run(signal);
      this.#running.delete(entry);
      if (this.#running.size === 0) this.#net = void clearInterval(this.#net);
      if (signal.aborted) return;
      isDone = true;
      this.#options.onChange(spec.id);
    };
    // It outlives the run in which it begins.
    const done = runContext.exit(work);
    const look = () => {
      if (source.observe(spec.id)?.stage !== 'running') over.abort();
    };
    const entry = { id: spec.id, done, look };
    this.#running.add(entry);
    this.#net ??= setInterval(() => {
      for (const each of this.#running) each.look();
    }, LOOK_MS);
    operation.following = {
      ...{ done, abort },
      get isDone() {
        return isDone;
      },
      get isConnected() {
        return follower.isConnected;
      },
      get silentMs() {
        return follower.silentMs;
      },
    };
  }
}
