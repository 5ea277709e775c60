import type { Config } from '../../config/config.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { isIdentityName } from '../../domain/user/identity-name.ts';
import { bearerToken } from '../bearer.ts';
import { type Identity, type IdentityProvider, invalidToken, noRole, type Role } from '../identity.ts';
import type { HubHolder, HubTokens } from './tokens.ts';
import { isJoseToken } from '../jwt/shape.ts';
import { noFacts } from '../user-facts.ts';

/** Scopes that give a role, any of them. */
export type RoleScopes = NonNullable<Config['auth']['jupyterhub']>['scopes'];

export interface JupyterhubOptions {
  readonly tokens: HubTokens;
  readonly scopes: RoleScopes;
  /**
   * Whether the hub's user models are looked up (`hubUserLookup`). They say more than a token's own model does, and the
   * directory asks nobody whose credential has spoken for the same source: then the token says nothing of its user.
   */
  readonly userModels: boolean;
}

/** The scope of whoever may use a service of the hub, and that service's name. */
const ACCESS = /^access:services!service=([\w.-]{1,100})$/;
const HIGHEST_FIRST: readonly Role[] = ['admin', 'hub', 'user'];

/**
 * API tokens of a JupyterHub, of users and of services, which are opaque: whoever sends a bearer token that is no JWT, nor
 * a broken one. The provider of static tokens, which knows its own by their hashes, goes before this one.
 *
 * The hub is asked at `GET /user`. What the token's scopes allow is judged again on each request, from that answer.
 */
export function jupyterhubProvider(options: JupyterhubOptions): IdentityProvider {
  return {
    name: 'jupyterhub',
    matches: (request) => {
      const token = bearerToken(request);
      return token !== undefined && !isJoseToken(token);
    },
    async identify(request) {
      const token = bearerToken(request);
      if (token === undefined) throw invalidToken('Authentication is required');
      const identity = hubIdentity(await options.tokens.resolve(token), options);
      return { ...identity, provider: 'jupyterhub', token: identity.role === 'user' ? token : null };
    },
  };
}

/**
 * What somebody who holds a token of the hub may do here.
 *
 * @throws {LabwrightError} `permission_denied` (403) when none of the token's scopes gives a role
 */
export function hubIdentity(
  { kind, name, groups, admin, scopes: held }: HubHolder,
  { scopes, userModels }: Pick<JupyterhubOptions, 'scopes' | 'userModels'>,
): Omit<Identity, 'provider' | 'token'> {
  const role = HIGHEST_FIRST.find((candidate) => scopes[candidate].some((scope) => held.has(scope)));
  if (role === undefined) throw ofOtherService(held) ?? noRole();
  if (kind === 'service') return { role, subject: `service ${name}`, username: null, facts: null };
  if (!isIdentityName(name)) {
    throw new LabwrightError('permission_denied', 403, 'There can be no labs for a user of this name');
  }
  const known = { ...noFacts(name), groups: groups?.map((group) => ({ name: group, id: null })) ?? null, admin };
  return { role, subject: name, username: name, facts: userModels ? null : { source: 'hub', user: known } };
}

/** A token that is for a service: most likely Labwright, which has another name at that hub than it is looked for here. */
function ofOtherService(held: ReadonlySet<string>): LabwrightError | undefined {
  const [scope, service] = [...held].map((each) => ACCESS.exec(each)).find((found) => found !== null) ?? [];
  if (scope === undefined || service === undefined) return undefined;
  const message =
    `The token is for the service "${service}" of the hub, and here it gives no role. Where Labwright has that name there, ` +
    `\`auth.jupyterhub.scopes.user\` has to say so: ${scope}`;
  return new LabwrightError('permission_denied', 403, message);
}
