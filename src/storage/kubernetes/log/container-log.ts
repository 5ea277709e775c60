import type { Readable } from 'node:stream';
import { withDeadline } from '../../../util/deadline.ts';
import { sleep } from '../../../util/sleep.ts';
import { raceAbort } from '../../../util/abort.ts';
import { LogWindow } from './window.ts';
import { isKubeError, KubeError } from '../kube-error.ts';
import { type LogLine, LogLines } from './lines.ts';

export type { LogLine } from './lines.ts';

/** From where a log is read. */
export interface LogPosition {
  /** RFC 3339 in whole seconds: what was written then or later; null is from the start. */
  readonly since: string | null;
  /** Go on with what is written later. */
  readonly follow: boolean;
}

export interface FollowLogOptions {
  /** Bytes of the log, each line led by its time. */
  readonly open: (position: LogPosition, signal: AbortSignal) => Promise<Readable>;
  /** Aborts when the container has ended, so that the log has an end. */
  readonly over: AbortSignal;
  readonly signal: AbortSignal;
  /** Once the container has ended, the rest is given up when nothing new has come for so many milliseconds. */
  readonly drainMs?: number;
  /** After so many milliseconds without a byte the log is opened anew: the peer may be gone without a word. */
  readonly silenceMs?: number;
  /** The log could not be opened or broke; it is tried again unless it is gone with its container. */
  readonly onError?: (error: unknown) => void;
  /**
   * After a stream that was silent for `silenceMs` the log is read to its present end, without following it. Called with whether
   * that was possible: only then is it known that nothing was written meanwhile.
   */
  readonly onReadThrough?: (isWhole: boolean) => void;
  /** A connection to the log was opened, or has ended. */
  readonly onConnection?: (isConnected: boolean) => void;
}

/** How long an answer to the request for the log may take. */
const OPEN_MS = 30_000;
const DRAIN_MS = 30_000;
/** The longest that the rest may take, however much still comes: so many times `drainMs`. */
const MOST_DRAINS = 10;
const SILENCE_MS = 300_000;
/** The kubelet takes seconds to end the log of a container that has ended: after this silence the rest is asked for instead. */
const QUIET_MS = 100;
const FIRST_WAIT_MS = 100;
const MOST_WAIT_MS = 5_000;
/** A container that is about to start does so soon. */
const MOST_START_WAIT_MS = 500;

/**
 * Every line of a container's log, once and in the order of the log, however often the connection breaks or ends: on a
 * reset, at the end of an API server's patience, when the kubelet rotates the log.
 *
 * @returns whether all of it was delivered: not when `signal` aborted, the deadline passed or the log is gone
 */
export async function* followLog(options: FollowLogOptions): AsyncGenerator<LogLine, boolean> {
  const { over } = options;
  const isOver = () => over.aborted;
  using life = new Life(options);
  const window = new LogWindow();
  let failures = 0;
  /** Readings in a row, since the container has ended, in which nothing was new. */
  let quiet = 0;
  while (!life.hasEnded()) {
    // Looked at before the read: what was written until then is in it.
    const last = isOver();
    let news = 0;
    try {
      for await (const line of readOnce(window, last, life, options)) {
        news += 1;
        yield line;
      }
      if (life.hasReadThrough()) continue;
      quiet = last && news === 0 && !window.isUnsure ? quiet + 1 : 0;
      // An API server ends its answer as well when it loses the kubelet: what did not come as far as before is no end.
      if (quiet > 1 || (quiet === 1 && window.hasSeenLast)) return true;
      failures = news > 0 ? 0 : failures + 1;
      if (quiet === 0 && (last || isOver())) continue;
    } catch (error) {
      if (life.hasEnded()) return false;
      life.failed(error);
      if (isOver() && isGone(error)) return false;
      failures = news > 0 ? 0 : failures + 1;
      await life.pause(waitAfter(error, failures), last);
      continue;
    }
    await life.pause(backoff(quiet > 0 ? 0 : failures, MOST_WAIT_MS), quiet > 0);
  }
  return false;
}

/** What is new in one reading of the log. */
async function* readOnce(
  window: LogWindow,
  last: boolean,
  life: Life,
  { open }: FollowLogOptions,
): AsyncGenerator<LogLine> {
  const stream = await life.open(open, { since: window.since, follow: !last && !life.isDoubtful });
  window.reopen();
  const lines = new LogLines();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      life.heard();
      for (const line of lines.push(chunk)) {
        if (!window.accept(line)) continue;
        life.advanced();
        yield line;
      }
    }
    // A stream that is followed may end in the middle of a line, which then comes again.
    const rest = last ? lines.rest() : undefined;
    if (window.acceptRest(rest) && rest !== undefined) yield rest;
  } catch (error) {
    // What we have ended ourselves is read on from there.
    if (!life.hasLetGo) throw error;
  } finally {
    life.close();
  }
}

/** The timers and the connection of one log that is followed. */
class Life implements Disposable {
  /** Aborts with the caller's, and when the rest of the log has not come in time. */
  readonly #signal: AbortSignal;
  readonly #options: FollowLogOptions;
  readonly #late = new AbortController();
  readonly #onOver = () => this.#begin();
  #drain: NodeJS.Timeout | undefined;
  /** When the time for the rest may begin anew for the last time. */
  #lastStart = 0;
  #silence: NodeJS.Timeout | undefined;
  #stream: { readonly body: Readable; readonly follow: boolean } | undefined;
  #heardAt = 0;
  #letGo = false;
  #isDoubtful = false;

  constructor(options: FollowLogOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#late.signal]);
    this.#signal.addEventListener('abort', () => this.close(), { once: true });
    if (options.over.aborted) this.#begin();
    else options.over.addEventListener('abort', this.#onOver, { once: true });
  }

  hasEnded(): boolean {
    return this.#signal.aborted;
  }

  /** Whether the stream was ended from here: the container has ended, or nothing was heard for too long. */
  get hasLetGo(): boolean {
    return this.#letGo;
  }

  /** The stream before was silent, perhaps because of what is between here and the container: the log is to be read through. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** A reading has ended. @returns whether the log was read through, after a silence, and the container has not ended meanwhile */
  hasReadThrough(): boolean {
    const { over, onReadThrough } = this.#options;
    const wasDoubtful = this.#isDoubtful;
    this.#isDoubtful = this.#letGo && !over.aborted;
    if (wasDoubtful) onReadThrough?.(!this.#isDoubtful);
    return wasDoubtful && !this.#isDoubtful && !over.aborted;
  }

  /** A reading could not begin, or has broken. */
  failed(error: unknown): void {
    if (this.#isDoubtful) this.#options.onReadThrough?.(false);
    this.#options.onError?.(error);
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  async open(open: FollowLogOptions['open'], position: LogPosition): Promise<Readable> {
    const body = await withDeadline({ ms: OPEN_MS, signal: this.#signal }, async (until) => {
      const opening = open(position, until);
      // One that comes too late is nobody's.
      opening.then(
        (late) => until.aborted && destroy(late),
        () => undefined,
      );
      return raceAbort(opening, until);
    });
    this.#stream = { body, follow: position.follow };
    this.#letGo = false;
    this.heard();
    this.#options.onConnection?.(true);
    this.#look();
    return body;
  }

  close(): void {
    if (this.#stream === undefined) return;
    clearTimeout(this.#silence);
    destroy(this.#stream.body);
    this.#stream = undefined;
    this.#options.onConnection?.(false);
  }

  /** Waits for so long, or until the container has ended where it has not yet. */
  async pause(ms: number, isOver: boolean): Promise<void> {
    await sleep(ms, isOver ? this.#signal : AbortSignal.any([this.#signal, this.#options.over]));
  }

  [Symbol.dispose](): void {
    this.#options.over.removeEventListener('abort', this.#onOver);
    clearTimeout(this.#drain);
    this.close();
  }

  /** A line was new: what is left of the log has its time from here on. */
  advanced(): void {
    if (this.#drain !== undefined && performance.now() < this.#lastStart) this.#drain.refresh();
  }

  /** The container has ended: see `drainMs`. */
  #begin(): void {
    const { drainMs = DRAIN_MS } = this.#options;
    this.#lastStart = performance.now() + drainMs * (MOST_DRAINS - 1);
    this.#drain = setTimeout(() => this.#late.abort(), drainMs);
    this.#look();
  }

  /** Ends a stream that has been silent for too long, or looks again when it may have been. */
  #look(): void {
    clearTimeout(this.#silence);
    if (this.#stream === undefined) return;
    const { over, silenceMs = SILENCE_MS } = this.#options;
    const most = over.aborted && this.#stream.follow ? Math.min(QUIET_MS, silenceMs) : silenceMs;
    const left = this.#heardAt + most - performance.now();
    if (left > 0) {
      this.#silence = setTimeout(() => this.#look(), Math.ceil(left));
      return;
    }
    this.#letGo = true;
    destroy(this.#stream.body);
  }
}

function destroy(body: Readable): void {
  // Whoever reads it has been told; a stream that nobody reads must not end the process.
  body.on('error', () => undefined);
  body.destroy();
}

/** The container is gone, and its log with it. Executors that are no cluster say so with the same status. */
function isGone(error: unknown): boolean {
  return error instanceof Error && (error as { status?: unknown }).status === 404;
}

function waitAfter(error: unknown, failures: number): number {
  const asked = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
  return asked + backoff(failures, isKubeError(error, 400) ? MOST_START_WAIT_MS : MOST_WAIT_MS);
}

function backoff(failures: number, most: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** Math.min(failures, 10), most) * (0.75 + Math.random() / 2);
}
