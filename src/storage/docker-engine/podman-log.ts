import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { LogFrames } from './log-frames.ts';

/** From where a log is read: RFC 3339, or null for the beginning. */
interface Position {
  readonly since: string | null;
  readonly follow: boolean;
}

/** Opens the log as the engine gives it, in frames. */
export type OpenFrames = (position: Position, signal: AbortSignal) => Promise<Readable>;

/** Between two looks at a log that is being written; longer where a look takes long. */
const PAUSE_MS = 250;
/** A line that begins before the position and ends after it is whole when it took no longer. */
const MARGIN_MS = 60_000;
const SPACE = 32;
/** `2026-01-01T00:00:00`: Podman knows no more of the time of a line. */
const SECOND = 19;

/**
 * Podman's followed log leaves out lines, at random, once the container has ended (seen with 4.3). So it only says that
 * something new is there, and that all is; the lines are read without following, which gives all of them, again and
 * again from the last one on. Of lines that have the same second as the last one, as many are skipped as were delivered.
 */
export async function followPodmanLog(open: OpenFrames, since: string | null, signal: AbortSignal): Promise<Readable> {
  const closed = new AbortController();
  const both = AbortSignal.any([signal, closed.signal]);
  const bell = await open({ since: null, follow: true }, both);
  const log = Readable.from(lines(new Doorbell(bell), open, since, both), { objectMode: false });
  log.once('close', () => {
    closed.abort(new Error('the log is not read any more'));
    bell.destroy();
  });
  return log;
}

async function* lines(
  bell: Doorbell,
  open: OpenFrames,
  since: string | null,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const from = since?.slice(0, SECOND) ?? '';
  let [last, delivered] = ['', 0];
  let next = since === null ? null : new Date(Date.parse(since) - MARGIN_MS).toISOString();
  for (let isOver = false; !isOver;) {
    isOver = await bell.wait(signal);
    const began = performance.now();
    const frames = await open({ since: next, follow: false }, signal);
    const whole = new LogFrames({ unfinished: isOver });
    frames.once('error', (error) => whole.destroy(error));
    let skip = delivered;
    for await (const line of frames.pipe(whole) as AsyncIterable<Buffer>) {
      const time = line.toString('latin1', 0, line.indexOf(SPACE));
      if (time.slice(0, SECOND) < from || time < last) continue;
      if (time === last && skip > 0) {
        skip -= 1;
        continue;
      }
      if (time !== last) [last, delivered, skip] = [time, 0, 0];
      delivered += 1;
      yield line;
    }
    next = earliest(last === '' ? next : last, whole.unfinishedSince);
    if (!isOver) await delay(Math.max(PAUSE_MS, 2 * (performance.now() - began)), undefined, { signal });
  }
}

/** Rings when the log has something new, and when it is over. */
class Doorbell {
  readonly #stream: Readable;
  #rung = true;
  #over = false;
  #error: Error | undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    stream.on('data', () => (this.#rung = true));
    stream.once('end', () => (this.#over = true));
    stream.once('error', (error) => (this.#error = error));
  }

  /** @returns whether nothing will come any more */
  async wait(signal: AbortSignal): Promise<boolean> {
    const some = new AbortController();
    const any = { signal: AbortSignal.any([signal, some.signal]) };
    try {
      if (!this.#rung && !this.#over && this.#error === undefined) {
        // `once` rejects with what is emitted as an error.
        await Promise.race([once(this.#stream, 'data', any), once(this.#stream, 'end', any)]);
      }
    } finally {
      some.abort();
    }
    if (this.#error !== undefined) throw this.#error;
    this.#rung = false;
    return this.#over;
  }
}

function earliest(one: string | null, other: string | null): string | null {
  if (one === null || other === null) return one;
  return other < one ? other : one;
}
