import type { Claims } from '../claims.ts';

/** A token as it came, not yet believed in anything. */
export interface UnverifiedJwt {
  readonly token: string;
  readonly claims: Claims;
  /** The issuer it claims to be of. */
  readonly issuer: string;
  /** The name of the key; undefined when it has none. */
  readonly kid: string | undefined;
}

/** Longest name of a key that is looked for. */
const KID_LENGTH = 256;
/** A token for people or programs to present: RFC 7519 and RFC 9068. Everything else with a `typ` is meant for another use. */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt']);
/** Marks of tokens that are none to be shown by their bearer: RFC 8417 (security events, logout), RFC 7800 (bound to a key). */
const FOREIGN_CLAIMS = ['events', 'cnf'] as const;

/**
 * Whether a token is of the family of JWTs, well-formed or not: it has parts, and the first begins as a JSON object does.
 * A broken one is refused here, and shown to nobody who takes tokens of another kind.
 */
export function isJoseToken(token: string): boolean {
  const [first = '', ...others] = token.split('.', 2);
  return others.length > 0 && Buffer.from(first, 'base64url').toString('utf8').trimStart().startsWith('{');
}

/**
 * Reads a token without believing it. Headers that would have us fetch or use the caller's own key (`jku`, `jwk`, `x5u`,
 * `x5c`) are not looked at by anything.
 *
 * @returns undefined when it cannot be a token for us whoever signed it
 */
export function readJwt(token: string): UnverifiedJwt | undefined {
  const [head = '', body = '', signature = '', ...more] = token.split('.');
  if (more.length > 0 || ![head, body, signature].every(isCanonical)) return undefined;
  const header = parseObject(head);
  const claims = parseObject(body);
  if (header === undefined || claims === undefined) return undefined;
  const { kid, typ } = header;
  const { iss } = claims;
  if (typeof iss !== 'string' || !isKeyName(kid) || !isPresentable(typ)) return undefined;
  if (FOREIGN_CLAIMS.some((claim) => Object.hasOwn(claims, claim))) return undefined;
  return { token, claims, issuer: iss, kid };
}

/** One way to write the same bytes: no padding, no other alphabet, no bits that nobody reads. */
function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part;
}

function isKeyName(kid: unknown): kid is string | undefined {
  return kid === undefined || (typeof kid === 'string' && kid !== '' && kid.length <= KID_LENGTH);
}

function isPresentable(typ: unknown): boolean {
  if (typ === undefined) return true;
  return typeof typ === 'string' && TYPES.has(typ.toLowerCase().replace(/^application\//, ''));
}

function parseObject(part: string): Record<string, unknown> | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(part, 'base64url'));
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
