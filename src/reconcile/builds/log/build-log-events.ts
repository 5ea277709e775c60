import type { BuildNews } from '../../../domain/build/build.ts';
import type { Entry, EntryStore } from '../../event-log.ts';

/** An event with its place. */
export interface BuildEntry extends Entry {
  /** Number of the last line, this one included. */
  readonly line: number;
  readonly news: BuildNews;
}

type PhaseNews = Extract<BuildNews, { readonly type: 'phase' }>;

/** What an event costs besides its text, in bytes: measured, see docs/decisions/build-logs.md. */
const OVERHEAD = 128;

/**
 * The events of a build in bounded memory: those of the beginning stay, of the others the last ones.
 *
 * What was dropped is stood in for by one line, and by the phase that was dropped last: it still holds.
 */
export class BuildEvents implements EntryStore<BuildEntry> {
  readonly #room: number;
  readonly #head: BuildEntry[] = [];
  #headSize = 0;
  #isHeadFull = false;
  /** What comes after the head, from `#first` on. */
  #tail: (BuildEntry | undefined)[] = [];
  #first = 0;
  #tailSize = 0;
  #lastPhase: { readonly news: PhaseNews; readonly sequence: number } | undefined;
  #droppedPhase: BuildEntry | undefined;

  /** @param size most bytes that are kept */
  constructor(size: number) {
    this.#room = size / 2;
  }

  /** Bytes that are held. */
  get size(): number {
    return this.#headSize + this.#tailSize;
  }

  get lastPhase(): PhaseNews | undefined {
    return this.#lastPhase?.news;
  }

  /** 0 when there is none. */
  get lastPhaseSequence(): number {
    return this.#lastPhase?.sequence ?? 0;
  }

  push(entry: BuildEntry): void {
    const { news, sequence } = entry;
    if (news.type === 'phase') this.#lastPhase = { news, sequence };
    const size = sizeOf(news);
    this.#isHeadFull ||= this.#headSize + size > this.#room;
    if (!this.#isHeadFull) {
      this.#head.push(entry);
      this.#headSize += size;
      return;
    }
    this.#tail.push(entry);
    this.#tailSize += size;
    // The last event is always there, however long it is.
    while (this.#tailSize > this.#room && this.#first < this.#tail.length - 1) this.#drop();
  }

  /**
   * The event of this number. Where it was dropped, what stands in for it and those after it: the numbers of that are
   * those of the last one that is missing.
   *
   * @param line the last one that was seen
   */
  at(sequence: number, line = 0): BuildEntry | undefined {
    const inHead = this.#head[sequence - 1];
    if (inHead !== undefined) return inHead;
    const first = this.#tail[this.#first];
    if (first === undefined) return undefined;
    if (sequence >= first.sequence) return this.#tail[this.#first + sequence - first.sequence];
    return this.#standIn(sequence, first, line);
  }

  /** Gives up what is beyond so many bytes, from the middle of the log. The end may grow again afterwards. */
  shrink(size: number): void {
    const first = this.#tail[this.#first];
    const isWhole = first === undefined || first.sequence === this.#head.length + 1;
    const moved: BuildEntry[] = [];
    for (let last = this.#head.at(-1); last !== undefined && this.#headSize > size / 2; last = this.#head.at(-1)) {
      this.#headSize -= sizeOf(last.news);
      this.#tailSize += sizeOf(last.news);
      this.#head.pop();
      moved.push(last);
    }
    this.#isHeadFull ||= moved.length > 0;
    this.#tail = [...moved.reverse(), ...this.#tail.slice(this.#first)];
    this.#first = 0;
    // What was at the end of the beginning does not join the end of the log once something between them is gone.
    if (!isWhole) for (let count = moved.length; count > 0; count -= 1) this.#drop();
    while (this.#tailSize > size / 2 && this.#first < this.#tail.length - 1) this.#drop();
  }

  #standIn(sequence: number, first: BuildEntry, line: number): BuildEntry {
    const lastMissing = first.sequence - 1;
    const lastLine = first.news.type === 'log' ? first.line - 1 : first.line;
    // The phase that still holds follows the line that says what is missing, for a reader that has not heard of it.
    const phase = this.#droppedPhase;
    const isPhaseNext = phase !== undefined && phase.sequence >= sequence;
    if (isPhaseNext && lastLine <= line) return { ...phase, sequence: lastMissing, line: lastLine };
    const missing = lastLine - Math.max(line, this.#head.at(-1)?.line ?? 0);
    const text = `[… ${missing} lines are not kept …]\n`;
    const news = { type: 'log' as const, line: lastLine, phase: null, text };
    return { sequence: isPhaseNext ? phase.sequence - 1 : lastMissing, line: lastLine, news };
  }

  #drop(): void {
    const event = this.#tail[this.#first];
    if (event === undefined) return;
    const isLater = event.sequence > (this.#droppedPhase?.sequence ?? 0);
    if (event.news.type === 'phase' && isLater) this.#droppedPhase = event;
    this.#tailSize -= sizeOf(event.news);
    this.#tail[this.#first] = undefined;
    this.#first += 1;
    // Now and then, so that dropping costs the same however long the log is.
    if (this.#first < 1024 || this.#first * 2 < this.#tail.length) return;
    this.#tail = this.#tail.slice(this.#first);
    this.#first = 0;
  }
}

/** Text with anything but ASCII takes two bytes a character in memory, at most. */
function sizeOf(news: BuildNews): number {
  const text = news.type === 'log' ? news.text : news.message;
  const bytes = Buffer.byteLength(text);
  return OVERHEAD + (bytes === text.length ? bytes : Math.max(bytes, 2 * text.length));
}
