/** What was seen of all labs and builds. */
export class Tally {
  polls = 0;
  failedPolls = 0;
  /** Requests without a whole answer: cut off, or not answered in time. Whoever asks tries again. */
  unanswered = 0;
  /** Streams that broke and went on elsewhere. */
  resumed = 0;
  removed = 0;
  /** Requests that were answered with "try again", which is right while the API server cannot be reached. */
  refused = 0;
  readonly acceptedBy = new Map<string, number>();
  readonly ends = new Map<string, number>();
  /** Milliseconds from the first request to the acceptance. */
  readonly pauses: number[] = [];
  readonly #isStorm: boolean;
  readonly #faults: string[] = [];
  #more = 0;

  /** @param isStorm whether the API server fails so often that 503 is an answer like others */
  constructor(isStorm: boolean) {
    this.#isStorm = isStorm;
  }

  /** Whether this answer says nothing but that the API server is not to be had; it is counted then. */
  isOutage(status: number): boolean {
    if (!this.#isStorm || status !== 503) return false;
    this.refused += 1;
    return true;
  }

  accepted(name: string, ms: number): void {
    this.acceptedBy.set(name, (this.acceptedBy.get(name) ?? 0) + 1);
    this.pauses.push(ms);
  }

  ended(name: string, type: string): void {
    const key = `${name} ${type}`;
    this.ends.set(key, (this.ends.get(key) ?? 0) + 1);
    // Nothing is asked for here that could not be had.
    if (type !== 'complete' && type !== 'ready') this.fail(`a ${name} ended with ${type}`);
  }

  fail(what: string): void {
    if (this.#faults.length < 50) this.#faults.push(what);
    else this.#more += 1;
  }

  get faults(): readonly string[] {
    return this.#more === 0 ? this.#faults : [...this.#faults, `and ${this.#more} more`];
  }
}
