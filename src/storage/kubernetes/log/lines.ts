/** One line of a container's log. */
export interface LogLine {
  /** RFC 3339 in UTC with nine digits after the point: times compare as texts. */
  readonly time: string;
  /** Without its newline; bytes that are not UTF-8 are U+FFFD. */
  readonly text: string;
}

/** Longest line that is delivered whole, in bytes, its time included: a log is read by people. */
export const MAX_LINE_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;
const SPACE = 0x20;
/** Longest time there is: `2026-01-01T00:00:00.000000000+00:00`. */
const MAX_TIME_BYTES = 40;
const TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/**
 * Makes lines of the bytes of a log in which each line is led by its time. Lines are split before they are decoded, so
 * that a character that arrives in two pieces stays one.
 */
export class LogLines {
  #pieces: Buffer[] = [];
  /** Bytes in `#pieces`. */
  #kept = 0;
  /** Bytes of the line that were dropped because it is too long. */
  #cut = 0;

  /** The lines that these bytes complete. What has no time is not of the log: the kubelet's own complaints have none. */
  *push(chunk: Buffer): Generator<LogLine> {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      from = end + 1;
      const line = this.#take();
      if (line !== undefined) yield line;
    }
    this.#keep(chunk.subarray(from));
  }

  /** The last line of a log that does not end in a newline; undefined when there is none. */
  rest(): LogLine | undefined {
    return this.#take();
  }

  #keep(bytes: Buffer): void {
    const room = Math.min(bytes.length, MAX_LINE_BYTES - this.#kept);
    if (room > 0) this.#pieces.push(bytes.subarray(0, room));
    this.#kept += room;
    this.#cut += bytes.length - room;
  }

  #take(): LogLine | undefined {
    const [only] = this.#pieces;
    const bytes = this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces, this.#kept);
    const cut = this.#cut;
    this.#pieces = [];
    this.#kept = 0;
    this.#cut = 0;
    return parseLine(bytes, cut);
  }
}

function parseLine(bytes: Buffer, cut: number): LogLine | undefined {
  const head = bytes.subarray(0, MAX_TIME_BYTES);
  const space = head.indexOf(SPACE);
  const time = normalizeTime(head.toString('latin1', 0, space === -1 ? head.length : space));
  if (time === undefined) return undefined;
  const text = space === -1 ? bytes.subarray(bytes.length) : bytes.subarray(space + 1);
  if (cut === 0) return { time, text: text.toString('utf8') };
  return { time, text: `${wholeCharacters(text).toString('utf8')} [… ${cut} more bytes]` };
}

/** Whether the end of the line is missing. */
export function isCut(text: string): boolean {
  return text.length > MAX_LINE_BYTES / 8 && /\[… \d+ more bytes\]$/.test(text.slice(-40));
}

/** Without a character at the end of which bytes are missing. */
function wholeCharacters(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes.at(-back) ?? 0;
    if (byte < 0x80) break;
    if (byte >= 0xc0) return bytes.subarray(0, bytes.length - back);
  }
  return bytes;
}

/** The time in the one way that compares as text; undefined when it is none. The kubelet's may have another zone. */
export function normalizeTime(text: string): string | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, seconds = '', fraction = '', zone = 'Z'] = match;
  const nanoseconds = fraction.padEnd(9, '0');
  if (zone === 'Z') return `${seconds}.${nanoseconds}Z`;
  const at = Date.parse(`${seconds}${zone}`);
  return Number.isNaN(at) ? undefined : `${new Date(at).toISOString().slice(0, 19)}.${nanoseconds}Z`;
}

/** The whole second that lies so many seconds before the one the time lies in. */
export function secondBefore(time: string, seconds: number): string {
  const at = Date.parse(`${time.slice(0, 19)}Z`);
  return `${new Date(at - seconds * 1000).toISOString().slice(0, 19)}Z`;
}
