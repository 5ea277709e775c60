/**
 * For how long a build has written nothing while its log could be read. A build whose log cannot be read may be writing: that
 * time does not count. All times are milliseconds of the monotonic clock; `lastOutputAt` is null before the first line.
 */
export class OutputClock {
  #connections = 0;
  #silentMs = 0;
  /** Up to when `#silentMs` is counted. */
  #countedTo = 0;

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
    const hasOutput = lastOutputAt !== null && lastOutputAt > this.#countedTo;
    if (hasOutput) this.#silentMs = 0;
    if (this.#connections > 0) this.#silentMs += now - (hasOutput ? lastOutputAt : this.#countedTo);
    this.#countedTo = now;
  }
}
