/** What was left out of a log during one window. */
export interface Flood {
  readonly lines: number;
  /** Who caused most of it, with the number of their lines. */
  readonly from: Readonly<Record<string, number>>;
}

export interface FloodGuardOptions {
  /** Lines per window for each key. */
  readonly perKey: number;
  /** Lines per window for all keys together. */
  readonly total: number;
  /** Told once after each window in which lines were left out. */
  readonly report: (flood: Flood) => void;
  readonly windowMs?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

const WINDOW_MS = 60_000;
/** Keys that are told apart in one window; the rest counts as one. */
const KEYS = 1000;
const REPORTED = 10;
const OTHERS = 'others';

/**
 * Decides which lines go into a log that strangers can cause: a few for each of them, and one about the rest.
 *
 * There is no timer: a window ends with the first call after its time.
 */
export class FloodGuard {
  readonly #options: FloodGuardOptions;
  readonly #now: () => number;
  readonly #counts = new Map<string, number>();
  readonly #dropped = new Map<string, number>();
  #written = 0;
  #end = 0;

  constructor(options: FloodGuardOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether a line on account of this key is to be written; it is counted either way. */
  admits(key: string): boolean {
    this.sweep();
    const known = this.#counts.has(key) || this.#counts.size < KEYS ? key : OTHERS;
    const count = (this.#counts.get(known) ?? 0) + 1;
    this.#counts.set(known, count);
    if (count <= this.#options.perKey && this.#written < this.#options.total) {
      this.#written += 1;
      return true;
    }
    this.#dropped.set(known, (this.#dropped.get(known) ?? 0) + 1);
    return false;
  }

  /** Ends the window when its time is over, and reports it. */
  sweep(): void {
    const now = this.#now();
    if (now < this.#end) return;
    this.#end = now + (this.#options.windowMs ?? WINDOW_MS);
    const dropped = [...this.#dropped].sort(([, one], [, other]) => other - one);
    this.#counts.clear();
    this.#dropped.clear();
    this.#written = 0;
    if (dropped.length === 0) return;
    const lines = dropped.reduce((sum, [, count]) => sum + count, 0);
    this.#options.report({ lines, from: Object.fromEntries(dropped.slice(0, REPORTED)) });
  }
}
