import { SignJWT } from 'jose';
import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/config.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabKey } from '../../domain/lab/lab.ts';
import { withTimeout } from '../../util/abort.ts';
import { SIGNING_ALGORITHM } from './material.ts';
import type { SigningKeys } from './loaded-keys.ts';

/** Claim with the name of the lab's server; empty for the default one. */
const SERVER_CLAIM = 'labwright_server';
/** As RFC 9068 has it, so that the token is taken for no other kind of JWT. */
const TOKEN_TYPE = 'at+jwt';
const READY_TIMEOUT_MS = 5_000;

/** Whom a token is for. */
export interface LabTokenSubject extends LabKey {
  /** Names of groups. */
  readonly groups: readonly string[];
}

/** The keys, and when they are there. */
export interface LabTokenKeys {
  readonly signing: SigningKeys;
  ready(): Promise<void>;
}

/** Who signs: what tokens say in `iss`, and below which the description of the keys is found. */
export function tokenIssuer({ baseUrl, pathPrefix }: Pick<Config, 'baseUrl' | 'pathPrefix'>): string {
  return `${baseUrl}${pathPrefix}`;
}

/**
 * Signs the tokens of labs. A token says whose lab it is in, until when it is valid and who may accept it, and gives no
 * right at the hub: who has it has what the services that accept it give.
 */
export class LabTokens {
  /** How long a token is valid, in milliseconds. */
  readonly lifetime: number;
  readonly #keys: LabTokenKeys;
  readonly #issuer: string;
  readonly #audience: string | string[];
  readonly #now: () => number;

  constructor(config: Pick<Config, 'baseUrl' | 'pathPrefix' | 'lab'>, keys: LabTokenKeys, now = Date.now) {
    const { lifetime, audience } = config.lab.token;
    this.lifetime = lifetime;
    this.#keys = keys;
    this.#issuer = tokenIssuer(config);
    const [first = config.baseUrl, ...others] = audience ?? [];
    // One is written as such: not every service reads a list.
    this.#audience = others.length === 0 ? first : [first, ...others];
    this.#now = now;
  }

  /** @throws {LabwrightError} `not_ready` (503) when there are no keys for so long */
  async ready(timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const message = 'Labwright has no keys to sign the token of the lab with; an administrator can see why in its log';
    const late = () => new LabwrightError('not_ready', 503, message, { retryAfter: 30 });
    await withTimeout(this.#keys.ready(), timeoutMs, late);
  }

  /**
   * @returns the token, and the moment it says it was made at, in milliseconds since the epoch
   * @throws {LabwrightError} `not_ready` (503)
   */
  async mint({ username, servername, groups }: LabTokenSubject): Promise<{ token: string; issuedAt: number }> {
    const { kid, privateKey } = this.#keys.signing.current();
    const issuedAt = this.#now();
    const seconds = Math.floor(issuedAt / 1000);
    const token = await new SignJWT({ [SERVER_CLAIM]: servername, groups: [...groups] })
      .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: TOKEN_TYPE, kid })
      .setIssuer(this.#issuer)
      .setSubject(username)
      .setAudience(this.#audience)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + Math.floor(this.lifetime / 1000))
      .setJti(randomUUID())
      .sign(privateKey);
    return { token, issuedAt };
  }

  /** Tokens made before this moment cannot be verified any more; milliseconds since the epoch. */
  validSince(): number {
    return this.#keys.signing.since();
  }
}

/** The signer of lab tokens; undefined where the configuration asks for none. */
export function labTokens(
  config: Pick<Config, 'baseUrl' | 'pathPrefix' | 'lab'>,
  keys: LabTokenKeys,
): LabTokens | undefined {
  return config.lab.token.source === 'signed' ? new LabTokens(config, keys) : undefined;
}
