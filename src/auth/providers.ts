import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { IdentityProvider } from './identity.ts';
import { proxyHeaders } from './proxy-headers.ts';
import { staticTokens } from './static-tokens.ts';
import { trustedPeers } from './trusted-peers.ts';

/** The providers that the configuration asks for. At most one of them knows the kind of a request's credential. */
export function identityProviders(
  { auth }: { readonly auth: Partial<Config['auth']> },
  logger: Logger,
): IdentityProvider[] {
  const providers: IdentityProvider[] = [];
  if (auth.proxyHeaders !== undefined) {
    providers.push(proxyHeaders({ isTrusted: trustedPeers(auth.proxyHeaders.trustedAddresses), logger }));
  }
  if (auth.tokens !== undefined && auth.tokens.length > 0) providers.push(staticTokens(auth.tokens));
  return providers;
}
