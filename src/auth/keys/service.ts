import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { LoadedKeys, type SealingKeys, type SigningKeys } from './loaded-keys.ts';
import { DamagedKeys, type KeyRings, makeSealingKey, makeSigningKey, readRings, writeRings } from './material.ts';
import { planRing, type RingPolicy } from './ring.ts';

/** Where the keys are kept between two runs and for several controllers. */
export interface KeyStorage {
  /** For people: which object it is. */
  readonly name: string;
  /** @returns JSON by file; undefined when there are no keys yet */
  read(signal: AbortSignal): Promise<{ data: Readonly<Record<string, string>>; version: string } | undefined>;
  /**
   * @param version that which it takes the place of; undefined when there must be none yet
   * @returns false when somebody else was faster
   */
  write(data: Readonly<Record<string, string>>, version: string | undefined, signal: AbortSignal): Promise<boolean>;
}

/** All in milliseconds. */
export type KeyTiming = Omit<RingPolicy, 'lifetime'> & {
  /** How often the store is read. */
  readonly reread: number;
  /** Least time between two reads, whatever asks for them. */
  readonly pause: number;
  /** The first pause after a failure; it doubles with each further one. */
  readonly retry: number;
};

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/**
 * The lead is far more than copies of published keys live: JWKS_MAX_AGE, another controller's `reread`, and what
 * libraries that look at no header use, ten minutes to a few hours.
 */
const TIMING: KeyTiming = {
  rotation: 30 * DAY,
  lead: DAY,
  skew: 5 * MINUTE,
  reread: 5 * MINUTE,
  pause: 10_000,
  retry: 500,
};
const LONGEST_RETRY_MS = 30_000;
/** How long others may keep a copy of the published keys, in seconds. */
export const JWKS_MAX_AGE = 600;
const WRITE_ATTEMPTS = 5;
const DAMAGED =
  'The keys in {name} cannot be used: {why}. They are left as they are, since others may still rely on them. Restore them, ' +
  'or delete {name}: then new keys are made, sessions end, and running labs get new tokens.';

export interface KeyServiceOptions {
  readonly store: KeyStorage;
  readonly logger: Logger;
  /** How long lab tokens and sessions are valid, in milliseconds. */
  readonly lifetimes: { readonly signing: number; readonly sealing: number };
  /** Tests shorten it. */
  readonly timing?: Partial<KeyTiming>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * The keys of this installation, shared by all of its controllers through a store: read, kept, rotated. Between two reads,
 * and while the store does not answer or holds something else, it goes on with what it has.
 *
 * It is to be run only where something is signed or sealed: `run` makes the keys when there are none.
 */
export class KeyService {
  readonly #options: KeyServiceOptions;
  readonly #timing: KeyTiming;
  readonly #now: () => number;
  readonly #keys: LoadedKeys;
  readonly #ready = Promise.withResolvers<void>();
  #complaint: string | undefined;
  #asked = false;
  #rest = new AbortController();

  constructor(options: KeyServiceOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#now = options.now ?? Date.now;
    this.#keys = new LoadedKeys(this.#now, () => {
      this.#asked = true;
      this.#rest.abort();
    });
  }

  get sealing(): SealingKeys {
    return this.#keys.sealing;
  }

  get signing(): SigningKeys {
    return this.#keys.signing;
  }

  /** Resolves once there are keys. Never rejects: whoever cannot wait for ever sets a deadline. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  get isReady(): boolean {
    return this.#keys.isLoaded;
  }

  /** Reads, makes and rotates keys until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { reread, pause, retry } = this.#timing;
    let failures = 0;
    while (!signal.aborted) {
      this.#asked = false;
      failures = (await this.#refresh(signal)) ? 0 : failures + 1;
      const wait = failures === 0 ? reread : Math.min(retry * 2 ** (failures - 1), LONGEST_RETRY_MS, reread);
      await this.#sleep(wait * (0.9 + Math.random() * 0.2), pause, signal);
    }
  }

  /** Sleeps for so long, or only for `least` where somebody asks for a key that is not known. */
  async #sleep(ms: number, least: number, signal: AbortSignal): Promise<void> {
    this.#rest = new AbortController();
    const untilAsked = AbortSignal.any([signal, this.#rest.signal]);
    await delay(Math.min(ms, least), undefined, { signal }).catch(() => undefined);
    if (ms > least && !this.#asked) await delay(ms - least, undefined, { signal: untilAsked }).catch(() => undefined);
  }

  /** @returns whether the keys are as they should be */
  async #refresh(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#readAndPlan(signal);
      if (this.#complaint !== undefined) this.#options.logger.info('The keys can be used again.');
      this.#complaint = undefined;
      return true;
    } catch (err) {
      if (!signal.aborted) this.#complain(err);
      return false;
    }
  }

  async #readAndPlan(signal: AbortSignal): Promise<void> {
    const { store, lifetimes, logger } = this.#options;
    for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt += 1) {
      const stored = await store.read(signal);
      const rings = stored === undefined ? { signing: [], sealing: [] } : await readRings(stored.data);
      const signing = planRing(rings.signing, this.#now(), { ...this.#timing, lifetime: lifetimes.signing });
      const sealing = planRing(rings.sealing, this.#now(), { ...this.#timing, lifetime: lifetimes.sealing });
      if (!signing.changed && !sealing.changed) return this.#use(rings);
      const planned: KeyRings = {
        signing: [...signing.keep, ...(signing.add === undefined ? [] : [await makeSigningKey(signing.add)])],
        sealing: [...sealing.keep, ...(sealing.add === undefined ? [] : [makeSealingKey(sealing.add)])],
      };
      if (!(await store.write(writeRings(planned), stored?.version, signal))) continue;
      const deleted = stored === undefined && this.isReady;
      const kids = planned.signing.map(({ kid }) => kid);
      if (deleted) logger.warn({ keys: store.name, kids }, 'the keys were deleted; new ones have been made');
      else logger.info({ keys: store.name, kids }, 'keys were made or removed');
      return this.#use(planned);
    }
    throw new Error('others keep changing the keys');
  }

  #use(rings: KeyRings): void {
    this.#keys.load(rings);
    this.#ready.resolve();
  }

  /** Says once what is wrong; damage is for a person to mend, anything else passes. */
  #complain(err: unknown): void {
    const { store, logger } = this.#options;
    const complaint = err instanceof Error ? err.message : String(err);
    const isNews = complaint !== this.#complaint;
    this.#complaint = complaint;
    if (!isNews) logger.debug({ keys: store.name, complaint }, 'the keys still cannot be used');
    else if (err instanceof DamagedKeys) {
      logger.error(DAMAGED.replaceAll('{name}', store.name).replace('{why}', complaint));
    } else logger.warn({ err, keys: store.name }, 'the keys cannot be read or written; trying again');
  }
}
