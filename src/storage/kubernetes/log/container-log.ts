import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { unlessAborted } from '../../../util/unless-aborted.ts';
import { LogWindow } from './container-log-window.ts';
import { isKubeError, KubeError } from '../kube-error.ts';
import { type LogLine, LogLines } from './log-lines.ts';

export type { LogLine } from './log-lines.ts';

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
  /** Whether the container has ended, so that the log has an end. Asked ten times a second. */
  readonly isOver: () => boolean;
  readonly signal: AbortSignal;
  /** How long to try to read the rest once the container has ended, in milliseconds. */
  readonly drainMs?: number;
  /** After so many milliseconds without a byte the log is opened anew: the peer may be gone without a word. */
  readonly silenceMs?: number;
  /** The log could not be opened or broke; it is tried again unless it is gone with its container. */
  readonly onError?: (error: unknown) => void;
}

const POLL_MS = 100;
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
  const { isOver, onError } = options;
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
      quiet = last && news === 0 && !window.isUnsure ? quiet + 1 : 0;
      // An API server ends its answer as well when it loses the kubelet: what did not come as far as before is no end.
      if (quiet > 1 || (quiet === 1 && window.hasSeenLast)) return true;
      failures = news > 0 ? 0 : failures + 1;
      if (quiet === 0 && (last || isOver())) continue;
    } catch (error) {
      if (life.hasEnded()) return false;
      onError?.(error);
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
  const stream = await life.open(open, { since: window.since, follow: !last });
  window.reopen();
  const lines = new LogLines();
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      life.heard();
      for (const line of lines.push(chunk)) if (window.accept(line)) yield line;
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

/** The timers and connections of one log that is followed. */
class Life implements Disposable {
  /** Aborts with the caller's, and when the rest of the log has not come in time. */
  readonly #signal: AbortSignal;
  readonly #options: FollowLogOptions;
  readonly #late = new AbortController();
  readonly #poll: NodeJS.Timeout;
  #drain: NodeJS.Timeout | undefined;
  #stream: { readonly body: Readable; readonly follow: boolean } | undefined;
  #heardAt = 0;
  #letGo = false;
  #wake: AbortController | undefined;

  constructor(options: FollowLogOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#late.signal]);
    this.#signal.addEventListener('abort', () => this.close(), { once: true });
    this.#poll = setInterval(() => this.#look(), POLL_MS);
  }

  hasEnded(): boolean {
    return this.#signal.aborted;
  }

  /** Whether the stream was ended from here: the container has ended, or nothing was heard for too long. */
  get hasLetGo(): boolean {
    return this.#letGo;
  }

  heard(): void {
    this.#heardAt = performance.now();
  }

  async open(open: FollowLogOptions['open'], position: LogPosition): Promise<Readable> {
    const opening = open(position, this.#signal);
    // One that comes too late is nobody's.
    opening.then(
      (body) => this.#signal.aborted && destroy(body),
      () => undefined,
    );
    const body = await unlessAborted(opening, this.#signal);
    this.#stream = { body, follow: position.follow };
    this.#letGo = false;
    this.heard();
    return body;
  }

  close(): void {
    if (this.#stream !== undefined) destroy(this.#stream.body);
    this.#stream = undefined;
  }

  /** Waits for so long, or until the container has ended where it has not yet. */
  async pause(ms: number, over: boolean): Promise<void> {
    const wake = new AbortController();
    if (!over) this.#wake = wake;
    await delay(ms, undefined, { signal: AbortSignal.any([wake.signal, this.#signal]) }).catch(() => undefined);
    this.#wake = undefined;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#poll);
    clearTimeout(this.#drain);
    this.close();
  }

  #look(): void {
    const { isOver, drainMs = 30_000, silenceMs = 300_000 } = this.#options;
    const over = isOver();
    if (over && this.#drain === undefined) this.#drain = setTimeout(() => this.#late.abort(), drainMs);
    if (over) this.#wake?.abort();
    if (this.#stream === undefined) return;
    const silent = performance.now() - this.#heardAt;
    // The kubelet takes seconds to end the log of a container that has ended: the rest is asked for instead.
    if (silent > silenceMs || (over && this.#stream.follow && silent > POLL_MS)) {
      this.#letGo = true;
      destroy(this.#stream.body);
    }
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
