import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import Provider from 'oidc-provider';

/** A real OpenID Connect provider on loopback, with one client that is a machine. */
export interface OidcServer {
  readonly issuer: string;
  /** An access token for Labwright by the client credentials grant, as the token endpoint gives it. */
  accessToken(scope?: string): Promise<string>;
  close(): Promise<void>;
}

const CLIENT = { id: 'nightly-robot', secret: 'canary-client-secret-of-the-robot' };
const RESOURCE = 'https://labs.example.org/labwright';

/** The audience of its access tokens. */
export const OIDC_AUDIENCE = RESOURCE;

/** @param alg how it signs access tokens */
export async function startOidc(alg: 'RS256' | 'ES256' | 'EdDSA'): Promise<OidcServer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [await privateJwk('RS256'), ...(alg === 'RS256' ? [] : [await privateJwk(alg)])] },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'labs:hub labs:use',
          audience: RESOURCE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg } },
        }),
      },
    },
    extraTokenClaims: () => ({ preferred_username: 'robot', uid: 4711, gid: 4711, groups: ['robots'] }),
  });
  const handle = provider.callback();
  server.on('request', (request, response) => void handle(request, response));

  return {
    issuer,
    async accessToken(scope = 'labs:use') {
      const answer = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: {
          authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64')}`,
          connection: 'close',
        },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: RESOURCE, scope }),
      });
      const body = (await answer.json()) as { access_token?: string };
      if (body.access_token === undefined) throw new Error(`no token: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function privateJwk(alg: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${alg}-1` };
}
