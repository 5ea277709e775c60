import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BuildEvent, BuildNews, BuildPhase } from '../../../domain/build/build.ts';
import { isBareFailure, parseRepo2dockerLine } from '../../../domain/build/repo2docker-line.ts';
import { SYSTEM_CLOCK } from '../../../util/clock.ts';
import { BuildEvents } from './build-log-events.ts';
import { formatEventId, newEpoch, parseBuildEventId, rankOf } from './build-log-position.ts';

/** A line as it is kept when the build is over. `line` jumps where lines were dropped. */
export interface KeptLine {
  readonly line: number;
  readonly phase: string | null;
  readonly text: string;
}

/** The event that ends a build's stream. */
export type BuildEnd = Extract<BuildNews, { readonly type: 'ready' | 'failed' | 'cancelled' }>;

export interface BuildLogOptions {
  /** Most bytes of lines that are kept, of the beginning and of the end; each line counts for some more. */
  readonly size: number;
  /** When the build was asked for, milliseconds since the epoch: tells it from one of the same id before it. */
  readonly createdAt?: number;
}

/** Events a reader is given before others have their turn. */
const EVENTS_A_TURN = 256;
/** Longest failure, in characters: it becomes part of a sentence. */
const MAX_FAILURE = 300;
const ERROR_LINE = /^\s*(?:error|repo2docker: error)\b\s*:/i;

const CONTROL = /\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u001f\u007f]+/g;

/**
 * The events of one build, from its start to its one terminal event, for any number of readers.
 *
 * Readers hold a place and nothing else: one that is slow or gone costs nothing, and a line is appended once however many
 * read. Of a long log the beginning and the end are kept; a reader that has fallen behind that, or comes later, gets one
 * line that says how many are missing.
 *
 * Event ids say which build, which log in which process, and how far: the sequence number of the event, the number of the
 * line, and what the build does. The log of a container is the same however often it is read, so that the line alone is enough to go on in
 * another process.
 */
export class BuildLog {
  readonly id: string;
  readonly #events: BuildEvents;
  readonly #epoch: string;
  readonly #build: string;
  #waiting: (() => void)[] = [];
  #lines = 0;
  #readers = 0;
  #lastOutputAt: number | null = null;
  #lastPhase: string | null = null;
  #fatal: string | null = null;
  #error: string | null = null;

  constructor(id: string, { size, createdAt = 0 }: BuildLogOptions) {
    this.id = id;
    this.#events = new BuildEvents(size);
    this.#build = createdAt.toString(36);
    this.#epoch = newEpoch();
  }

  /** A log that was kept, with its end. Other work has its turn in between. */
  static async restore(
    id: string,
    kept: AsyncIterable<KeptLine> | Iterable<KeptLine>,
    end: BuildEnd,
    options: BuildLogOptions,
  ): Promise<BuildLog> {
    const log = new BuildLog(id, options);
    let turn = 0;
    for await (const { line, phase, text } of kept) {
      log.#lines = Math.max(line, log.#lines + 1);
      log.#appendLine(phase, text);
      turn += 1;
      if (turn % EVENTS_A_TURN === 0) await nextTurn();
    }
    log.end(end);
    return log;
  }

  /** Number of the last line. */
  get lines(): number {
    return this.#lines;
  }

  /** How many read at the moment. */
  get readers(): number {
    return this.#readers;
  }

  get ended(): boolean {
    return this.#events.end !== undefined;
  }

  /** When the last line was appended; milliseconds of the monotonic clock. */
  get lastOutputAt(): number | null {
    return this.#lastOutputAt;
  }

  /** What repo2docker said last that it does. */
  get lastPhase(): string | null {
    return this.#lastPhase;
  }

  /**
   * Why it failed, as far as the log says, in one line: what repo2docker gave up with, or the error before it where that
   * says only that a step failed. Null when the log does not say.
   */
  get failure(): string | null {
    if (this.#fatal !== null && (this.#error === null || !isBareFailure(this.#fatal))) return this.#fatal;
    return this.#error;
  }

  /** Says where the build stands; the same twice is said once. */
  phase(phase: BuildPhase, message: string, position?: number): void {
    const last = this.#events.lastPhase;
    if (last?.phase === phase && last.message === message && last.position === position) return;
    const place = position === undefined ? {} : { position };
    this.#append({ type: 'phase', phase, message, ...place });
  }

  /** Appends a line of the container. */
  append({ text: raw }: { readonly text: string }): void {
    if (this.ended) return;
    const { text, phase, isFatal } = parseRepo2dockerLine(raw);
    this.#lastOutputAt = SYSTEM_CLOCK.monotonic();
    if (phase !== null && phase !== 'unknown') this.#lastPhase = phase;
    if (isFatal) this.#fatal = oneLine(text);
    else this.#error = lastErrorOf(text) ?? this.#error;
    this.#lines += 1;
    this.#appendLine(phase, text);
  }

  /** Appends a line of ours. It is no output of the build and not counted as a line of it: other replicas do not have it. */
  note(text: string): void {
    this.#append({ type: 'log', line: this.#lines + 1, phase: null, text: `[${text}]\n` });
  }

  /** The terminal event. Only the first one counts, and nothing comes after it. */
  end(news: BuildEnd): void {
    this.#append(news);
  }

  /** Everything after `lastEventId`, then what comes, until the terminal event or until `signal` aborts. */
  async *read(lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    const { from, seen, firstPhase, leastRank } = this.#resume(lastEventId);
    let next = from;
    let line = seen;
    let rank = leastRank;
    this.#readers += 1;
    try {
      for (let turn = 1; !signal.aborted; turn += 1) {
        if (turn % EVENTS_A_TURN === 0) await nextTurn();
        const event = this.#events.at(next, line);
        if (event === undefined) {
          await this.#change(signal);
          continue;
        }
        next = event.sequence + 1;
        const { news } = event;
        if (news.type === 'log' && news.line <= line) continue;
        if (news.type === 'phase') {
          const isOld = event.sequence < firstPhase || (rankOf(news.phase) > 0 && rankOf(news.phase) < rank);
          if (isOld) continue;
          rank = Math.max(rank, rankOf(news.phase));
        }
        line = Math.max(line, event.line);
        yield { ...news, id: formatEventId(this.id, { ...event, epoch: this.#epoch, build: this.#build, line, rank }) };
        if (this.#events.end === event) return;
      }
    } finally {
      this.#readers -= 1;
    }
  }

  /** The text of the log, an entry of it each, without the newline at its end. */
  *text(): IterableIterator<string> {
    for (const { text } of this.stored()) yield text.replace(/\r?\n$/, '');
  }

  /** What is worth keeping when the build is over. Lines that are missing are one that says so. */
  *stored(): IterableIterator<KeptLine> {
    let line = 0;
    const last = this.#events.lastSequence;
    for (let next = 1; next <= last;) {
      const event = this.#events.at(next, line);
      if (event === undefined) return;
      next = event.sequence + 1;
      line = event.line;
      if (event.news.type === 'log') yield { line, phase: event.news.phase, text: event.news.text };
    }
  }

  #appendLine(phase: string | null, text: string): void {
    this.#append({ type: 'log', line: this.#lines, phase, text });
  }

  #append(news: BuildNews): void {
    if (this.ended) return;
    this.#events.push(news, this.#lines);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /**
   * Where to go on: what comes next, the line that was seen last, and the first phase that is still news. A process that
   * has just begun to read a log says of the build what is true of its first lines, which its readers know better.
   */
  #resume(lastEventId: string | undefined): { from: number; seen: number; firstPhase: number; leastRank: number } {
    const position = parseBuildEventId(lastEventId);
    if (position?.id !== this.id || position.build !== this.#build)
      return { from: 1, seen: 0, firstPhase: 0, leastRank: 0 };
    // Nobody waits for what cannot come: whoever has seen the end is told it once more.
    const last = this.#events.lastSequence + (this.ended ? 0 : 1);
    const { line: seen, rank: leastRank } = position;
    if (position.epoch === this.#epoch) {
      return { from: Math.min(position.sequence + 1, last), seen, firstPhase: 0, leastRank };
    }
    return { from: 1, seen, firstPhase: this.#events.lastPhaseSequence, leastRank };
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#waiting.push(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
  }
}

function lastErrorOf(text: string): string | null {
  if (text.length > 64 * 1024 || !/error/i.test(text)) return null;
  const found = text.split('\n').findLast((line) => ERROR_LINE.test(line.replaceAll(CONTROL, '')));
  return found === undefined ? null : oneLine(found);
}

/** The text as part of a sentence: one line, of bounded length, without what steers a terminal. */
function oneLine(text: string): string {
  const line = text
    .slice(0, 4 * MAX_FAILURE)
    .replaceAll(CONTROL, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return line.length <= MAX_FAILURE ? line : `${line.slice(0, MAX_FAILURE - 1)}…`;
}
