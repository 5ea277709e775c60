import { hash } from 'node:crypto';
import { isCut, type LogLine, secondBefore } from './lines.ts';

/** How far back a log is read again: lines of stdout and stderr are written slightly out of order. */
const OVERLAP_SECONDS = 1;
/** Length of a time up to its whole seconds. */
const SECONDS = 19;
/** Most lines that are remembered one by one. */
const MAX_KEYS = 20_000;
/** A line that may have been written in pieces: container runtimes split at 16 KiB, of at most four bytes a character. */
const SPLIT_CHARACTERS = 4 * 1024;
/** Long lines that are remembered: one of stdout, one of stderr. */
const MAX_LONG = 2;

/**
 * What was delivered last, so that a log that is read again from a moment before is taken up exactly where it was.
 *
 * A log is a file that only grows at its end and loses its beginning: what comes again comes in the same order, and what
 * is new comes after it. Lines are told apart by time and text, and equal ones by how many there were. Lines that are
 * remembered no more are known by their time, as long as none was seen that is remembered.
 */
export class LogWindow {
  readonly #delivered = new Map<string, number>();
  /** Oldest first. */
  #order: { readonly time: string; readonly key: string }[] = [];
  #first = 0;
  /** Up to its whole second, of the line delivered last. */
  #last = '';
  #since: string | null = null;
  /** Latest time of the lines that are remembered no more. */
  #forgotten = '';
  #long: LogLine[] = [];
  #rest: string | undefined;
  /** What may come again on this connection, and how often. */
  #expected = new Map<string, number>();
  /** Whether a line of this connection has been placed: those after it are known by their keys alone. */
  #placed = true;

  /** From when to read: what was delivered before that will not come again. Null is from the start. */
  get since(): string | null {
    return this.#since;
  }

  /** Whether the line delivered last has come again on this connection. */
  get hasSeenLast(): boolean {
    const last = this.#order.at(-1);
    return last !== undefined && !this.#expected.has(last.key);
  }

  /** The log is read from `since` once more. */
  reopen(): void {
    this.#expected = new Map(this.#delivered);
    this.#placed = false;
  }

  /** Whether the line is new; it is then remembered as delivered. */
  accept(line: LogLine): boolean {
    const key = keyOf(line);
    const expected = this.#expected.get(key);
    if (expected !== undefined) {
      this.#placed = true;
      if (expected > 1) this.#expected.set(key, expected - 1);
      else this.#expected.delete(key);
      return false;
    }
    if (!this.#placed && (line.time <= this.#forgotten || this.#isPiece(line))) return false;
    this.#placed = true;
    this.#remember(line, key);
    return true;
  }

  /**
   * The same for what follows the last newline of a log that is over. It is a line once it has been read twice: the end may
   * have been that of the connection.
   */
  acceptRest(line: LogLine | undefined): boolean {
    const before = this.#rest;
    this.#rest = undefined;
    if (line === undefined) return false;
    const key = keyOf(line);
    if (key === before || this.#expected.has(key)) return this.accept(line);
    this.#rest = key;
    return false;
  }

  /** Whether the log has to be read once more to know its last line. */
  get isUnsure(): boolean {
    return this.#rest !== undefined;
  }

  #remember(line: LogLine, key: string): void {
    this.#delivered.set(key, (this.#delivered.get(key) ?? 0) + 1);
    this.#order.push({ time: line.time, key });
    const second = line.time.slice(0, SECONDS);
    if (second !== this.#last) this.#since = secondBefore(line.time, OVERLAP_SECONDS);
    this.#last = second;
    if (line.text.length >= SPLIT_CHARACTERS) this.#long = [...this.#long.slice(1 - MAX_LONG), line];
    const since = this.#since?.slice(0, SECONDS) ?? '';
    for (let oldest = this.#order[this.#first]; oldest !== undefined; oldest = this.#order[this.#first]) {
      const kept = this.#order.length - this.#first;
      if (kept <= 1 || (kept <= MAX_KEYS && oldest.time.slice(0, SECONDS) >= since)) break;
      this.#forget(oldest);
    }
    if (this.#first > MAX_KEYS) {
      this.#order = this.#order.slice(this.#first);
      this.#first = 0;
    }
  }

  #forget({ time, key }: { time: string; key: string }): void {
    const count = this.#delivered.get(key) ?? 0;
    if (count > 1) this.#delivered.set(key, count - 1);
    else this.#delivered.delete(key);
    if (time > this.#forgotten) this.#forgotten = time;
    this.#first += 1;
  }

  /**
   * The end of a long line that was delivered whole: its later pieces have times of their own, and the log was read
   * again from between two of them.
   */
  #isPiece({ time, text }: LogLine): boolean {
    return this.#long.some((long) => long.time < time && (isCut(long.text) || long.text.endsWith(text)));
  }
}

function keyOf({ time, text }: LogLine): string {
  return `${time}${text.length <= 32 ? ` ${text}` : hash('sha1', text, 'base64')}`;
}
