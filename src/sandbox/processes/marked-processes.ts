import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The variable that every process of a lab has in its environment, and so has whatever it starts, also in sessions and
 * process groups of its own, as kernels and terminals are. Its value is `FOLDER.RUN.POD`.
 */
export const MARK = 'LABWRIGHT_LOCAL_LAB';

const ROUNDS = 100;
const PAUSE_MS = 20;

/**
 * Kills every process that carries a mark which begins so, until a look finds no more of them. Reads /proc: Linux only. A
 * process that has taken the mark out of its environment is not found, nor is one of another account.
 *
 * @returns false when some were still there after two seconds
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

/** Ids of the processes that carry a mark which begins so; our own is never one of them. */
export async function findMarked(prefix: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const wanted = `\0${MARK}=${prefix}`;
  const found = await Promise.all(
    pids.map(async (pid) => {
      // It may have ended, or belong to somebody else; what has ended and is not reaped has no environment.
      const environment = await readFile(`/proc/${String(pid)}/environ`, 'latin1').catch(() => '');
      return `\0${environment}`.includes(wanted);
    }),
  );
  return pids.filter((pid, index) => found[index] === true && pid !== process.pid);
}

/** Sends a signal to a process, or with a negative id to a process group, if it is there. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}
