import type { SealingKeys } from '../keys/loaded-keys.ts';
import { EncryptJWT, type JWTPayload, jwtDecrypt } from 'jose';

export interface SealOptions {
  readonly keys: SealingKeys;
  /** What it is, so that one kind cannot stand for another. */
  readonly type: string;
  /** Which instance it is for: its public address. */
  readonly audience: string;
  /** Milliseconds. */
  readonly lifetimeMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What was sealed, with the key it was sealed with. */
export interface Unsealed {
  readonly claims: JWTPayload;
  readonly key: Uint8Array;
}

/** Turns values into text that nobody else can read, make or change, and back. */
export interface Seal {
  seal(claims: Readonly<Record<string, string>>): Promise<string>;
  /**
   * @returns undefined for what is not ours, not whole, of another kind, of another instance, or over
   * @throws {LabwrightError} `not_ready` (503) where the keys are not known yet, so that nobody can say
   */
  open(sealed: string): Promise<Unsealed | undefined>;
}

/** Longest text that is looked at: no browser keeps a longer cookie. */
export const SEALED_LENGTH = 4096;
const ALGORITHM = 'dir';
const ENCRYPTION = 'A256GCM';
/** Replicas' clocks differ. */
const CLOCK_SKEW_S = 30;

/** A JWE with direct, authenticated encryption (RFC 7516, `dir` and `A256GCM`). */
export function createSeal({ keys, type, audience, lifetimeMs, now }: SealOptions): Seal {
  const seconds = () => Math.floor(now() / 1000);
  const lifetime = Math.ceil(lifetimeMs / 1000);
  return {
    seal(claims) {
      const { kid, key } = keys.current();
      return new EncryptJWT(claims)
        .setProtectedHeader({ alg: ALGORITHM, enc: ENCRYPTION, kid, typ: type })
        .setAudience(audience)
        .setIssuedAt(seconds())
        .setExpirationTime(seconds() + lifetime)
        .encrypt(key);
    },
    async open(sealed) {
      if (sealed.length > SEALED_LENGTH) return undefined;
      keys.current();
      let key: Uint8Array | undefined;
      const findKey = ({ kid = '' }: { kid?: string }) => {
        key = keys.find(kid);
        if (key === undefined) throw new Error('sealed with a key that is not known');
        return key;
      };
      try {
        const { payload } = await jwtDecrypt(sealed, findKey, {
          audience,
          typ: type,
          keyManagementAlgorithms: [ALGORITHM],
          contentEncryptionAlgorithms: [ENCRYPTION],
          requiredClaims: ['exp'],
          currentDate: new Date(now()),
          // A lifetime that has been made shorter holds for what was sealed before, too.
          maxTokenAge: lifetime,
          clockTolerance: CLOCK_SKEW_S,
        });
        return key === undefined ? undefined : { claims: payload, key };
      } catch {
        return undefined;
      }
    },
  };
}
