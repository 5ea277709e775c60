import { errors, type JWTPayload, jwtVerify, type JWTVerifyOptions } from 'jose';
import type { Claims } from '../claims.ts';
import type { Identity } from '../identity.ts';
import type { IssuerKeys, KnownKeys } from './issuer-keys.ts';
import type { UnverifiedJwt } from './shape.ts';

/** An issuer whose tokens are believed, and what they must be like. */
export interface TrustedIssuer {
  /** The `iss` of its tokens; undefined where its keys come with it. */
  readonly issuer: string | undefined;
  readonly keys: IssuerKeys;
  readonly algorithms: readonly string[];
  /** Any of these must be in `aud`. */
  readonly audience: readonly string[];
  readonly clockSkewMs: number;
  /** @throws {LabwrightError} `permission_denied` (403) when it gives the holder no role */
  identify(claims: Claims, token: string): Identity;
}

/** A token that is not good, and which rule says so: for the log of those who look for it, never for the caller. */
export class BadToken extends Error {
  override readonly name = 'BadToken';
}

/** Most keys that are tried on a token without a `kid`. */
const KEYS_TRIED = 16;

/**
 * Checks a token against one issuer: signature, issuer, audience and times.
 *
 * @param now milliseconds since the epoch
 * @returns its claims
 * @throws {BadToken} when it is not good
 * @throws {LabwrightError} `not_ready` (503) when its key is not known and nobody can say in time
 */
export async function verifyJwt(issuer: TrustedIssuer, jwt: UnverifiedJwt, now: number): Promise<JWTPayload> {
  // First, so that a token that is good for nothing makes nobody ask for keys. What is looked at here is what jose looks
  // at again once the signature is known to be right.
  checkClaims(issuer, jwt.claims, now);
  const payload = await issuer.keys.search((known) => verifyWith(known, issuer, jwt, now));
  if (payload === undefined) throw new BadToken('no key of the issuer has signed it');
  return payload;
}

/** The rules of jose are for claims that are there; these say which must be, and that nothing comes from the future. */
function checkClaims({ audience, clockSkewMs }: TrustedIssuer, { aud, exp, iat }: Claims, now: number): void {
  const seconds = now / 1000;
  const skew = clockSkewMs / 1000;
  if (!isTime(exp)) throw new BadToken('it has no exp');
  if (exp <= seconds - skew) throw new BadToken('it has expired');
  if (iat !== undefined && !(isTime(iat) && iat <= seconds + skew)) throw new BadToken('its iat is in the future');
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audience.some((name) => audiences.includes(name))) throw new BadToken('it is for another audience');
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** @returns undefined when keys that are not known yet may have made it */
async function verifyWith(
  { issuer, find }: KnownKeys,
  trusted: TrustedIssuer,
  { token, issuer: claimed, kid }: UnverifiedJwt,
  now: number,
): Promise<JWTPayload | undefined> {
  if (claimed !== issuer) throw new BadToken('it is of another issuer');
  const options: JWTVerifyOptions = {
    algorithms: [...trusted.algorithms],
    issuer,
    audience: [...trusted.audience],
    requiredClaims: ['exp'],
    clockTolerance: trusted.clockSkewMs / 1000,
    currentDate: new Date(now),
  };
  try {
    return (await jwtVerify(token, find, options)).payload;
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return undefined;
    if (error instanceof errors.JWKSMultipleMatchingKeys) return tryEach(error, token, options);
    // Without the name of a key, one that does not fit may be the predecessor of the right one.
    if (kid === undefined && error instanceof errors.JWSSignatureVerificationFailed) return undefined;
    throw badToken(error);
  }
}

async function tryEach(
  keys: errors.JWKSMultipleMatchingKeys,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload | undefined> {
  let tried = 0;
  for await (const key of keys) {
    tried += 1;
    if (tried > KEYS_TRIED) break;
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw badToken(error);
    }
  }
  return undefined;
}

/** Only the rule's name is kept: jose's errors carry the claims, and others what they could not read. */
function badToken(error: unknown): BadToken {
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired) {
    return new BadToken(`${error.code} ${error.claim}`);
  }
  return new BadToken(error instanceof errors.JOSEError ? error.code : 'its key cannot be used');
}
