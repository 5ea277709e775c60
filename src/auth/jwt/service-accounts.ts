import { serviceAccountIdentity, type ServiceAccountsConfig } from './identity.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';
import { IssuerKeys, type IssuerKeysOptions } from './issuer-keys.ts';

/**
 * The cluster that labs run in, as an issuer of tokens: projected service-account tokens, which a hub's pod gets from
 * its kubelet and needs to share with nobody.
 *
 * @param options `ask` goes to the API server (`storage/kubernetes/checks/service-account-issuer.ts`), which also says what the issuer is
 * called: until it has, this issuer has no name
 */
export function serviceAccountIssuer(
  config: ServiceAccountsConfig,
  options: Omit<IssuerKeysOptions, 'name'>,
): TrustedIssuer {
  return {
    issuer: undefined,
    keys: new IssuerKeys({ ...options, name: 'the cluster' }),
    // What API servers sign with: RSA and ECDSA keys are all that --service-account-signing-key-file takes.
    algorithms: ['RS256', 'ES256', 'ES384', 'ES512'],
    audience: [config.audience],
    clockSkewMs: 30_000,
    identify: (claims) => serviceAccountIdentity(config, claims),
  };
}
