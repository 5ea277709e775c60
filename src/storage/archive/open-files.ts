import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { withDeadline } from '../../util/deadline.ts';
import { sleep } from '../../util/sleep.ts';

export interface OpenFilesOptions {
  /** Most files that are open at once. */
  readonly most: number;
  /** After so many milliseconds in which its reader asked for nothing, a file is closed for another reader. */
  readonly idleMs: number;
  /** How long a reader waits for its turn, in milliseconds. */
  readonly waitMs: number;
  readonly clock?: Clock;
}

/** The right to have one file open. */
export interface OpenFile {
  /** Its reader asks for nothing at the moment: the file may be closed by `close` from now on. */
  idle(close: () => void): void;
  /** Its reader asks again. @returns false when the file was closed meanwhile */
  resume(): boolean;
  release(): void;
}

/** Bounds the files that are open for readers: a reader that stands still holds no file that another one waits for. */
export class OpenFiles {
  readonly #options: OpenFilesOptions;
  readonly #clock: Clock;
  /** The open files: null, or since when the reader is idle, in that order. */
  readonly #open = new Map<object, { readonly since: number; readonly close: () => void } | null>();
  readonly #waiting = new Set<() => void>();

  constructor(options: OpenFilesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Files that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** @throws Error when no file could be opened in time, or the reason of `signal` */
  async take(signal?: AbortSignal): Promise<OpenFile> {
    const { most, waitMs } = this.#options;
    signal?.throwIfAborted();
    const key = {};
    if (this.#open.size < most) this.#open.set(key, null);
    else await withDeadline({ ms: waitMs, signal, late }, (until) => this.#wait(key, until));
    return {
      idle: (close) => {
        if (this.#open.delete(key)) this.#open.set(key, { since: this.#clock.monotonic(), close });
      },
      resume: () => {
        if (!this.#open.has(key)) return false;
        this.#open.set(key, null);
        return true;
      },
      release: () => this.#remove(key),
    };
  }

  async #wait(key: object, until: AbortSignal): Promise<void> {
    for (;;) {
      const ms = this.#closeIdle();
      if (this.#open.size < this.#options.most) break;
      const woken = new AbortController();
      const wake = () => woken.abort();
      this.#waiting.add(wake);
      await sleep(ms, AbortSignal.any([woken.signal, until]));
      this.#waiting.delete(wake);
      until.throwIfAborted();
    }
    this.#open.set(key, null);
  }

  /** Closes the file whose reader has been idle for longest. @returns milliseconds until there may be one to close */
  #closeIdle(): number {
    const { idleMs } = this.#options;
    for (const [key, idle] of this.#open) {
      if (idle === null) continue;
      const left = idle.since + idleMs - this.#clock.monotonic();
      if (left > 0) return left;
      this.#open.delete(key);
      idle.close();
      return 0;
    }
    return idleMs;
  }

  #remove(key: object): void {
    if (!this.#open.delete(key)) return;
    const [first] = this.#waiting;
    first?.();
  }
}

function late(): Error {
  return new Error('Too many logs are being read at the moment');
}
