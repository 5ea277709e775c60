import { createReadStream } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import type { BuildResult, BuildSpec } from '../../domain/build/build.ts';
import { withDeadline } from '../../util/deadline.ts';
import { unlessAborted } from '../../util/unless-aborted.ts';

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
  for await (const line of jsonLines(path, signal)) {
    const { version, spec, result } = line as { version?: unknown } & { [Key in keyof StoredBuild]?: unknown };
    if (version !== 1 || !isSpec(spec) || !isResult(result)) break;
    return { spec, result };
  }
  throw new Error('it has no header');
}

/** The lines after the header. @throws Error where the file is damaged, does not answer in time, or when `signal` aborts */
export async function* readLines(path: string, signal?: AbortSignal): AsyncGenerator<StoredLine> {
  let count = 0;
  for await (const each of jsonLines(path, signal)) {
    count += 1;
    if (count === 1) continue;
    if (!isLine(each)) throw new Error('it holds something that is no line');
    yield each;
    if (count % LINES_A_TURN === 0) await nextTurn();
  }
}

async function* jsonLines(path: string, signal?: AbortSignal): AsyncGenerator<unknown> {
  const file = createReadStream(path);
  const text = createGunzip();
  file.on('error', (error) => text.destroy(error));
  file.pipe(text).setEncoding('utf8');
  const chunks = (text as AsyncIterable<string>)[Symbol.asyncIterator]();
  let rest = '';
  try {
    for (;;) {
      const chunk = await withDeadline({ ms: CHUNK_MS, signal }, (until) => unlessAborted(chunks.next(), until));
      if (chunk.done === true) return;
      const lines = (rest + chunk.value).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_LINE) throw new Error('a line is too long');
      for (const line of lines) yield parse(line);
    }
  } finally {
    text.destroy();
    file.destroy();
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    // Without the cause: it quotes the line.
    throw new Error('a line is not JSON');
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
