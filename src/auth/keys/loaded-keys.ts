import type { CryptoKey, JSONWebKeySet } from 'jose';
import { LabwrightError } from '../../domain/errors.ts';
import { currentKey, type RingKey } from './keyset.ts';
import { type Keysets, publicJwk } from './material.ts';

/** Keys that sessions are encrypted with. */
export interface SealingKeys {
  /** @throws {LabwrightError} `not_ready` (503) before the keys have been read */
  current(): { kid: string; key: Uint8Array };
  /** One that is not known is looked for where the keys are kept, for the next time. */
  find(kid: string): Uint8Array | undefined;
}

/** Keys that lab tokens are signed with. Every method throws as above. */
export interface SigningKeys {
  current(): { kid: string; privateKey: CryptoKey };
  /** The public halves: of the next, the current and the previous keys. */
  jwks(): JSONWebKeySet;
  /** What was signed before this moment cannot be verified any more; milliseconds since the epoch. */
  since(): number;
}

/** The keysets as they were read last, for those who use keys. */
export class LoadedKeys {
  readonly sealing: SealingKeys;
  readonly signing: SigningKeys;
  readonly #now: () => number;
  #keysets: Keysets | undefined;
  #jwks: JSONWebKeySet = { keys: [] };

  /** @param onUnknown somebody has asked for a key that is not there */
  constructor(now: () => number, onUnknown: () => void) {
    this.#now = now;
    this.sealing = {
      current: () => this.#current(this.#loaded().sealing),
      find: (kid) => {
        const key = this.#keysets?.sealing.find((candidate) => candidate.kid === kid)?.key;
        if (key === undefined) onUnknown();
        return key;
      },
    };
    this.signing = {
      current: () => this.#current(this.#loaded().signing),
      jwks: () => {
        this.#loaded();
        return this.#jwks;
      },
      since: () => Math.min(...this.#loaded().signing.map(({ activeFrom }) => activeFrom)),
    };
  }

  get isLoaded(): boolean {
    return this.#keysets !== undefined;
  }

  load(keysets: Keysets): void {
    this.#keysets = keysets;
    this.#jwks = { keys: keysets.signing.map(publicJwk) };
  }

  #loaded(): Keysets {
    if (this.#keysets !== undefined) return this.#keysets;
    throw new LabwrightError('not_ready', 503, 'The keys of Labwright cannot be read at the moment', { retryAfter: 5 });
  }

  #current<K extends RingKey>(keys: readonly K[]): K {
    const key = currentKey(keys, this.#now());
    if (key === undefined) throw new TypeError('a keyset that was read has a key');
    return key;
  }
}
