import { LRUCache } from 'lru-cache';
import { randomBytes } from 'node:crypto';
import { csrfToken, isSafe, requireCsrfToken, requireSameOrigin } from './csrf.ts';
import { hasAuthorization } from '../bearer.ts';
import { type AuthRequest, type IdentityProvider, invalidToken } from '../identity.ts';
import { hubIdentity, type JupyterhubOptions } from '../jupyterhub/provider.ts';
import { cookieOf, type PublicAddress } from './cookie.ts';
import type { SealingKeys } from '../keys/loaded-keys.ts';
import { createSeal, SEALED_LENGTH } from './seal.ts';

/** Somebody's login in one browser. */
export interface Session {
  readonly id: string;
  /** The hub's access token: who it is and what it may do is asked with it, on each request. */
  readonly hubToken: string;
  /** For the forms of the pages that this session is shown. */
  readonly csrfToken: string;
}

export interface SessionOptions {
  readonly keys: SealingKeys;
  readonly address: PublicAddress;
  /** How long a login lasts, in milliseconds. */
  readonly lifetime: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** The sessions: all of each is in its cookie, so that any replica knows it and a restart ends none. */
export interface Sessions {
  /**
   * Begins one, always a new one: what cookie the browser had before is not looked at.
   *
   * @returns the `Set-Cookie` header; undefined when no browser would keep it, since the token is too long
   */
  begin(hubToken: string): Promise<string | undefined>;
  /** The session of a request; undefined when there is none, or none that is good. */
  find(request: AuthRequest): Promise<Session | undefined>;
  /** Whether the request has our cookie, good or not. */
  isIn(request: AuthRequest): boolean;
  /**
   * Ends a session, and remembers that where the cookie was copied before: in this process, until it would have ended by
   * itself.
   *
   * @returns the `Set-Cookie` header that takes the cookie away
   */
  end(session: Session | undefined): string;
}

/** Ended sessions that are remembered. */
const ENDED = 10_000;

export function createSessions({ keys, address, lifetime, now = Date.now }: SessionOptions): Sessions {
  const cookie = cookieOf('session', address);
  const audience = `${address.origin}${address.path}`;
  const seal = createSeal({ keys, type: 'labwright-session', audience, lifetimeMs: lifetime, now });
  const ended = new LRUCache<string, true>({ max: ENDED, ttl: lifetime + 60_000 });
  return {
    async begin(hubToken) {
      const sealed = await seal.seal({ sid: randomBytes(18).toString('base64url'), token: hubToken });
      const header = cookie.set(sealed, Math.floor(lifetime / 1000));
      return header.length <= SEALED_LENGTH ? header : undefined;
    },
    async find(request) {
      const sealed = cookie.read(request.headers('cookie'));
      const opened = sealed === undefined ? undefined : await seal.open(sealed);
      if (opened === undefined) return undefined;
      const { sid: id, token: hubToken } = opened.claims;
      if (typeof id !== 'string' || typeof hubToken !== 'string' || ended.has(id)) return undefined;
      return { id, hubToken, csrfToken: csrfToken(opened.key, id) };
    },
    isIn: (request) => cookie.isIn(request.headers('cookie')),
    end: (session) => {
      if (session !== undefined) ended.set(session.id, true);
      return cookie.clear();
    },
  };
}

/**
 * People who have logged in with a browser: our cookie, and no `Authorization` header. Their scopes are those that the hub
 * says the session's token has now; a token that the hub has revoked ends the session.
 *
 * A browser sends cookies whoever asks it to, so that everything but GET and HEAD has to come from a page of ours: by what
 * the browser says of the page (`Sec-Fetch-Site`, or `Origin`) and by the session's CSRF token in `X-CSRF-Token`. The
 * token of a session is not handed on to labs: nobody has sent it here for that.
 */
export function sessionProvider(
  sessions: Sessions,
  { tokens, scopes, userModels, origin }: JupyterhubOptions & { readonly origin: string },
): IdentityProvider {
  return {
    name: 'session',
    matches: (request) => !hasAuthorization(request) && sessions.isIn(request),
    async identify(request) {
      const session = await sessions.find(request);
      if (session === undefined) throw invalidToken('There is no session, or it is over; log in again');
      if (!isSafe(request.method)) {
        requireSameOrigin(request, origin);
        requireCsrfToken(request, session.csrfToken);
      }
      const identity = hubIdentity(await tokens.resolve(session.hubToken), { scopes, userModels });
      return { ...identity, provider: 'session', token: null };
    },
  };
}
