/** Whoever is woken early looks again. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Keys that are to be seen to, each once, one turn of the event loop after they were named: as a controller does a moment
 * after a change. A key can also be named for a later time.
 */
export class Soon<Key> {
  readonly #attend: (key: Key) => void;
  readonly #keys = new Set<Key>();
  readonly #timers = new Map<Key, NodeJS.Timeout>();
  #scheduled: NodeJS.Immediate | undefined;

  constructor(attend: (key: Key) => void) {
    this.#attend = attend;
  }

  add(key: Key): void {
    this.#keys.add(key);
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      const keys = [...this.#keys];
      this.#keys.clear();
      for (const each of keys) this.#attend(each);
    });
  }

  /** Instead of any later time that was named before. */
  addAfter(key: Key, ms: number): void {
    this.forget(key);
    const timer = setTimeout(
      () => {
        this.#timers.delete(key);
        this.add(key);
      },
      Math.min(Math.max(0, ms), MAX_TIMER_MS),
    );
    this.#timers.set(key, timer);
  }

  /** No later time any more. */
  forget(key: Key): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }

  close(): void {
    clearImmediate(this.#scheduled);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
