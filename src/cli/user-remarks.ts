import type { Config } from '../config/index.ts';

/** Users for whom no lab can be made, since nothing says their ids. */
export function remarksOnUsers({ users, auth }: Pick<Config, 'users' | 'auth'>): string[] {
  const knows: Readonly<Record<(typeof users.sources)[number], boolean>> = {
    claims: auth.jwt.length > 0,
    hub: auth.jupyterhub !== undefined,
    gafaelfawr: auth.proxyHeaders?.userInfoUrl !== undefined,
    static: auth.tokens.some(({ user }) => user !== undefined) || Object.keys(users.byName).length > 0,
    defaults: users.defaults !== undefined,
  };
  const sources = users.sources.filter((source) => knows[source]);
  if (sources.length === 0)
    return ['nothing says the uid and gid of users, and no lab starts without (users.defaults).'];
  if (sources.every((source) => source === 'static')) {
    return ['users who are not in the configuration start no labs: nothing says their uid and gid (users.defaults).'];
  }
  return [];
}
