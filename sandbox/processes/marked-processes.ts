import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The variable that every process of a lab has in its environment, and so has whatever it starts, also in sessions and
 * process groups of its own, as kernels and terminals are. Its value is `FOLDER.RUN.POD`.
 */
export const MARK = 'LABWRIGHT_LOCAL_LAB';

const ROUNDS = 100;
const PAUSE_MS = 20;
/** Environments that are read at once. */
const AT_ONCE = 64;

/**
 * Kills every process that carries a mark which begins so, until a look finds no more of them. Reads /proc: Linux only. A
 * process that has taken the mark out of its environment is not found, nor is one of another account.
 *
 * @returns false when some were still there after a hundred looks
 * @throws Error of the file system when nobody can look
 */
export async function killMarked(prefix: string): Promise<boolean> {
  for (let round = 1; round <= ROUNDS; round += 1) {
    const pids = await findMarked(prefix);
    if (pids.length === 0) return true;
    for (const pid of pids) kill(pid, 'SIGKILL');
    await sleep(PAUSE_MS);
  }
  return false;
}

/** Ids of the processes that carry a mark which begins so; our own is never one of them. @throws Error of the file system */
export async function findMarked(prefix: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  // Each takes an open file: not one for every process of the machine at once.
  while (pids.length > 0) {
    const some = pids.splice(0, AT_ONCE);
    const marked = await Promise.all(some.map((pid) => isMarked(pid, prefix)));
    found.push(...some.filter((pid, index) => marked[index] === true && pid !== process.pid));
  }
  return found;
}

async function isMarked(pid: number, prefix: string): Promise<boolean> {
  try {
    const environment = await readFile(`/proc/${String(pid)}/environ`, 'latin1');
    return `\0${environment}`.includes(`\0${MARK}=${prefix}`);
  } catch (error) {
    // It has ended, or belongs to somebody else. What has ended and is not reaped has no environment.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** Sends a signal to a process, or with a negative id to a process group, if it is there. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}
