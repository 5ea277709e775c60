import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** An event with its number in its log, from 1. */
export interface Entry {
  readonly sequence: number;
}

/** Holds the entries of a log in bounded memory. */
export interface EntryStore<E extends Entry> {
  push(entry: E): void;
  /** The entry of this number, or what stands in for it and those after it where it was dropped. */
  at(sequence: number): E | undefined;
}

/** How far a reader has come: what an event id says of it. */
export interface Place {
  readonly epoch: string;
  readonly sequence: number;
}

/** Entries a reader is given before other work has its turn. */
const ENTRIES_A_TURN = 256;

/**
 * Events in order, for any number of readers, up to one terminal event after which nothing comes.
 *
 * | state | `append` | `end` | a reader at the end |
 * |---|---|---|---|
 * | open | adds an entry and wakes readers | adds the last entry and wakes readers | waits |
 * | ended | does nothing | does nothing | ends |
 *
 * Readers hold a number and nothing else: one that is slow or gone costs nothing, and an entry is stored once however many
 * read. The epoch belongs to this one log: a number that was counted in another process, or in another log of the same
 * events, is not taken for a number of this one.
 */
export class EventLog<E extends Entry> {
  /** 64 random bits; as long as the ids of versions before this one allow. */
  readonly epoch = randomBytes(8).toString('hex');
  readonly #store: EntryStore<E>;
  readonly #waiting = new Set<() => void>();
  #last = 0;
  #ended = false;
  #readers = 0;

  constructor(store: EntryStore<E> = new EntryList<E>()) {
    this.#store = store;
  }

  /** Number of the last entry; 0 when there is none. */
  get last(): number {
    return this.#last;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** How many read at the moment. */
  get readers(): number {
    return this.#readers;
  }

  /** How many of them wait for the next entry. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** @param make the entry of this number */
  append(make: (sequence: number) => E): void {
    if (this.#ended) return;
    this.#last += 1;
    this.#store.push(make(this.#last));
    for (const wake of this.#waiting) wake();
  }

  /** Appends the terminal event. Only the first one counts. */
  end(make: (sequence: number) => E): void {
    this.append(make);
    this.#ended = true;
  }

  /** The number to read from, for a reader that has come so far; undefined when the place is not one of this log. */
  after(place: Place | undefined): number | undefined {
    if (place?.epoch !== this.epoch) return undefined;
    // Nobody waits for what cannot come: a reader that has seen the end is given it once more.
    return Math.min(place.sequence + 1, this.#last + (this.#ended ? 0 : 1));
  }

  /**
   * The entries from this number on, then those that come, until the terminal one or until `signal` aborts.
   *
   * @param at where the reader finds its entries: where what stands in for dropped ones depends on the reader
   */
  async *follow(
    from: number,
    signal: AbortSignal,
    at: (sequence: number) => E | undefined = (sequence) => this.#store.at(sequence),
  ): AsyncGenerator<E> {
    this.#readers += 1;
    try {
      let next = from;
      for (let turn = 1; !signal.aborted; turn += 1) {
        if (turn % ENTRIES_A_TURN === 0) await nextTurn();
        const entry = at(next);
        if (entry !== undefined) {
          next = entry.sequence + 1;
          yield entry;
        }
        if (this.#ended && next > this.#last) return;
        if (entry === undefined) await this.#change(signal);
      }
    } finally {
      this.#readers -= 1;
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#waiting.add(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    this.#waiting.delete(wake);
    signal.removeEventListener('abort', wake);
  }
}

/** All entries: for a log that bounds them itself. */
class EntryList<E extends Entry> implements EntryStore<E> {
  readonly #entries: E[] = [];

  push(entry: E): void {
    this.#entries.push(entry);
  }

  at(sequence: number): E | undefined {
    return this.#entries[sequence - 1];
  }
}
