/** Hands out pod addresses: a loopback range, so that a pod that serves can really be reached. */
export class PodAddresses {
  readonly #taken = new Set<string>();
  #next = 1;

  take(): string {
    for (;;) {
      const number = this.#next;
      this.#next = number === 65_534 * 4 ? 1 : number + 1;
      const address = `127.${String(88 + (number >> 16))}.${String((number >> 8) & 255)}.${String(number & 255)}`;
      if (this.#taken.has(address)) continue;
      this.#taken.add(address);
      return address;
    }
  }

  release(address: string): void {
    this.#taken.delete(address);
  }
}
