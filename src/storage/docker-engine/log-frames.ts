import { Transform, type TransformCallback } from 'node:stream';
import { EngineError } from './engine-error.ts';

/**
 * The log of a container without a terminal comes in frames: one byte for the stream (1 stdout, 2 stderr), three of
 * nothing, four for the length, then the text, led by its time. A frame holds one line or a piece of one: engines cut long
 * lines, after 16 KiB and less, and only the last piece ends with a newline.
 */
const HEADER = 8;
/** Docker's pieces have 16 KiB at most. */
const LONGEST_FRAME = 2 ** 20;
/** A line that is longer is broken: so much of it is held. */
const LONGEST_LINE = 2 ** 20;
const NEWLINE = 10;
const SPACE = 32;
const BILLION = 1_000_000_000n;

interface Line {
  readonly began: string;
  /** Of its last piece, so that times never go back. */
  time: string;
  readonly pieces: Buffer[];
  size: number;
}

/** Frames in; whole lines out, `<time> <text>\n`, each in a chunk of its own. Lines of the two streams are never mixed into one another. */
export class LogFrames extends Transform {
  readonly #lines = new Map<number, Line>();
  #waiting: Buffer = Buffer.alloc(0);

  readonly #unfinished: boolean;

  /** @param options.unfinished whether the last line counts where it has no newline (yet) */
  constructor({ unfinished }: { readonly unfinished: boolean }) {
    super({ readableObjectMode: true });
    this.#unfinished = unfinished;
  }

  /** When the oldest line began that has not ended; null when there is none. */
  get unfinishedSince(): string | null {
    return [...this.#lines.values()].map(({ began }) => began).sort()[0] ?? null;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    let bytes = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
    while (bytes.length >= HEADER) {
      const length = bytes.readUInt32BE(4);
      if (length > LONGEST_FRAME || (bytes[0] ?? 0) > 2) {
        callback(new EngineError(0, 'the engine sends a log that is not in frames'));
        return;
      }
      if (bytes.length < HEADER + length) break;
      this.#take(bytes[0] ?? 0, bytes.subarray(HEADER, HEADER + length));
      bytes = bytes.subarray(HEADER + length);
    }
    this.#waiting = bytes;
    callback();
  }

  override _flush(callback: TransformCallback): void {
    if (this.#unfinished) for (const stream of this.#lines.keys()) this.#end(stream);
    callback();
  }

  #take(stream: number, frame: Buffer): void {
    const timeEnds = frame.indexOf(SPACE);
    const ends = frame.at(-1) === NEWLINE;
    const text = frame.subarray(timeEnds + 1, ends ? -1 : undefined);
    const time = inNanoseconds(frame.toString('latin1', 0, Math.max(0, timeEnds)));
    const line = this.#lines.get(stream) ?? { began: time, time, pieces: [], size: 0 };
    this.#lines.set(stream, line);
    line.time = time;
    line.pieces.push(text);
    line.size += text.length;
    if (ends || line.size > LONGEST_LINE) this.#end(stream);
  }

  #end(stream: number): void {
    const line = this.#lines.get(stream);
    if (line === undefined) return;
    this.#lines.delete(stream);
    this.push(Buffer.concat([Buffer.from(`${line.time} `), ...line.pieces, Buffer.from('\n')]));
  }
}

/** Podman says whole seconds only, and some write the local time; one form for all of them. */
function inNanoseconds(time: string): string {
  const [, fraction = ''] = /\.(\d+)/.exec(time) ?? [];
  const milliseconds = Date.parse(time.replace(/\.\d+/, ''));
  if (Number.isNaN(milliseconds)) return time;
  return `${new Date(milliseconds).toISOString().slice(0, 19)}.${fraction.padEnd(9, '0').slice(0, 9)}Z`;
}

/**
 * The moment for `since`, in seconds and nanoseconds since the epoch: just before `time`, since Podman leaves out what is
 * exactly of that moment and Docker does not.
 *
 * @param time RFC 3339
 */
export function sinceOf(time: string): string {
  const [, fraction = ''] = /\.(\d+)/.exec(time) ?? [];
  const nanoseconds =
    BigInt(Math.floor(Date.parse(time) / 1000)) * BILLION + BigInt(fraction.padEnd(9, '0').slice(0, 9));
  const before = nanoseconds - 1n;
  return `${before / BILLION}.${String(before % BILLION).padStart(9, '0')}`;
}
