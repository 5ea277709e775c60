import { createHash, timingSafeEqual } from 'node:crypto';
import type { LabUser } from '../domain/user/user.ts';
import { bearerToken } from './bearer.ts';
import { type AuthRequest, type Identity, type IdentityProvider, invalidToken, type Role } from './identity.ts';
import { noFacts } from './user-facts.ts';

/** One token of the configuration. The token itself is nowhere: the file holds its SHA-256. */
export interface StaticToken {
  /** Lower-case hexadecimal SHA-256 of the token. */
  readonly sha256: string;
  readonly role: Role;
  /** Whose token it is; a hub's or a service's has nobody. */
  readonly user?: LabUser | undefined;
}

/**
 * Tokens of the configuration, sent as `Authorization: Bearer …` or `Authorization: token …`. A token is one of them when
 * its hash is in the list.
 *
 * A user's token is handed on to the lab it creates, as the hub plugin's users expect; one of a hub or an administrator
 * never is, since a lab runs whatever its user wants.
 */
export function staticTokens(tokens: readonly StaticToken[]): IdentityProvider {
  const known = tokens.map((token) => ({ digest: Buffer.from(token.sha256, 'hex'), token }));

  function find(request: AuthRequest): { entry: StaticToken; presented: string } | undefined {
    const presented = bearerToken(request);
    if (presented === undefined) return undefined;
    const digest = createHash('sha256').update(presented).digest();
    let entry: StaticToken | undefined;
    // Every entry is compared, found or not: the time says nothing about which.
    for (const candidate of known) if (timingSafeEqual(candidate.digest, digest)) entry = candidate.token;
    return entry === undefined ? undefined : { entry, presented };
  }

  return {
    name: 'token',
    matches: (request) => find(request) !== undefined,
    async identify(request) {
      const found = find(request);
      if (found === undefined) throw invalidToken('The token is not valid');
      return Promise.resolve(identityOf(found.entry, found.presented));
    },
  };
}

function identityOf({ role, user, sha256 }: StaticToken, token: string): Identity {
  return {
    role,
    provider: 'token',
    subject: user?.username ?? `${role} token ${sha256.slice(0, 8)}`,
    username: user?.username ?? null,
    facts: user === undefined ? null : { source: 'static', user: { ...noFacts(user.username), ...user } },
    token: role === 'user' ? token : null,
  };
}
