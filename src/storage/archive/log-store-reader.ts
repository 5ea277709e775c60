import { createReadStream } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import type { BuildResult, BuildSpec } from '../../domain/build/build.ts';
import { raceAbort } from '../../util/abort.ts';
import { withDeadline } from '../../util/deadline.ts';
import { jsonLines } from '../../util/json-lines.ts';

/** A line as it is kept. `line` jumps where lines were dropped. */
export interface StoredLine {
  readonly line: number;
  readonly phase: string | null;
  readonly text: string;
}

/** How a build ended: the first line of a file. */
export interface StoredBuild {
  readonly spec: BuildSpec;
  readonly result: BuildResult;
}

/** Longest line that is read, in characters: a log's own bound with everything escaped. */
const MAX_LINE = 8 * 1024 * 1024;
const LINES_A_TURN = 256;
/** How long a piece of a file may take, in milliseconds: a volume that is gone may never answer. */
const CHUNK_MS = 30_000;

/** @throws Error when the file is not there or is none of ours */
export async function readHeader(path: string, signal: AbortSignal): Promise<StoredBuild> {
  for await (const line of valuesOf(path, signal)) {
    const { version, spec, result } = line as { version?: unknown } & { [Key in keyof StoredBuild]?: unknown };
    if (version !== 1 || !isSpec(spec) || !isResult(result)) break;
    return { spec, result };
  }
  throw new Error('it has no header');
}

/** The lines after the header. @throws Error where the file is damaged, does not answer in time, or when `signal` aborts */
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<StoredLine> {
  let count = 0;
  for await (const each of valuesOf(path, signal)) {
    count += 1;
    if (count === 1) continue;
    if (!isLine(each)) throw new Error('it holds something that is no line');
    yield each;
    if (count % LINES_A_TURN === 0) await nextTurn();
  }
}

function valuesOf(path: string, signal?: AbortSignal): AsyncGenerator<unknown> {
  return jsonLines(textOf(path, signal), { longest: MAX_LINE, unfinished: 'it is cut off' });
}

/** The text of a file, piece by piece. */
async function* textOf(path: string, signal?: AbortSignal): AsyncGenerator<string> {
  const file = createReadStream(path);
  const text = createGunzip();
  file.on('error', (error) => text.destroy(error));
  file.pipe(text).setEncoding('utf8');
  const chunks = (text as AsyncIterable<string>)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const chunk = await withDeadline({ ms: CHUNK_MS, signal }, (until) => raceAbort(chunks.next(), until));
      if (chunk.done === true) return;
      yield chunk.value;
    }
  } finally {
    text.destroy();
    file.destroy();
  }
}

function isLine(value: unknown): value is StoredLine {
  const { line, phase, text } = (value ?? {}) as { [Key in keyof StoredLine]?: unknown };
  return Number.isSafeInteger(line) && (phase === null || typeof phase === 'string') && typeof text === 'string';
}

function isSpec(value: unknown): value is BuildSpec {
  const { id, key, image, repository } = (value ?? {}) as { [Key in keyof BuildSpec]?: unknown };
  return [id, key, image].every((text) => typeof text === 'string') && typeof repository === 'object';
}

function isResult(value: unknown): value is BuildResult {
  const { status, at } = (value ?? {}) as { status?: unknown; at?: unknown };
  return typeof at === 'number' && ['ready', 'failed', 'cancelled'].includes(status as string);
}
