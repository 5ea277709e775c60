import type { HttpClient } from '../http-client.ts';
import type { AskIssuer } from './issuer-keys.ts';

/**
 * Asks an issuer for its keys where the configuration says they are, or by OpenID Connect discovery.
 *
 * Discovery (OpenID Connect Discovery 1.0, section 4) is believed only where it names exactly this issuer, and keys are
 * fetched over TLS where the issuer is: otherwise whoever sits on the network could put its own there.
 */
export function issuerOverHttp(http: HttpClient, issuer: string, jwksUri: string | undefined): AskIssuer {
  return async () => ({ issuer, jwks: await ask(http, jwksUri ?? (await discover(http, issuer))) });
}

async function discover(http: HttpClient, issuer: string): Promise<string> {
  const answer = await ask(http, `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const found = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  if (found['issuer'] !== issuer) throw new Error('its discovery document names another issuer');
  const uri = found['jwks_uri'];
  const { protocol } = typeof uri === 'string' && URL.canParse(uri) ? new URL(uri) : { protocol: '' };
  const isSafe = protocol === 'https:' || (protocol === 'http:' && !issuer.startsWith('https:'));
  if (typeof uri !== 'string' || !isSafe) throw new Error('its discovery document has no jwks_uri that can be used');
  return uri;
}

async function ask(http: HttpClient, url: string): Promise<unknown> {
  const { status, body } = await http.get(url);
  const { origin, pathname } = new URL(url);
  if (status !== 200) throw new Error(`${origin}${pathname} answered ${status}`);
  if (body === undefined) throw new Error(`${origin}${pathname} answered with something that is no JSON`);
  return body;
}
