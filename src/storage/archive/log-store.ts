import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import type { Logger } from 'pino';
import type { BuildResult, BuildSpec } from '../../domain/build/build.ts';
import { SetupError } from '../../domain/setup-error.ts';
import { unlessLate } from '../../util/unless-late.ts';
import { errorCode } from '../../util/http.ts';
import { surplusOf, listLogFiles, TEMPORARY } from './log-store-files.ts';
import { readHeader, readLines, type StoredHeader, type StoredLine } from './log-store-reader.ts';

export type { StoredHeader, StoredLine } from './log-store-reader.ts';

export interface LogStoreOptions {
  /** It must be there: one that is made here would hide that a volume is not mounted. */
  readonly directory: string;
  /** Most bytes of all files. */
  readonly totalSize: number;
  /** How long a file is kept, in milliseconds. */
  readonly retention: number;
  /** Most files; each takes some bytes of memory as well. */
  readonly files?: number;
  readonly logger: Logger;
}

/** What is known of a build that is kept. */
export interface StoredBuild {
  readonly spec: BuildSpec;
  readonly result: BuildResult;
}

/** An id is part of a file's name: nothing else may be. */
const ID = /^[0-9a-z][0-9a-z-]{0,62}$/;
const SUFFIX = '.jsonl.gz';
const MAX_FILES = 10_000;
const LINES_A_TURN = 256;
const SAVE_MS = 120_000;
const HEADERS_AT_ONCE = 8;
/** What a file system says that cannot rename: some object stores behind FUSE. */
const NO_RENAME = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EPERM', 'EXDEV', 'EINVAL']);

/**
 * Logs and results of finished builds in a directory: a volume, or an object store that is mounted. One file for each
 * build, gzip of JSON lines: a header with specification and result, then the lines. Several controllers may share it.
 *
 * A file appears under its name when it is complete, where the file system can do that; one that is damaged is left out.
 */
export class LogStore {
  readonly #options: LogStoreOptions;

  private constructor(options: LogStoreOptions) {
    this.#options = options;
  }

  /** @throws {SetupError} when the directory is not there or cannot be written */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const probe = join(options.directory, temporaryName('probe'));
    try {
      await writeFile(probe, '', { mode: 0o600, flag: 'wx' });
      await rm(probe);
    } catch (cause) {
      const why = cause instanceof Error ? (errorCode(cause) ?? cause.message) : 'unknown';
      throw new SetupError(`The directory for logs of builds, ${options.directory}, cannot be written: ${why}`, {
        cause,
      });
    }
    return new LogStore(options);
  }

  /** Keeps a build, in place of what is kept of its id. @throws Error when it cannot be written in two minutes */
  async save(id: string, build: StoredBuild & { readonly lines: Iterable<StoredLine> }): Promise<void> {
    const path = this.#path(id);
    const temporary = join(this.#options.directory, temporaryName(id));
    const ended = new AbortController();
    const late = () => {
      const error = new Error(`The log of build ${id} could not be written in time`);
      ended.abort(error);
      return error;
    };
    try {
      const file = createWriteStream(temporary, { mode: 0o600, flags: 'wx' });
      const written = pipeline(Readable.from(chunks(build)), createGzip(), file, { signal: ended.signal });
      await unlessLate(written, SAVE_MS, late);
      await move(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /**
   * What is kept of a build; undefined when that is nothing or damaged. The lines are read as they are asked for, and end
   * early where the file is damaged.
   */
  async load(id: string): Promise<(StoredBuild & { readonly lines: AsyncIterable<StoredLine> }) | undefined> {
    if (!ID.test(id)) return undefined;
    const header = await this.#header(id);
    if (header === undefined) return undefined;
    const damaged = (err: unknown) =>
      this.#options.logger.warn({ build: id, err }, 'the kept log of a build is damaged');
    return { ...header, lines: readLines(this.#path(id), damaged) };
  }

  /** What is kept, newest first: at most so many as are kept at all. */
  async list(signal?: AbortSignal): Promise<StoredBuild[]> {
    const { directory, files: most = MAX_FILES } = this.#options;
    const files = (await listLogFiles(directory, idOf)).logs.slice(0, most);
    const builds: (StoredBuild | undefined)[] = [];
    let next = 0;
    const work = async () => {
      for (let at = next++; at < files.length; at = next++) {
        signal?.throwIfAborted();
        builds[at] = await this.#header(files[at]?.id ?? '');
      }
    };
    await Promise.all(Array.from({ length: HEADERS_AT_ONCE }, work));
    return builds.filter((build) => build !== undefined);
  }

  /**
   * Removes what is too old, and the oldest of what is too much.
   *
   * @param now milliseconds since the epoch
   * @returns ids of the builds that are kept no more
   */
  async sweep(now: number): Promise<string[]> {
    const { directory, totalSize, retention, files = MAX_FILES, logger } = this.#options;
    const { logs, leftovers } = await listLogFiles(directory, idOf);
    const surplus = surplusOf(logs, { totalSize, retention, files, now });
    const gone: string[] = [];
    for (const file of [...surplus, ...leftovers.filter(({ at }) => now - at > 10 * SAVE_MS)]) {
      try {
        await rm(join(directory, file.name), { force: true });
        if (file.id !== undefined) gone.push(file.id);
      } catch (err) {
        logger.warn({ file: file.name, err }, 'the kept log of a build cannot be removed');
      }
    }
    return gone;
  }

  async #header(id: string): Promise<StoredHeader | undefined> {
    try {
      const header = await readHeader(this.#path(id));
      if (header.spec.id === id) return header;
      throw new Error('it is of another build');
    } catch (err) {
      if (err instanceof Error && errorCode(err) === 'ENOENT') return undefined;
      this.#options.logger.warn({ build: id, err }, 'the kept log of a build is damaged');
      return undefined;
    }
  }

  #path(id: string): string {
    if (!ID.test(id)) throw new TypeError('an id that is part of a file name must be of small letters and digits');
    return join(this.#options.directory, `${id}${SUFFIX}`);
  }
}

function temporaryName(id: string): string {
  return `${TEMPORARY}${id}-${randomBytes(6).toString('hex')}`;
}

/** The id that a file's name holds; undefined for a foreign file, which is left alone. */
function idOf(name: string): string | undefined {
  const id = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : '';
  return ID.test(id) ? id : undefined;
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(error instanceof Error) || !NO_RENAME.has(errorCode(error) ?? '')) throw error;
    await copyFile(from, to);
    await rm(from, { force: true });
  }
}

async function* chunks({ spec, result, lines }: StoredBuild & { lines: Iterable<StoredLine> }): AsyncGenerator<string> {
  yield `${JSON.stringify({ version: 1, spec, result })}\n`;
  let chunk: string[] = [];
  for (const { line, phase, text } of lines) {
    chunk.push(`${JSON.stringify({ line, phase, text })}\n`);
    if (chunk.length < LINES_A_TURN) continue;
    yield chunk.join('');
    chunk = [];
    await nextTurn();
  }
  yield chunk.join('');
}
