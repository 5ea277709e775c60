import { createHash, timingSafeEqual } from 'node:crypto';
import type { LabUser } from '../domain/user.ts';
import { type AuthRequest, type Identity, type IdentityProvider, type Role, invalidToken } from './identity.ts';

/** One token of the configuration. The token itself is nowhere: the file holds its SHA-256. */
export interface StaticToken {
  /** Lower-case hexadecimal SHA-256 of the token. */
  readonly sha256: string;
  readonly role: Role;
  /** Whose token it is; a hub's or a service's has nobody. */
  readonly user?: LabUser | undefined;
}

/** JupyterHub's own reading of the header: both words, in any case. */
const AUTHORIZATION = /^(?:bearer|token) +([\x21-\x7e]+) *$/i;
const TOKEN_LENGTH = 4096;

/**
 * Tokens of the configuration, sent as `Authorization: Bearer …` or `Authorization: token …`.
 *
 * A user's token is handed on to the lab it creates, as the hub plugin's users expect; one of a hub or an administrator
 * never is, since a lab runs whatever its user wants.
 */
export function staticTokens(tokens: readonly StaticToken[]): IdentityProvider {
  const known = tokens.map((token) => ({ digest: Buffer.from(token.sha256, 'hex'), token }));
  return {
    name: 'token',
    matches: (request) => request.headers('authorization').length > 0,
    async identify(request) {
      const presented = readToken(request);
      const digest = createHash('sha256').update(presented).digest();
      let found: StaticToken | undefined;
      // Every entry is compared, found or not: the time says nothing about which.
      for (const entry of known) if (timingSafeEqual(entry.digest, digest)) found = entry.token;
      if (found === undefined) throw invalidToken('The token is not valid');
      return Promise.resolve(identityOf(found, presented));
    },
  };
}

function readToken(request: AuthRequest): string {
  const [value = '', ...others] = request.headers('authorization');
  const token = value.length <= TOKEN_LENGTH ? AUTHORIZATION.exec(value)?.[1] : undefined;
  if (token === undefined || others.length > 0) throw invalidToken('The Authorization header is not valid');
  return token;
}

function identityOf({ role, user }: StaticToken, token: string): Identity {
  return {
    role,
    provider: 'token',
    username: user?.username ?? null,
    user: user ?? null,
    token: role === 'user' ? token : null,
  };
}
