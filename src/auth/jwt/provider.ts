import type { Logger } from 'pino';
import { bearerToken } from '../bearer.ts';
import { createHttpClient } from '../http-client.ts';
import { type Identity, type IdentityProvider, invalidToken } from '../identity.ts';
import { type AskIssuer, IssuerKeys, type IssuerKeysOptions } from './issuer-keys.ts';
import { issuerOverHttp } from './issuer-source.ts';
import { jwtIdentity, type JwtIssuerConfig, type ServiceAccountsConfig } from './identity.ts';
import { BadToken, type TrustedIssuer, verifyJwt } from './trusted-issuer.ts';
import { isJoseToken, readJwt, type UnverifiedJwt } from './shape.ts';
import { serviceAccountIssuer } from './service-accounts.ts';

export interface JwtProviderOptions {
  readonly issuers: readonly JwtIssuerConfig[];
  /** The cluster's own tokens, and how its API server is asked for the keys. */
  readonly serviceAccounts?: { readonly config: ServiceAccountsConfig; readonly ask: AskIssuer } | undefined;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly clock?: () => number;
  /** How keys are kept; as they should be when absent. */
  readonly keys?: Pick<IssuerKeysOptions, 'freshMs' | 'cooldownMs' | 'patienceMs' | 'deadlineMs' | 'waiters' | 'now'>;
}

export interface JwtProvider extends IdentityProvider {
  close(): Promise<void>;
}

/** Most time an issuer has for one answer. */
const ANSWER_MS = 4_000;

/**
 * Tokens that say themselves whose they are (RFC 7519), of the configured issuers and of the cluster, sent as
 * `Authorization: Bearer …`.
 *
 * The issuer is chosen by the `iss` that the token claims, to the letter; that issuer's keys decide whether the claim is
 * true. A token of any other issuer is refused without anybody being asked. It has to stand behind the static tokens,
 * which may look like anything, and before the hub's, which are what no other provider knows.
 *
 * It is made where at least one of `auth.jwt` and `auth.serviceAccounts` is configured; `ask` is then
 * `askServiceAccountIssuer(connection)` of `storage/kubernetes/checks/service-account-issuer.ts`. No connection and no timer of its own
 * outlives `close()`, after which whoever waits is told that nobody can say; it belongs before the end of the connection to
 * the cluster. Nothing is fetched before the first token of an issuer.
 */
export function jwtProvider(options: JwtProviderOptions): JwtProvider {
  const { issuers, serviceAccounts, logger, clock = Date.now, keys = {} } = options;
  const http = createHttpClient({ timeoutMs: ANSWER_MS, attempts: 1 });
  const trusted: TrustedIssuer[] = issuers.map((config) => ({
    issuer: config.issuer,
    keys: new IssuerKeys({
      ...keys,
      name: config.issuer,
      ask: issuerOverHttp(http, config.issuer, config.jwksUri),
      logger,
    }),
    algorithms: config.algorithms,
    audience: config.audience,
    clockSkewMs: config.clockSkew,
    identify: (claims, token) => jwtIdentity(config, claims, token),
  }));
  const cluster =
    serviceAccounts === undefined
      ? undefined
      : serviceAccountIssuer(serviceAccounts.config, { ...keys, ask: serviceAccounts.ask, logger });

  /** A name in the configuration wins; the cluster's has to be asked for once. */
  async function issuerOf({ issuer }: UnverifiedJwt): Promise<TrustedIssuer> {
    const named = trusted.find((each) => each.issuer === issuer);
    if (named !== undefined) return named;
    const known = await cluster?.keys.search((found) => Promise.resolve(found));
    if (cluster !== undefined && known?.issuer === issuer) return cluster;
    throw new BadToken('it is of an issuer that is not known here');
  }

  return {
    name: 'jwt',
    matches(request) {
      const token = bearerToken(request);
      return token !== undefined && isJoseToken(token);
    },
    async identify(request): Promise<Identity> {
      try {
        const jwt = readJwt(bearerToken(request) ?? '');
        if (jwt === undefined) throw new BadToken('it is malformed');
        const issuer = await issuerOf(jwt);
        return issuer.identify(await verifyJwt(issuer, jwt, clock()), jwt.token);
      } catch (error) {
        if (!(error instanceof BadToken)) throw error;
        logger.debug({ why: error.message }, 'a JWT was refused');
        throw invalidToken('The token is not valid');
      }
    },
    async close() {
      const kept = [...trusted, ...(cluster === undefined ? [] : [cluster])];
      await Promise.all(kept.map(({ keys }) => keys.close()));
      await http.close();
    },
  };
}
