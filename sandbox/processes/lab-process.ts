import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { raceAbort } from '../../src/util/abort.ts';
import type { Exit } from '../kubelet/containers.ts';
import { within } from '../kubelet/within.ts';
import { notStarted } from './find-command.ts';
import type { LabLog } from './lab-log.ts';
import { kill, killMarked, MARK } from './marked-processes.ts';

export interface Command {
  /** Absolute path of the program. */
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Working directory. */
  readonly cwd: string;
  /** Value of the variable that all of the lab's processes carry. */
  readonly mark: string;
}

/** What a container runtime says; also of a script whose interpreter is missing, as in a moved Python environment. */
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  E2BIG: 'argument list too long',
};
/** How long the output of a process that has ended may take to arrive. */
const LAST_OUTPUT_MS = 1_000;
/** How long a killed process may take to end: for ever, in theory, when a disk does not answer. */
const KILLED_MS = 5_000;
const KILLED: Exit = { exitCode: 128 + constants.signals.SIGKILL };

/**
 * One process in a session of its own, and what it starts. When it ends, all of that ends, as in a container whose first
 * process has ended.
 */
export class LabProcess {
  readonly #child: ChildProcess;
  readonly #mark: string;
  readonly #log: LabLog;
  #over = false;
  readonly #ended: Promise<Exit>;

  /**
   * Starts it. The log is closed when it has ended, and left open when it does not start.
   *
   * @throws ContainerProblem when the system does not start it
   */
  static async start({ file, args, env, cwd, mark }: Command, log: LabLog): Promise<LabProcess> {
    try {
      const child = spawn(file, args, {
        cwd,
        env: { ...env, [MARK]: mark },
        detached: true,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const lab = new LabProcess(child, mark, log);
      await once(child, 'spawn');
      return lab;
    } catch (cause) {
      const { code = 'unknown error' } = cause as NodeJS.ErrnoException;
      throw notStarted(`exec: ${JSON.stringify(file)}: ${WORDS[code] ?? code}`, { cause });
    }
  }

  private constructor(child: ChildProcess, mark: string, log: LabLog) {
    this.#child = child;
    this.#mark = mark;
    this.#log = log;
    // Also a process that does not start says so here; there is nothing to be done for it.
    child.on('error', () => undefined);
    this.#ended = this.#follow();
  }

  get over(): boolean {
    return this.#over;
  }

  /** Waits for the end, whoever brought it about. */
  end(signal: AbortSignal): Promise<Exit> {
    return raceAbort(this.#ended, signal);
  }

  /** SIGTERM to the process group, and after the grace SIGKILL to everything. */
  async stop(graceMs: number, signal: AbortSignal): Promise<Exit> {
    this.#signal('SIGTERM');
    const exit = await within(graceMs, (either) => this.end(either), signal);
    return exit ?? this.kill();
  }

  /** SIGKILL to everything; waits until all of it is gone. */
  async kill(): Promise<Exit> {
    this.#signal('SIGKILL');
    return (await within(KILLED_MS, (over) => this.end(over))) ?? KILLED;
  }

  #signal(signal: NodeJS.Signals): void {
    // Once it has ended its id may be somebody else's.
    if (!this.#over && this.#child.pid !== undefined) kill(-this.#child.pid, signal);
  }

  /** Never fails: what goes wrong here is nothing that a lab could be told. */
  async #follow(): Promise<Exit> {
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) return KILLED;
    const output = Promise.all([this.#log.follow(stdout, 'stdout'), this.#log.follow(stderr, 'stderr')]);
    const { code, signal } = await this.#exit();
    await killMarked(this.#mark).catch(() => undefined);
    await within(LAST_OUTPUT_MS, () => output);
    stdout.destroy();
    stderr.destroy();
    await output;
    await this.#log.close().catch(() => undefined);
    const exitCode = code ?? 128 + constants.signals[signal ?? 'SIGKILL'];
    const message = this.#log.lastWords;
    return { exitCode, ...(exitCode === 0 || message === '' ? {} : { message }) };
  }

  #exit(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    return new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => {
        // What it leaves in its group goes at once, while the group's id is still its own.
        this.#signal('SIGKILL');
        this.#over = true;
        resolve({ code, signal });
      });
    });
  }
}
