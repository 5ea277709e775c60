import { LRUCache } from 'lru-cache';
import { calculatePKCECodeChallenge, generateRandomCodeVerifier, generateRandomState } from 'oauth4webapi';
import { LabwrightError } from '../../domain/errors.ts';
import type { AuthRequest, Identity } from '../identity.ts';
import { hubIdentity, type JupyterhubOptions } from '../jupyterhub/provider.ts';
import { HUB_TOKEN_LENGTH } from '../jupyterhub/tokens.ts';
import { safeNext } from './next.ts';
import type { HubOAuthClient } from './hub-oauth-client.ts';
import type { Sessions } from './session.ts';
import { cookieOf, type PublicAddress } from './cookie.ts';
import type { SealingKeys } from '../keys/loaded-keys.ts';
import { createSeal } from './seal.ts';

/** Where to send the browser, and the `Set-Cookie` headers to send it with. */
export interface Redirection {
  readonly location: string;
  readonly cookies: readonly string[];
}

/** The way of a person with a browser to a session, through the hub and back. */
export interface Login {
  /** @param next where to go afterwards; whatever it is, it leads to a page of ours */
  begin(next: string | undefined): Promise<Redirection>;
  /**
   * What follows when the hub has sent the browser back.
   *
   * @param parameters of the hub's answer
   * @throws {LabwrightError} `invalid_request` (400) when this browser has begun no such login, or the answer was used
   * before; `permission_denied` (403) when the hub or its scopes refuse; `bad_gateway` (502) when the hub fails
   */
  finish(
    parameters: URLSearchParams,
    request: AuthRequest,
  ): Promise<Redirection & { readonly who: Pick<Identity, 'subject' | 'role'> }>;
  /** The `Set-Cookie` header that ends a login under way in this browser, however it has ended. */
  forget(): string;
  close(): Promise<void>;
}

export interface LoginOptions extends JupyterhubOptions {
  readonly oauth: HubOAuthClient;
  readonly sessions: Sessions;
  readonly keys: SealingKeys;
  readonly address: PublicAddress;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** Path of the page that people see first, below our own. */
const FIRST_PAGE = '/account';
const CALLBACK_PATH = '/oauth_callback';
const LIFETIME_MS = 600_000;
const USED = 10_000;
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * OAuth 2 with an authorization code and PKCE. What has to come back with the code (the state), and the secret that the
 * code is worth nothing without, are sealed in a cookie of the browser that begins: an answer that anybody else brings, or
 * makes somebody bring, fits no cookie. Each counts once.
 */
export function createLogin(options: LoginOptions): Login {
  const { oauth, sessions, keys, address, tokens, now = Date.now } = options;
  const cookie = cookieOf('login', address, CALLBACK_PATH);
  const redirectUri = `${address.origin}${address.path}${CALLBACK_PATH}`;
  const audience = `${address.origin}${address.path}`;
  const seal = createSeal({ keys, type: 'labwright-login', audience, lifetimeMs: LIFETIME_MS, now });
  // The hub takes no code twice either; this is for those who hold a copy of the cookie, and asks nobody.
  const used = new LRUCache<string, true>({ max: USED, ttl: LIFETIME_MS + 60_000 });

  /** The login that this answer belongs to. */
  async function underWay(parameters: URLSearchParams, request: AuthRequest) {
    const sealed = cookie.read(request.headers('cookie'));
    const { state, verifier, next } = (sealed === undefined ? undefined : await seal.open(sealed))?.claims ?? {};
    const [sent, ...others] = parameters.getAll('state');
    if (typeof state !== 'string' || sent !== state || others.length > 0 || used.has(state)) throw notUnderWay();
    used.set(state, true);
    if (typeof verifier !== 'string' || typeof next !== 'string') throw notUnderWay();
    return { state, verifier, next };
  }

  return {
    async begin(next) {
      const [state, verifier] = [generateRandomState(), generateRandomCodeVerifier()];
      const target = safeNext(next, address) ?? `${address.path}${FIRST_PAGE}`;
      const sealed = await seal.seal({ state, verifier, next: target });
      const challenge = await calculatePKCECodeChallenge(verifier);
      return {
        location: oauth.authorizeUrl({ redirectUri, state, challenge }),
        cookies: [cookie.set(sealed, LIFETIME_MS / 1000)],
      };
    },
    async finish(parameters, request) {
      const { state, verifier, next } = await underWay(parameters, request);
      // One answer and no other: whoever has changed it on its way here was not the hub.
      if (['code', 'error'].flatMap((name) => parameters.getAll(name)).length !== 1) throw notUnderWay();
      const token = await oauth.redeem({ parameters, state, redirectUri, verifier });
      if (!TOKEN.test(token) || token.length > HUB_TOKEN_LENGTH) throw new UselessToken();
      // Before there is a session: somebody without a role would be sent to and fro between the hub and our pages.
      const who = hubIdentity(await tokens.resolve(token).catch(asUseless), options);
      const session = await sessions.begin(token);
      if (session === undefined) throw new UselessToken();
      return { location: next, cookies: [session], who };
    },
    forget: () => cookie.clear(),
    close: () => oauth.close(),
  };
}

function notUnderWay(): LabwrightError {
  const message = 'This login was not begun in this browser, has been used already, or took too long. Log in again.';
  return new LabwrightError('invalid_request', 400, message);
}

class UselessToken extends LabwrightError {
  constructor() {
    const cause = new Error('the token that JupyterHub gave is refused by it, or cannot be kept in a cookie');
    super('bad_gateway', 502, 'JupyterHub gave a token that is of no use', { cause });
  }
}

/** A token that the hub has just given, and refuses: no fault of the person's. */
function asUseless(error: unknown): never {
  throw error instanceof LabwrightError && error.code === 'invalid_token' ? new UselessToken() : error;
}
