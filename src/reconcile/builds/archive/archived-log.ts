import type { BuildEvent } from '../../../domain/build/build.ts';
import type { StoredBuild, StoredLine } from '../../../storage/archive/log-store.ts';
import { endOf } from '../controller/build-operations.ts';
import { formatEventId, positionIn } from '../log/build-log-position.ts';

/** The log of a build as its readers see it, wherever it is. */
export interface ReadableLog {
  /** Everything after `lastEventId`, then what comes, until the terminal event or until `signal` aborts. */
  read(lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<BuildEvent>;
  /** Its text as far as it goes, an entry of it each, without the newline at its end. */
  text(signal?: AbortSignal): Iterable<string> | AsyncIterable<string>;
}

/** In place of the epoch of a log in memory: its numbers are those of lines, the same at every replica. */
const EPOCH = 'archive';

/** The log of a build that is over, read from its file line by line: a reader costs a place in the file and a line. */
export class ArchivedLog implements ReadableLog {
  readonly #build: StoredBuild;
  readonly #lines: (after: number, signal?: AbortSignal) => AsyncIterable<StoredLine>;

  /** @param lines those behind the line of this number */
  constructor(build: StoredBuild, lines: (after: number, signal?: AbortSignal) => AsyncIterable<StoredLine>) {
    this.#build = build;
    this.#lines = lines;
  }

  async *read(lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    const { spec, result } = this.#build;
    const build = spec.createdAt.toString(36);
    const position = positionIn(lastEventId, spec.id, build);
    const { rank } = position ?? { rank: 0 };
    let line = position?.line ?? 0;
    const idOf = (sequence: number) => formatEventId(spec.id, { build, epoch: EPOCH, sequence, line, rank });
    for await (const { phase, text, ...next } of this.#lines(line, signal)) {
      if (signal.aborted) return;
      line = next.line;
      yield { type: 'log', line, phase, text, id: idOf(line) };
    }
    if (!signal.aborted) yield { ...endOf(spec, result), id: idOf(line + 1) };
  }

  async *text(signal?: AbortSignal): AsyncGenerator<string> {
    for await (const { text } of this.#lines(0, signal)) yield text.replace(/\r?\n$/, '');
  }
}
