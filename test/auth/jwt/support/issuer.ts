import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, SignJWT } from 'jose';
import { canary } from '../../../support/canary.ts';

/** A key pair under a name. */
export interface TestKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  /** As it is published. */
  readonly jwk: JWK;
}

export async function makeKey(kid: string, alg = 'ES256'): Promise<TestKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** How an issuer's server behaves: as it should, or not. */
export type Weather = 'fine' | 'closed' | 'silent' | 'broken' | 'garbage' | 'elsewhere';

/** An issuer of tokens: a real HTTP server with a discovery document and a key set, both of which a test can change. */
export interface TestIssuer {
  readonly issuer: string;
  readonly jwksUri: string;
  keys: readonly TestKey[];
  weather: Weather;
  /** Replaces parts of the discovery document. */
  discovery: Record<string, unknown>;
  /** Milliseconds of `performance.now()` at each request, by path. */
  readonly asked: { discovery: number[]; jwks: number[] };
  /** A token of this issuer, good for ten minutes, unless told otherwise. */
  sign(claims?: Record<string, unknown>, options?: SignOptions): Promise<string>;
  close(): Promise<void>;
}

export interface SignOptions {
  readonly key?: TestKey;
  /** Beside `alg` and `kid`; undefined leaves one of these out. */
  readonly header?: Record<string, unknown>;
}

export const AUDIENCE = 'labwright';

export async function startIssuer(keys: readonly TestKey[], path = ''): Promise<TestIssuer> {
  const server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer: TestIssuer = {
    issuer: `${origin}${path}`,
    jwksUri: `${origin}/jwks`,
    keys,
    weather: 'fine',
    discovery: {},
    asked: { discovery: [], jwks: [] },
    sign(claims = {}, { key = issuer.keys[0]!, header = {} } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const planted = canary('in-a-jwt');
      const all = { iss: issuer.issuer, aud: AUDIENCE, iat: now, exp: now + 600, sub: 'subject-1', planted, ...claims };
      const known = Object.entries({ alg: key.alg, kid: key.kid, ...header }).filter(
        ([, value]) => value !== undefined,
      );
      return new SignJWT(withoutUndefined(all))
        .setProtectedHeader(Object.fromEntries(known) as { alg: string })
        .sign(key.privateKey);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const isJwks = request.url === '/jwks';
    issuer.asked[isJwks ? 'jwks' : 'discovery'].push(performance.now());
    const body = isJwks
      ? ({ keys: issuer.keys.map(({ jwk }) => jwk) } satisfies JSONWebKeySet)
      : { issuer: issuer.issuer, jwks_uri: issuer.jwksUri, ...issuer.discovery };
    if (issuer.weather === 'closed') request.socket.destroy();
    else if (issuer.weather === 'broken') response.writeHead(500).end('{"keys":[]}');
    else if (issuer.weather === 'garbage') response.writeHead(200).end('<html>');
    else if (issuer.weather === 'elsewhere') response.writeHead(302, { location: issuer.jwksUri }).end();
    else if (issuer.weather === 'fine') response.end(JSON.stringify(body));
  }

  return issuer;
}

function withoutUndefined(claims: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
}
