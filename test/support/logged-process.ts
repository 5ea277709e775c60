import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** On top of our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** File that its output is added to; several programs can share one. */
  readonly log: string;
}

/** A program that runs beside the tests. It is killed should this process end first; a SIGKILL of ours leaves it behind. */
export class LoggedProcess {
  readonly #child: ChildProcess;

  /** @param onOurExit called when this process ends before it */
  constructor({ command, args, env, cwd, log }: Program, onOurExit: () => void = () => undefined) {
    const file = openSync(log, 'a');
    const child = spawn(command, args, {
      stdio: ['ignore', file, file],
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    closeSync(file);
    const end = (): void => {
      child.kill('SIGKILL');
      onOurExit();
    };
    process.once('exit', end);
    const letGo = (): void => void process.off('exit', end);
    child.once('close', letGo);
    // It cannot be started; whoever waits for its answer sees that it has ended.
    child.once('error', letGo);
    this.#child = child;
  }

  /** Its id, or undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid === undefined || exitCode !== null || signalCode !== null;
  }

  /** Sends a signal and waits for the end; does nothing when it has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.hasEnded) return;
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill(signal);
    await ended;
  }
}

/** All that is in a log so far. */
export function readLog(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}

/** Processor time that a process has used so far, in milliseconds (Linux counts it in hundredths of a second). */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
