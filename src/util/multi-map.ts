/** Values by key, each once; a key without values is not kept. */
export class MultiMap {
  readonly #values = new Map<string, Set<string>>();

  get(key: string): ReadonlySet<string> {
    return this.#values.get(key) ?? NONE;
  }

  keys(): IterableIterator<string> {
    return this.#values.keys();
  }

  add(key: string, value: string): void {
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, new Set([value]));
    else values.add(value);
  }

  delete(key: string, value: string): void {
    const values = this.#values.get(key);
    if (values?.delete(value) === true && values.size === 0) this.#values.delete(key);
  }
}

const NONE: ReadonlySet<string> = new Set();
