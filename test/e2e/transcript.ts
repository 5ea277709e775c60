/** Prints what is tried and what came of it, with the time since the start, and remembers whether anything failed. */
export class Transcript {
  readonly #start = performance.now();
  #held = 0;
  readonly #failures: string[] = [];

  get failures(): readonly string[] {
    return this.#failures;
  }

  /** A line of its own. */
  say(text: string): void {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(2);
    process.stdout.write(`${seconds.padStart(8)} s  ${text}\n`);
  }

  /** One claim. A false one is remembered and the run goes on. */
  hold(claim: string, holds: boolean, detail = ''): void {
    if (holds) this.#held += 1;
    else this.#failures.push(claim);
    this.say(`${holds ? 'ok    ' : 'FAILED'} ${claim}${detail === '' ? '' : ` (${detail})`}`);
  }

  /** A group of claims; whatever is thrown in it fails the group and no other. */
  async part(name: string, run: () => Promise<void>): Promise<void> {
    this.say(`-- ${name}`);
    try {
      await run();
    } catch (error) {
      this.hold(name, false, error instanceof Error ? error.message : String(error));
    }
  }

  /** The last words. */
  summary(): void {
    this.say(`${this.#held} claims held, ${this.#failures.length} failed`);
    for (const failure of this.#failures) this.say(`  failed: ${failure}`);
  }
}

/** Milliseconds that something took, beside its result. */
export async function timed<T>(run: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  return { result: await run(), ms: performance.now() - start };
}

/** `1.23 s` or `12 ms`. */
export function took(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
