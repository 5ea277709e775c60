import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { createGafaelfawr, type Gafaelfawr } from './proxy/gafaelfawr.ts';
import type { IdentityProvider } from './identity.ts';
import type { IssuerKeysOptions } from './jwt/issuer-keys.ts';
import { type JupyterhubService, jupyterhubService, type People } from './jupyterhub/service.ts';
import { type JwtProvider, jwtProvider } from './jwt/provider.ts';
import { proxyHeaders } from './proxy/proxy-headers.ts';
import type { SealingKeys } from './keys/loaded-keys.ts';
import { staticTokens } from './static-tokens.ts';
import { trustedPeers } from './proxy/trusted-peers.ts';
import { type UserDirectory, userDirectory } from './user-directory.ts';

/** How callers are told apart, and what is known of them: everything of this folder, as the configuration wants it. */
export interface Identification {
  /** Tried in this order; at most one of them knows the kind of a request's credential. */
  readonly providers: readonly IdentityProvider[];
  readonly users: UserDirectory;
  /** The users by another configuration; who may call is not changed by it. */
  usersOf(config: Pick<Config, 'users'>): UserDirectory;
  /** How people log in with a browser; undefined where nobody can. */
  readonly people: People | undefined;
  close(): Promise<void>;
}

export interface IdentificationOptions {
  readonly logger: Logger;
  /** Asks the cluster for the name and keys of its service-account issuer. */
  readonly askCluster?: IssuerKeysOptions['ask'];
  /** What sessions are sealed with; without it nobody can log in. */
  readonly sessionKeys?: SealingKeys | undefined;
}

type IdentificationConfig = Pick<Config, 'auth' | 'users' | 'baseUrl' | 'pathPrefix'>;

/** Nothing is asked and nothing opened before the first request that needs it. */
export function createIdentification(config: IdentificationConfig, options: IdentificationOptions): Identification {
  const { auth } = config;
  const gafaelfawr = gafaelfawrOf(config);
  const jwt = jwtOf(config, options);
  const hub = hubOf(config, options);
  const usersOf = (by: Pick<Config, 'users'>) =>
    userDirectory(by, hub?.lookup === undefined ? {} : { hub: hub.lookup });
  return {
    providers: [
      ...proxyOf(config, options, gafaelfawr),
      ...(auth.tokens.length === 0 ? [] : [staticTokens(auth.tokens)]),
      ...(jwt === undefined ? [] : [jwt]),
      ...(hub?.providers ?? []),
    ],
    users: usersOf(config),
    usersOf,
    people: hub?.people,
    close: async () => {
      await Promise.all([gafaelfawr?.close(), jwt?.close(), hub?.close()]);
    },
  };
}

function gafaelfawrOf({ auth }: IdentificationConfig): Gafaelfawr | undefined {
  const url = auth.proxyHeaders?.userInfoUrl;
  return url === undefined ? undefined : createGafaelfawr({ url });
}

function proxyOf(
  { auth }: IdentificationConfig,
  { logger }: IdentificationOptions,
  gafaelfawr: Gafaelfawr | undefined,
): IdentityProvider[] {
  if (auth.proxyHeaders === undefined) return [];
  const { trustedAddresses, hubUsers, adminUsers } = auth.proxyHeaders;
  return [proxyHeaders({ isTrusted: trustedPeers(trustedAddresses), hubUsers, adminUsers, gafaelfawr, logger })];
}

function jwtOf({ auth }: IdentificationConfig, { logger, askCluster }: IdentificationOptions): JwtProvider | undefined {
  const { jwt: issuers, serviceAccounts } = auth;
  if (issuers.length === 0 && serviceAccounts === undefined) return undefined;
  const cluster =
    serviceAccounts === undefined || askCluster === undefined
      ? undefined
      : { config: serviceAccounts, ask: askCluster };
  return jwtProvider({ issuers, logger, ...(cluster === undefined ? {} : { serviceAccounts: cluster }) });
}

function hubOf(
  { auth, baseUrl, pathPrefix }: IdentificationConfig,
  { sessionKeys }: IdentificationOptions,
): JupyterhubService | undefined {
  if (auth.jupyterhub === undefined) return undefined;
  return jupyterhubService({ baseUrl, pathPrefix, jupyterhub: auth.jupyterhub }, sessionKeys);
}
