import type { Config } from '../../config/config.ts';
import type { IdentityProvider } from '../identity.ts';
import { jupyterhubProvider } from './provider.ts';
import { createHubClient } from './client.ts';
import { hubTokens } from './tokens.ts';
import { hubUserLookup, serviceTokenFile } from './users.ts';
import { createLogin, type Login } from '../login/login.ts';
import { createHubOAuthClient } from '../login/hub-oauth-client.ts';
import { createSessions, sessionProvider, type Sessions } from '../login/session.ts';
import { publicAddress } from '../login/cookie.ts';
import type { SealingKeys } from '../keys/loaded-keys.ts';
import type { Lookup } from '../user-directory.ts';

/** How people log in, for the routes of the pages that are meant for them. */
export interface People {
  readonly login: Login;
  readonly sessions: Sessions;
}

/** Everything that is done with a JupyterHub; it shares one bounded way to ask it. */
export interface JupyterhubService {
  /** To be asked after those of static tokens and of JWTs: API tokens, and sessions where people can log in. */
  readonly providers: readonly IdentityProvider[];
  /** For `userDirectory(config, { hub })`; absent where the service has no token of its own. */
  readonly lookup?: Lookup;
  /** Absent where nobody can log in. */
  readonly people?: People;
  close(): Promise<void>;
}

type ServiceConfig = Pick<Config, 'baseUrl' | 'pathPrefix'> & {
  readonly jupyterhub: NonNullable<Config['auth']['jupyterhub']>;
};

/** @param keys what sessions are sealed with: `KeyService.sealing`. Without them nobody can log in */
export function jupyterhubService(config: ServiceConfig, keys?: SealingKeys): JupyterhubService {
  const { apiUrl, cacheLifetime, scopes, tokenFile, login } = config.jupyterhub;
  const client = createHubClient({ apiUrl });
  const tokens = hubTokens({ client, cacheLifetime });
  const serviceToken = tokenFile === undefined ? undefined : serviceTokenFile(tokenFile);
  const holders = { tokens, scopes, userModels: serviceToken !== undefined };
  const service = {
    providers: [jupyterhubProvider(holders)],
    ...(serviceToken === undefined ? {} : { lookup: hubUserLookup({ client, serviceToken }) }),
  };
  if (login === undefined || serviceToken === undefined || keys === undefined) {
    return { ...service, close: () => client.close() };
  }
  const address = publicAddress(config);
  const sessions = createSessions({ keys, address, lifetime: login.sessionLifetime });
  const oauth = createHubOAuthClient({
    apiUrl,
    authorizeUrl: login.authorizeUrl ?? `${config.baseUrl}/hub/api/oauth2/authorize`,
    clientId: login.clientId,
    serviceToken,
  });
  const people = { login: createLogin({ ...holders, oauth, sessions, keys, address }), sessions };
  return {
    ...service,
    providers: [...service.providers, sessionProvider(sessions, { ...holders, origin: address.origin })],
    people,
    close: async () => {
      await Promise.all([client.close(), people.login.close()]);
    },
  };
}
