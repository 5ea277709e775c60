import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { type Logger, pino } from 'pino';
import { slugOf } from '../../src/domain/names.ts';
import { LabLog } from './lab-log.ts';
import { killMarked } from './marked-processes.ts';

const GUARD = join(import.meta.dirname, 'guard.ts');
const GUARD_PATIENCE_MS = 5_000;

/** Why labs cannot be run as processes here. */
export class LocalLabsError extends Error {
  override readonly name = 'LocalLabsError';
  readonly code = 'local_labs';
}

/**
 * The folder where labs that are processes have their homes and logs. One program at a time holds it: whatever carries the
 * folder's mark when it is opened was left behind by an earlier one, and is killed.
 *
 * While it is held, a guard (guard.ts) waits for the end of this program, so that no lab outlives it.
 */
export class LocalLabs {
  /** Where commands are looked for first: `.venv/bin` beside the folder. */
  readonly commands: string;
  readonly #folder: string;
  /** Marks the processes of this run. */
  readonly #mark: string;
  readonly #holder: Server;
  readonly #guard: ChildProcess;

  /** @throws LocalLabsError when it cannot be had; Error of the file system */
  static async open(path: string, logger: Logger = pino({ level: 'silent' })): Promise<LocalLabs> {
    if (process.platform !== 'linux') throw new LocalLabsError('labs can be processes of this machine on Linux only');
    const folder = await realpath(await privateFolder(path));
    const id = createHash('sha256').update(folder).digest('hex').slice(0, 16);
    const holder = await hold(id);
    try {
      if (!(await killMarked(`${id}.`))) {
        throw new LocalLabsError(`processes of an earlier start in ${folder} cannot be ended`);
      }
      return new LocalLabs(folder, `${id}.${randomBytes(8).toString('hex')}`, holder, logger);
    } catch (error) {
      await closed(holder);
      throw error;
    }
  }

  private constructor(folder: string, mark: string, holder: Server, logger: Logger) {
    this.commands = join(dirname(folder), '.venv', 'bin');
    this.#folder = folder;
    this.#mark = mark;
    this.#holder = holder;
    this.#guard = spawn(process.execPath, [GUARD, mark], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#guard.stdin?.on('error', () => undefined);
    // Neither of the two is a reason for this program to go on.
    holder.unref();
    this.#guard.unref();
    (this.#guard.stdin as Socket | null)?.unref();
    const complain = () =>
      logger.warn('the guard of the local labs is gone: they would outlive a kill of this program');
    this.#guard.on('error', complain);
    this.#guard.once('exit', () => {
      if (this.#guard.stdin?.writableEnded !== true) complain();
    });
  }

  /** Writes a file of the folder that its owner alone can read, in place of the one before. */
  async writeSecret(name: string, text: string): Promise<void> {
    const path = join(this.#folder, name);
    const fresh = `${path}.new`;
    await rm(fresh, { force: true });
    await writeFile(fresh, `${text}\n`, { mode: 0o600, flag: 'wx' });
    await rename(fresh, path);
  }

  /** The home folder for the labs of the pod's user, made when it is missing. All servers of a user share it. */
  async homeOf({ metadata }: V1Pod): Promise<string> {
    const username = metadata?.annotations?.['labwright.dev/username'];
    // No slug begins so.
    const name = username === undefined ? `--${metadata?.namespace ?? ''}` : slugOf(username);
    await privateFolder(join(this.#folder, 'homes'));
    return privateFolder(join(this.#folder, 'homes', name));
  }

  /** A new log for the pod's lab, in place of the one before. */
  async logOf({ metadata }: V1Pod): Promise<LabLog> {
    const logs = await privateFolder(join(this.#folder, 'logs'));
    return LabLog.open(join(logs, `${metadata?.namespace ?? ''}_${metadata?.name ?? ''}.log`));
  }

  /** The mark of the pod's processes. */
  markOf({ metadata }: V1Pod): string {
    return `${this.#mark}.${metadata?.uid ?? ''}`;
  }

  /** Kills what still runs, and lets go of the folder. */
  async close(): Promise<void> {
    try {
      await killMarked(this.#mark);
    } finally {
      // The guard has another go at what could not be ended.
      await this.#dismissGuard();
      await closed(this.#holder);
    }
  }

  async #dismissGuard(): Promise<void> {
    const guard = this.#guard;
    if (guard.pid === undefined || guard.exitCode !== null || guard.signalCode !== null) return;
    guard.ref();
    const ended = once(guard, 'exit', { signal: AbortSignal.timeout(GUARD_PATIENCE_MS) });
    guard.stdin?.end();
    await ended.catch(() => guard.kill('SIGKILL'));
  }
}

async function privateFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
  return path;
}

/** An abstract socket: whoever listens on it holds the folder, and the system lets go of it when that program ends. */
async function hold(id: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`\0labwright-${id}`, resolve);
    });
  } catch (cause) {
    throw new LocalLabsError(
      'another program runs local labs in this folder: stop it, or start this one in another folder',
      { cause },
    );
  }
  return server;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
