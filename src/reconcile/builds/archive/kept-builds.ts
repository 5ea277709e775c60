import { LRUCache } from 'lru-cache';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LogStore } from '../../../storage/archive/log-store.ts';
import type { BuildStore, KeptBuild } from './build-keeper.ts';
import type { KeptLine } from '../log/build-log.ts';

/** Builds that are remembered to be kept; of older ones one has to know the file. */
const REMEMBERED = 10_000;
const SWEEP_MS = 10 * 60_000;

/** The builds in the store, with what is asked for often in memory, and within its bounds. */
export class KeptBuilds implements BuildStore {
  readonly #store: LogStore;
  readonly #logger: Logger;
  readonly #known = new LRUCache<string, KeptBuild>({ max: REMEMBERED });

  constructor(store: LogStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  find(id: string): KeptBuild | undefined {
    return this.#known.get(id);
  }

  async lookUp(id: string): Promise<KeptBuild | undefined> {
    const loaded = await this.#store.load(id);
    if (loaded === undefined) this.#known.delete(id);
    else this.#known.set(id, { spec: loaded.spec, result: loaded.result });
    return this.#known.get(id);
  }

  async save(id: string, build: KeptBuild & { readonly lines: Iterable<KeptLine> }): Promise<void> {
    await this.#store.save(id, build);
    const { spec, result } = build;
    this.#known.set(id, { spec, result });
  }

  load(id: string): Promise<(KeptBuild & { readonly lines: AsyncIterable<KeptLine> }) | undefined> {
    return this.#store.load(id);
  }

  /** Learns what is kept, and removes what is too old or too much, until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = () => signal.aborted;
    await this.#learn(signal);
    while (!stopped()) {
      try {
        for (const id of await this.#store.sweep(Date.now())) this.#known.delete(id);
      } catch (err) {
        this.#logger.warn({ err }, 'the kept logs of builds cannot be looked through');
      }
      await delay(SWEEP_MS * (0.9 + Math.random() / 5), undefined, { signal }).catch(() => undefined);
    }
  }

  async #learn(signal: AbortSignal): Promise<void> {
    try {
      // The newest last: it is then the last to be forgotten.
      for (const { spec, result } of (await this.#store.list(signal)).toReversed()) {
        if (!this.#known.has(spec.id)) this.#known.set(spec.id, { spec, result });
      }
    } catch (err) {
      if (!signal.aborted) this.#logger.warn({ err }, 'the kept logs of builds cannot be listed');
    }
  }
}
