import type { KubeConnection } from '../connection.ts';
import { type CallOptions, KubeTransport } from '../kube-transport.ts';

/** What an API server says of the tokens it issues. */
export interface ServiceAccountIssuer {
  /** The `iss` of service-account tokens. */
  readonly issuer: string;
  /** The JSON Web Key Set that verifies them, as it came. */
  readonly jwks: unknown;
}

/**
 * Asks an API server for the name and the keys of its service-account issuer.
 *
 * Both come from the API server itself, whatever `jwks_uri` its discovery document names: that address is for verifiers
 * outside, and need not be reachable from here. Every service account may read both (the cluster role
 * `system:service-account-issuer-discovery`, which Kubernetes binds to `system:serviceaccounts`).
 *
 * @param connection stays the caller's to close
 * @returns a function that throws KubeError when the API server does not answer, or does not allow it
 */
export function askServiceAccountIssuer(
  connection: KubeConnection,
): (signal: AbortSignal) => Promise<ServiceAccountIssuer> {
  const transport = new KubeTransport({ connection });
  const get = (path: string, accept: string, options: CallOptions) =>
    transport.call({ method: 'GET', target: { verb: 'get', kind: path }, path, accept, idempotent: true, options });

  return async (signal) => {
    const [discovery, jwks] = await Promise.all([
      get('/.well-known/openid-configuration', 'application/json', { signal }),
      get('/openid/v1/jwks', 'application/jwk-set+json', { signal }),
    ]);
    const { issuer } = (discovery ?? {}) as { issuer?: unknown };
    if (typeof issuer !== 'string' || issuer === '') throw new Error('the API server names no issuer');
    return { issuer, jwks };
  };
}
