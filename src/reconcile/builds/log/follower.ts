import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { followLog, type LogPosition } from '../../../storage/kubernetes/log/container-log.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { BuildLog } from './build-log.ts';

export interface LogFollowerOptions {
  readonly open: (position: LogPosition, signal: AbortSignal) => Promise<Readable>;
  readonly log: BuildLog;
  /** Aborts when the container has ended. */
  readonly over: AbortSignal;
  /** Called after each line. */
  readonly onOutput?: () => void;
  readonly logger: Logger;
  /** Once the container has ended, the rest is given up when nothing new has come for so many milliseconds. */
  readonly drainMs?: number;
  /** After so many milliseconds without a line the log is opened anew, to know whether it is the build that is silent. */
  readonly silenceMs?: number | undefined;
  readonly clock?: Clock;
}

/** Failures in a row after which it is worth a line of the controller's log, and then as often again. */
const NOTEWORTHY_FAILURES = 5;

/** Moves the log of a build's container into the build's log: one connection, however many read. */
export class LogFollower {
  readonly #options: LogFollowerOptions;
  readonly #clock: Clock;
  #drained = false;
  #failures = 0;
  /** Since when it is connected or had its last line, whichever is later, by the monotonic clock; null while it is not connected. */
  #listeningSince: number | null = null;
  #silentMs = 0;
  /** As much of it as is known to have been silence of the build. */
  #provedMs = 0;

  constructor(options: LogFollowerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Whether the container has ended and every line of it was delivered. */
  get drained(): boolean {
    return this.#drained;
  }

  /** Whether the log is open for reading: what the container writes would be heard. */
  get isConnected(): boolean {
    return this.#listeningSince !== null;
  }

  /**
   * For how many milliseconds it has listened since the last line: time without a connection says nothing of the build, and
   * neither does that of a connection on which nothing comes through.
   */
  get silentMs(): number {
    return this.#silentMs + (this.#listeningSince === null ? 0 : this.#clock.monotonic() - this.#listeningSince);
  }

  /**
   * Resolves when the container has ended and its last line is delivered, when the rest of the log cannot be had, which
   * the log then says, or when `signal` aborts. Never rejects.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { open, log, over, onOutput, logger, drainMs, silenceMs } = this.#options;
    const lines = followLog({
      ...{ open, over, signal },
      ...(drainMs === undefined ? {} : { drainMs }),
      onError: (err) => this.#note(err),
      ...(silenceMs === undefined ? {} : { silenceMs }),
      onReadThrough: (isWhole) => this.#readThrough(isWhole),
      onConnection: (isConnected) => this.#connected(isConnected),
    });
    try {
      for (let step = await lines.next(); ; step = await lines.next()) {
        if (step.done === true) {
          this.#drained = step.value;
          break;
        }
        this.#failures = 0;
        this.#silentMs = this.#provedMs = 0;
        if (this.isConnected) this.#listeningSince = this.#clock.monotonic();
        log.append(step.value);
        onOutput?.();
      }
    } catch (err) {
      logger.error({ build: log.id, err }, 'the log of a build cannot be followed');
    } finally {
      await lines.return(false);
    }
    if (!this.#drained && !signal.aborted) log.note('The log could not be read to its end.');
  }

  #connected(isConnected: boolean): void {
    this.#silentMs = this.silentMs;
    this.#listeningSince = isConnected ? this.#clock.monotonic() : null;
  }

  #readThrough(isWhole: boolean): void {
    if (isWhole) this.#provedMs = this.#silentMs;
    else this.#silentMs = this.#provedMs;
  }

  #note(err: unknown): void {
    const { log, logger } = this.#options;
    this.#failures += 1;
    // A container that is about to start has no log: that is no failure.
    const isNoteworthy = !isKubeError(err, 400) && this.#failures % NOTEWORTHY_FAILURES === 0;
    const level = isNoteworthy ? 'warn' : 'debug';
    logger[level]({ build: log.id, err, failures: this.#failures }, 'reading the log of a build failed; will retry');
  }
}
