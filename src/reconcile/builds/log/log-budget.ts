/** A log that counts towards a budget. */
export interface BudgetedLog {
  /** Bytes that it holds. */
  readonly size: number;
  /** Gives up what is beyond so many bytes. */
  shrink(size: number): void;
}

/**
 * The bytes that all logs of builds in memory may hold together, however many they are. When they hold more, the largest log
 * gives up half of what it has, until they fit: what ordinary builds say stays whole while one that floods its log does not.
 */
export class LogBudget {
  readonly #most: number;
  readonly #sizes = new Map<BudgetedLog, number>();
  #used = 0;

  /** @param most bytes */
  constructor(most: number) {
    this.#most = most;
  }

  /** Bytes that the logs hold. */
  get used(): number {
    return this.#used;
  }

  add(log: BudgetedLog): void {
    this.#sizes.set(log, 0);
    this.resized(log);
  }

  remove(log: BudgetedLog): void {
    this.#used -= this.#sizes.get(log) ?? 0;
    this.#sizes.delete(log);
  }

  /** The log holds more or less than before. One that was removed, or never added, does not count. */
  resized(log: BudgetedLog): void {
    this.#measure(log);
    while (this.#used > this.#most) {
      const largest = this.#largest();
      const before = largest?.size ?? 0;
      largest?.shrink(before / 2);
      if (largest === undefined || largest.size >= before) return;
      this.#measure(largest);
    }
  }

  #measure(log: BudgetedLog): void {
    const before = this.#sizes.get(log);
    if (before === undefined) return;
    this.#sizes.set(log, log.size);
    this.#used += log.size - before;
  }

  #largest(): BudgetedLog | undefined {
    let found: BudgetedLog | undefined;
    for (const log of this.#sizes.keys()) if (found === undefined || log.size > found.size) found = log;
    return found;
  }
}
