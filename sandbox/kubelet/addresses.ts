/** Addresses 1 to this one of a /16; the last ones are left out. */
const LAST = 65_000;

/** Hands out the addresses of pods, `PREFIX.0.1` first and each again only after all the others. */
export class PodAddresses {
  readonly #prefix: string;
  readonly #taken = new Set<string>();
  #next = 1;

  /** @param prefix the first two numbers */
  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** @throws Error when all are in use */
  take(): string {
    for (let tried = 1; tried <= LAST; tried += 1) {
      const number = this.#next;
      this.#next = (number % LAST) + 1;
      const address = `${this.#prefix}.${String(number >> 8)}.${String(number & 255)}`;
      if (this.#taken.has(address)) continue;
      this.#taken.add(address);
      return address;
    }
    throw new Error('Every pod address of the simulated kubelet is in use');
  }

  release(address: string): void {
    this.#taken.delete(address);
  }
}
