import type { Logger } from 'pino';
import { Backoff, jittered } from '../../util/backoff.ts';
import { LoadedKeys, type SealingKeys, type SigningKeys } from './loaded-keys.ts';
import { DamagedKeys, type Keysets, makeSealingKey, makeSigningKey, readKeysets, writeKeysets } from './material.ts';
import { planKeyset, type KeysetPolicy } from './keyset.ts';

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
export type KeyTiming = Omit<KeysetPolicy, 'lifetime'> & {
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
 * The keys of this installation, shared by all of its replicas through a store: read, kept, rotated. Between two reads,
 * and while the store does not answer or holds something else, it goes on with what it has.
 *
 * It is to be run only where something is signed or sealed, and on every replica: `refresh` makes the keys when there are none.
 */
export class KeyService {
  readonly #options: KeyServiceOptions;
  readonly #timing: KeyTiming;
  readonly #now: () => number;
  readonly #keys: LoadedKeys;
  readonly #ready = Promise.withResolvers<void>();
  readonly #backoff: Backoff;
  readonly #listeners = new Set<() => void>();
  #complaint: string | undefined;
  /** When the store was read last, by the monotonic clock. */
  #calledAt = Number.NEGATIVE_INFINITY;

  constructor(options: KeyServiceOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#now = options.now ?? Date.now;
    this.#backoff = new Backoff({ firstMs: this.#timing.retry, longestMs: LONGEST_RETRY_MS });
    this.#keys = new LoadedKeys(this.#now, () => {
      for (const listener of this.#listeners) listener();
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

  /** Calls the listener when somebody asks for a key that is not known, until `signal` aborts. */
  onUnknown(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  /**
   * Reads the keys, and makes and rotates them as they come due. What goes wrong is in the log; the service goes on with the
   * keys it has.
   *
   * @returns after how many milliseconds it is to be called again. What is asked for earlier is not done before its time.
   */
  async refresh(signal: AbortSignal): Promise<number> {
    const { reread, pause } = this.#timing;
    const early = this.#calledAt + pause - performance.now();
    if (early > 0) return early;
    this.#calledAt = performance.now();
    try {
      await this.#readAndPlan(signal);
    } catch (err) {
      if (!signal.aborted) this.#complain(err);
      this.#calledAt = Number.NEGATIVE_INFINITY;
      return Math.min(this.#backoff.next(), reread);
    }
    if (this.#complaint !== undefined) this.#options.logger.info('The keys can be used again.');
    this.#complaint = undefined;
    this.#backoff.reset();
    return jittered(reread);
  }

  async #readAndPlan(signal: AbortSignal): Promise<void> {
    const { store, lifetimes, logger } = this.#options;
    for (let attempt = 1; attempt <= WRITE_ATTEMPTS; attempt += 1) {
      const stored = await store.read(signal);
      const keysets = stored === undefined ? { signing: [], sealing: [] } : await readKeysets(stored.data);
      const signing = planKeyset(keysets.signing, this.#now(), { ...this.#timing, lifetime: lifetimes.signing });
      const sealing = planKeyset(keysets.sealing, this.#now(), { ...this.#timing, lifetime: lifetimes.sealing });
      if (!signing.changed && !sealing.changed) return this.#use(keysets);
      const planned: Keysets = {
        signing: [...signing.keep, ...(signing.add === undefined ? [] : [await makeSigningKey(signing.add)])],
        sealing: [...sealing.keep, ...(sealing.add === undefined ? [] : [makeSealingKey(sealing.add)])],
      };
      if (!(await store.write(writeKeysets(planned), stored?.version, signal))) continue;
      const deleted = stored === undefined && this.isReady;
      const kids = planned.signing.map(({ kid }) => kid);
      if (deleted) logger.warn({ keys: store.name, kids }, 'the keys were deleted; new ones have been made');
      else logger.info({ keys: store.name, kids }, 'keys were made or removed');
      return this.#use(planned);
    }
    throw new Error('others keep changing the keys');
  }

  #use(keysets: Keysets): void {
    this.#keys.load(keysets);
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
