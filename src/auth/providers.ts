import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { IdentityProvider } from './identity.ts';
import { proxyHeaders } from './proxy-headers.ts';
import { staticTokens } from './static-tokens.ts';
import { trustedPeers } from './trusted-peers.ts';

/** The providers that the configuration asks for, in the order in which they are tried. */
export function identityProviders({ auth }: Pick<Config, 'auth'>, logger: Logger): IdentityProvider[] {
  const providers: IdentityProvider[] = [];
  if (auth.proxyHeaders !== undefined) {
    providers.push(proxyHeaders({ isTrusted: trustedPeers(auth.proxyHeaders.trustedAddresses), logger }));
  }
  if (auth.tokens.length > 0) providers.push(staticTokens(auth.tokens));
  return providers;
}
