import { type BuildEvent, type BuildNews, type BuildPhase, isBuildOver } from '../../../domain/build/build.ts';
import { isBareFailure, parseRepo2dockerLine } from '../../../domain/build/repo2docker-line.ts';
import type { Reason } from '../../../domain/lab/reasons.ts';
import type { StoredLine } from '../../../storage/archive/log-store.ts';
import { EventLog } from '../../event-log.ts';
import { type BuildEntry, BuildEvents } from './build-log-events.ts';
import { formatEventId, positionIn, rankOf } from './build-log-position.ts';
import type { LogBudget } from './log-budget.ts';

/** The event that ends a build's stream. */
export type BuildEnd = Extract<BuildNews, { readonly type: 'ready' | 'failed' | 'cancelled' }>;

export interface BuildLogOptions {
  /** Most bytes of lines that are kept, of the beginning and of the end; each line counts for some more. */
  readonly size: number;
  /** When the build was asked for, milliseconds since the epoch: tells it from one of the same id before it. */
  readonly createdAt?: number;
  /** Shared with other logs: the largest of them give way when it is used up. */
  readonly budget?: LogBudget;
}

/** Longest failure, in characters: it becomes part of a sentence. */
const MAX_FAILURE = 600;
const MAX_BEGINNING = 300;
const ERROR_LINE = /^\s*(?:error|repo2docker: error)\b\s*:/i;

const CONTROL = /\u001b\[[0-9;?]*[A-Za-z]|[\u0000-\u001f\u007f]+/g;

/**
 * The events of one build, from its start to its one terminal event, for any number of readers.
 *
 * Of a long log the beginning and the end are kept; a reader that has fallen behind that, or comes later, gets one line that
 * says how many are missing.
 *
 * Event ids say which build, which log of it, and how far: the sequence number of the event in that log, the number of the
 * line, and what the build does. The log of a container is the same however often and by whomever it is read, so that the
 * number of the line is enough to go on at another replica.
 */
export class BuildLog {
  readonly id: string;
  readonly #events: BuildEvents;
  readonly #log: EventLog<BuildEntry>;
  readonly #budget: LogBudget | undefined;
  readonly #build: string;
  #isDiscarded = false;
  #lines = 0;
  #lastPhase: string | null = null;
  #fatal: string | null = null;
  #reason: Reason | null = null;
  #error: string | null = null;

  constructor(id: string, { size, createdAt = 0, budget }: BuildLogOptions) {
    this.id = id;
    this.#events = new BuildEvents(size);
    this.#log = new EventLog(this.#events);
    this.#build = createdAt.toString(36);
    this.#budget = budget;
    budget?.add(this);
  }

  /** Number of the last line. */
  get lines(): number {
    return this.#lines;
  }

  /** How many read at the moment. */
  get readers(): number {
    return this.#log.readers;
  }

  get ended(): boolean {
    return this.#log.ended;
  }

  /** Bytes that it holds. */
  get size(): number {
    return this.#events.size;
  }

  /** What repo2docker said last that it does; when it has given up, what it did then. */
  get lastPhase(): string | null {
    return this.#lastPhase;
  }

  /**
   * Why it failed, as far as the log says, in one line: what repo2docker gave up with, or the error before it where that
   * says only that a step failed. Null when the log does not say.
   */
  get failure(): string | null {
    if (this.#fatal !== null && (this.#reason !== null || this.#error === null || !isBareFailure(this.#fatal)))
      return this.#fatal;
    return this.#error;
  }

  /** The word that goes with that, where the builder has one. */
  get failureReason(): Reason | null {
    return this.#reason;
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
    const { text, phase, isFatal, reason } = parseRepo2dockerLine(raw);
    // What it says when it gives up is no step of the build: the step that has failed is the one before.
    if (phase !== null && phase !== 'unknown' && !isFatal) this.#lastPhase = phase;
    if (isFatal) {
      this.#fatal = oneLine(text);
      this.#reason = reason ?? null;
    } else this.#error = lastErrorOf(text) ?? this.#error;
    this.#lines += 1;
    this.#appendLine(phase, text);
  }

  /** Appends a line of ours. It is no output of the build and not counted as a line of it: other replicas do not have it. */
  note(text: string): void {
    this.#append({ type: 'log', line: this.#lines + 1, phase: null, text: `[${text}]\n` }, this.#lines + 1);
  }

  /** The terminal event. Only the first one counts, and nothing comes after it. */
  end(news: BuildEnd): void {
    this.#append(news);
  }

  /** Everything after `lastEventId`, then what comes, until the terminal event or until `signal` aborts. */
  async *read(lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    const { from, seen, firstPhase, leastRank } = this.#resume(lastEventId);
    let line = seen;
    let rank = leastRank;
    const entries = this.#log.follow(from, signal, (sequence) => this.#events.at(sequence, line));
    try {
      for await (const entry of entries) {
        const { news } = entry;
        if (news.type === 'log' && news.line <= line) continue;
        if (news.type === 'phase') {
          const isOld = entry.sequence < firstPhase || (rankOf(news.phase) > 0 && rankOf(news.phase) < rank);
          if (isOld) continue;
          rank = Math.max(rank, rankOf(news.phase));
        }
        line = Math.max(line, entry.line);
        const place = { ...entry, epoch: this.#log.epoch, build: this.#build, line, rank };
        yield { ...news, id: formatEventId(this.id, place) };
      }
    } finally {
      if (this.#isDiscarded) this.discard();
    }
  }

  /** Nobody is given it any more: it leaves the budget when those who still read it have gone. */
  discard(): void {
    this.#isDiscarded = true;
    if (this.readers === 0) this.#budget?.remove(this);
  }

  /** Gives up what is beyond so many bytes, from its middle. */
  shrink(size: number): void {
    this.#events.shrink(size);
  }

  /** The text of the log, an entry of it each, without the newline at its end. */
  *text(): IterableIterator<string> {
    for (const { text } of this.stored()) yield text.replace(/\r?\n$/, '');
  }

  /** What is worth keeping when the build is over. Lines that are missing are one that says so. */
  *stored(): IterableIterator<StoredLine> {
    let line = 0;
    const { last } = this.#log;
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

  #append(news: BuildNews, line = this.#lines): void {
    if (this.ended) return;
    const make = (sequence: number): BuildEntry => ({ sequence, line, news });
    if (isBuildOver(news)) this.#log.end(make);
    else this.#log.append(make);
    this.#budget?.resized(this);
  }

  /**
   * Where to go on: what comes next, the line that was seen last, and the first phase that is still news. A process that
   * has just begun to read a log says of the build what is true of its first lines, which its readers know better.
   */
  #resume(lastEventId: string | undefined): { from: number; seen: number; firstPhase: number; leastRank: number } {
    const position = positionIn(lastEventId, this.id, this.#build);
    if (position === undefined) return { from: 1, seen: 0, firstPhase: 0, leastRank: 0 };
    const { line: seen, rank: leastRank } = position;
    const from = this.#log.after(position);
    if (from !== undefined) return { from, seen, firstPhase: 0, leastRank };
    return { from: 1, seen, firstPhase: this.#events.lastPhaseSequence, leastRank };
  }
}

function lastErrorOf(text: string): string | null {
  if (text.length > 64 * 1024 || !/error/i.test(text)) return null;
  const found = text.split('\n').findLast((line) => ERROR_LINE.test(line.replaceAll(CONTROL, '')));
  return found === undefined ? null : oneLine(found);
}

/** The text as part of a sentence: one line, of bounded length, without what steers a terminal. */
function oneLine(text: string): string {
  const most = 4 * MAX_FAILURE;
  const line = (text.length <= 2 * most ? text : `${text.slice(0, most)}…${text.slice(-most)}`)
    .replaceAll(CONTROL, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  if (line.length <= MAX_FAILURE) return line;
  // What was done is at the beginning, and why it has failed at the end.
  return `${line.slice(0, MAX_BEGINNING)}…${line.slice(line.length - MAX_FAILURE + MAX_BEGINNING + 1)}`;
}
