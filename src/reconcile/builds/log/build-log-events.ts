import { type BuildNews, isBuildOver } from '../../../domain/build/build.ts';

/** An event with its place. */
export interface KeptEvent {
  /** From 1. */
  readonly sequence: number;
  /** Number of the last line, this one included. */
  readonly line: number;
  readonly news: BuildNews;
}

type PhaseNews = Extract<BuildNews, { readonly type: 'phase' }>;

/** What an event costs besides its text, roughly, in bytes. */
const OVERHEAD = 128;

/**
 * The events of a build in bounded memory: those of the beginning stay, of the others the last ones.
 *
 * What was dropped is stood in for by one line, and by the phase that was dropped last: it still holds.
 */
export class BuildEvents {
  readonly #room: number;
  readonly #head: KeptEvent[] = [];
  #headSize = 0;
  #isHeadFull = false;
  /** What comes after the head, from `#first` on. */
  #tail: (KeptEvent | undefined)[] = [];
  #first = 0;
  #tailSize = 0;
  #sequence = 0;
  #lastPhase: { readonly news: PhaseNews; readonly sequence: number } | undefined;
  #droppedPhase: KeptEvent | undefined;
  #end: KeptEvent | undefined;

  /** @param size most bytes that are kept */
  constructor(size: number) {
    this.#room = size / 2;
  }

  get lastSequence(): number {
    return this.#sequence;
  }

  get lastPhase(): PhaseNews | undefined {
    return this.#lastPhase?.news;
  }

  /** 0 when there is none. */
  get lastPhaseSequence(): number {
    return this.#lastPhase?.sequence ?? 0;
  }

  /** The terminal event. */
  get end(): KeptEvent | undefined {
    return this.#end;
  }

  push(news: BuildNews, line: number): void {
    this.#sequence += 1;
    const event = { sequence: this.#sequence, line, news };
    if (news.type === 'phase') this.#lastPhase = { news, sequence: event.sequence };
    if (isBuildOver(news)) this.#end = event;
    const size = sizeOf(news);
    this.#isHeadFull ||= this.#headSize + size > this.#room;
    if (!this.#isHeadFull) {
      this.#head.push(event);
      this.#headSize += size;
      return;
    }
    this.#tail.push(event);
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
  at(sequence: number, line: number): KeptEvent | undefined {
    const inHead = this.#head[sequence - 1];
    if (inHead !== undefined) return inHead;
    const first = this.#tail[this.#first];
    if (first === undefined || sequence > this.#sequence) return undefined;
    if (sequence >= first.sequence) return this.#tail[this.#first + sequence - first.sequence];
    return this.#standIn(sequence, first, line);
  }

  #standIn(sequence: number, first: KeptEvent, line: number): KeptEvent {
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
    if (event.news.type === 'phase') this.#droppedPhase = event;
    this.#tailSize -= sizeOf(event.news);
    this.#tail[this.#first] = undefined;
    this.#first += 1;
    // Now and then, so that dropping costs the same however long the log is.
    if (this.#first < 1024 || this.#first * 2 < this.#tail.length) return;
    this.#tail = this.#tail.slice(this.#first);
    this.#first = 0;
  }
}

function sizeOf(news: BuildNews): number {
  return OVERHEAD + Buffer.byteLength(news.type === 'log' ? news.text : news.message);
}
