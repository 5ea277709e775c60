/**
 * For how long a build has written nothing while its log could be read. A build whose log cannot be read may be writing: that
 * time does not count. All times are milliseconds of the monotonic clock; `lastOutputAt` is null before the first line.
 */
export class OutputClock {
  #connections = 0;
  #silentMs = 0;
  /** Up to when `#silentMs` is counted. */
  #countedTo = 0;
  #lastOutputAt: number | null = null;

  /** A connection to the log has been opened. */
  opened(now: number, lastOutputAt: number | null): void {
    this.#count(now, lastOutputAt);
    this.#connections += 1;
  }

  closed(now: number, lastOutputAt: number | null): void {
    this.#count(now, lastOutputAt);
    this.#connections -= 1;
  }

  silentMs(now: number, lastOutputAt: number | null): number {
    this.#count(now, lastOutputAt);
    return this.#silentMs;
  }

  #count(now: number, lastOutputAt: number | null): void {
    if (lastOutputAt !== null && lastOutputAt !== this.#lastOutputAt) {
      this.#lastOutputAt = lastOutputAt;
      this.#silentMs = 0;
      this.#countedTo = Math.max(lastOutputAt, this.#countedTo);
    }
    if (this.#connections > 0) this.#silentMs += now - this.#countedTo;
    this.#countedTo = now;
  }
}
