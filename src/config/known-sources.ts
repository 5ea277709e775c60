import type { Config } from './config.ts';
import type { FACT_SOURCES } from './identity.ts';

type Source = (typeof FACT_SOURCES)[number];

/** The sources of facts about users that are asked and can know something, in their order. */
export function knownSources({ users, auth }: Pick<Config, 'users' | 'auth'>): Source[] {
  const knows: Readonly<Record<Source, boolean>> = {
    claims: auth.jwt.length > 0,
    hub: auth.jupyterhub !== undefined,
    gafaelfawr: auth.proxyHeaders?.userInfoUrl !== undefined,
    static: auth.tokens.some(({ user }) => user !== undefined) || Object.keys(users.byName).length > 0,
    defaults: users.defaults !== undefined,
  };
  return users.sources.filter((source) => knows[source]);
}
