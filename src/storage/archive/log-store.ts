import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import type { Logger } from 'pino';
import { SetupError } from '../../domain/setup-error.ts';
import { raceAbort } from '../../util/abort.ts';
import { withDeadline } from '../../util/deadline.ts';
import { errorCode } from '../../util/http.ts';
import { surplusOf, listLogFiles, TEMPORARY } from './log-store-files.ts';
import { readHeader, readLines, type StoredBuild, type StoredLine } from './log-store-reader.ts';
import { OpenFiles, type OpenFilesOptions } from './open-files.ts';

export type { StoredBuild, StoredLine } from './log-store-reader.ts';

export interface LogStoreOptions {
  /** It must be there: one that is made here would hide that a volume is not mounted. */
  readonly directory: string;
  /** Most bytes of all files. */
  readonly totalSize: number;
  /** How long a file is kept, in milliseconds. */
  readonly retention: number;
  /** Most files; each takes some bytes of memory as well. */
  readonly files?: number;
  /** For reading logs. */
  readonly open?: OpenFilesOptions;
  readonly logger: Logger;
}

/** An id is part of a file's name: nothing else may be. */
const ID = /^[0-9a-z][0-9a-z-]{0,62}$/;
const SUFFIX = '.jsonl.gz';
const MAX_FILES = 10_000;
const LINES_A_TURN = 256;
const SAVE_MS = 120_000;
/** For what is no long log: a list of names, a header, a removal. */
const LOOK_MS = 30_000;
const OPEN: OpenFilesOptions = { most: 32, idleMs: 5_000, waitMs: 30_000 };
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
  readonly #open: OpenFiles;

  constructor(options: LogStoreOptions) {
    this.#options = options;
    this.#open = new OpenFiles(options.open ?? OPEN);
  }

  /** @throws {SetupError} when the directory is not there or cannot be written */
  static async open(options: LogStoreOptions): Promise<LogStore> {
    const probe = join(options.directory, temporaryName('probe'));
    try {
      await withDeadline({ ms: LOOK_MS }, async (until) => {
        await raceAbort(writeFile(probe, '', { mode: 0o600, flag: 'wx' }), until);
        await raceAbort(rm(probe), until);
      });
    } catch (cause) {
      const why = cause instanceof Error ? (errorCode(cause) ?? cause.message) : 'unknown';
      throw new SetupError(`The directory for logs of builds, ${options.directory}, cannot be written: ${why}`, {
        cause,
      });
    }
    return new LogStore(options);
  }

  /**
   * Keeps a build, in place of what is kept of its id: under a name of its own until it is complete, so that two replicas may
   * keep the same build at once.
   *
   * @throws Error when it cannot be written in two minutes, or the reason of `signal`
   */
  async save({ lines, ...build }: StoredBuild & { readonly lines: Iterable<StoredLine> }, signal?: AbortSignal) {
    const { id } = build.spec;
    const path = this.#path(id);
    const temporary = join(this.#options.directory, temporaryName(id));
    const late = () => new Error(`The log of build ${id} could not be written in time`);
    try {
      await withDeadline({ ms: SAVE_MS, signal, late }, async (until) => {
        const file = createWriteStream(temporary, { mode: 0o600, flags: 'wx' });
        await raceAbort(pipeline(chunks(build, lines), createGzip(), file, { signal: until }), until);
        await raceAbort(move(temporary, path), until);
      });
    } catch (error) {
      await withDeadline({ ms: LOOK_MS }, (until) => raceAbort(rm(temporary, { force: true }), until)).catch(
        () => undefined,
      );
      throw error;
    }
  }

  /** How a build ended; undefined when it is not kept or its file is damaged. @throws Error when that cannot be found out */
  async find(id: string, signal?: AbortSignal): Promise<StoredBuild | undefined> {
    if (!ID.test(id)) return undefined;
    return withDeadline({ ms: LOOK_MS, signal }, (until) => raceAbort(this.#header(id, until), until));
  }

  /**
   * The lines that are kept of a build, read as they are asked for. They end early where the file is damaged or gone.
   *
   * @param after number of the last line that is not asked for
   * @throws Error when too many logs are read at once, or the volume does not answer
   */
  async *lines(id: string, after = 0, signal?: AbortSignal): AsyncGenerator<StoredLine> {
    const path = this.#path(id);
    let last = after;
    for (let isClosed = true; isClosed;) {
      isClosed = false;
      const file = await this.#open.take(signal);
      const lines = readLines(path, signal);
      try {
        for await (const each of lines) {
          if (each.line <= last) continue;
          last = each.line;
          file.idle(() => void lines.return(undefined));
          yield each;
          isClosed = !file.resume();
          // It is opened once more, and read on from there.
          if (isClosed) break;
        }
      } catch (err) {
        if (signal?.aborted === true) return;
        if (isUnanswered(err)) throw err;
        this.#options.logger.warn({ build: id, err }, 'the archived log of a build is damaged');
      } finally {
        file.release();
      }
    }
  }

  /**
   * What is kept, newest first: at most so many as are kept at all.
   *
   * @param isKnown whether the file, written at this time, need not be read: it is then left out
   */
  async list(signal?: AbortSignal, isKnown: (id: string, at: number) => boolean = () => false): Promise<StoredBuild[]> {
    const { directory, files: most = MAX_FILES, logger } = this.#options;
    const { logs } = await listLogFiles(directory, idOf);
    const ids = logs.slice(0, most).flatMap(({ id, at }) => (id === undefined || isKnown(id, at) ? [] : [id]));
    const builds: (StoredBuild | undefined)[] = [];
    let next = 0;
    const work = async () => {
      for (let at = next++; at < ids.length; at = next++) {
        const id = ids[at] ?? '';
        try {
          builds[at] = await this.find(id, signal);
        } catch (err) {
          signal?.throwIfAborted();
          logger.warn({ build: id, err }, 'the archived log of a build cannot be read');
        }
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
        logger.warn({ file: file.name, err }, 'the archived log of a build cannot be removed');
      }
    }
    return gone;
  }

  async #header(id: string, signal: AbortSignal): Promise<StoredBuild | undefined> {
    try {
      const header = await readHeader(this.#path(id), signal);
      if (header.spec.id === id) return header;
      throw new Error('it is of another build');
    } catch (err) {
      if (err instanceof Error && errorCode(err) === 'ENOENT') return undefined;
      if (signal.aborted || isUnanswered(err)) throw err;
      this.#options.logger.warn({ build: id, err }, 'the archived log of a build is damaged');
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

/** Whether it says nothing of the file: the volume does not answer, or not now. */
function isUnanswered(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = errorCode(error) ?? '';
  return error.name === 'TimeoutError' || (code !== 'ENOENT' && /^E[A-Z]+$/.test(code));
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

async function* chunks(build: StoredBuild, lines: Iterable<StoredLine>): AsyncGenerator<string> {
  yield `${JSON.stringify({ version: 1, ...build })}\n`;
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
