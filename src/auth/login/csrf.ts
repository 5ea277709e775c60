import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { LabwrightError } from '../../domain/errors.ts';
import type { AuthRequest } from '../identity.ts';

/** Header in which a script of our pages sends the token; a form sends it in the field `_csrf`. */
export const CSRF_HEADER = 'x-csrf-token';
export const CSRF_FIELD = '_csrf';

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Whether a request of this method only reads. */
export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

/**
 * The token that requests of one session carry when they change something: whoever cannot read our pages cannot know it,
 * and that of another session is of no use.
 *
 * @param key the key that the session is sealed with; the token is made with another, which follows from it
 */
export function csrfToken(key: Uint8Array, sessionId: string): string {
  const derived = Buffer.from(hkdfSync('sha256', key, '', 'labwright csrf token', 32));
  return createHmac('sha256', derived).update(sessionId).digest('base64url');
}

/**
 * Whether a browser has sent the request. Only browsers say of which page it comes, and with all that changes something
 * they do; programs that hold a token do not.
 */
export function isFromBrowser(request: AuthRequest): boolean {
  return ['sec-fetch-site', 'origin'].some((name) => request.headers(name).length > 0);
}

/**
 * @param origin where our pages are
 * @throws {LabwrightError} `permission_denied` (403) when a page of another origin sent the request, or no browser that
 * says so
 */
export function requireSameOrigin(request: AuthRequest, origin: string): void {
  const [site, ...sites] = request.headers('sec-fetch-site');
  const [from, ...others] = request.headers('origin');
  // Browsers send the first over TLS and to localhost only; the second with everything that changes something.
  const isSame = site === undefined ? from === origin : site === 'same-origin';
  if (!isSame || sites.length > 0 || others.length > 0) {
    throw new LabwrightError('permission_denied', 403, 'The request comes from a page of another site');
  }
}

/** @throws {LabwrightError} `permission_denied` (403) when the request does not carry this token, once */
export function requireCsrfToken(request: AuthRequest, token: string): void {
  const [sent = '', ...others] = request.headers(CSRF_HEADER);
  if (others.length > 0 || !isEqual(sent, token)) {
    const message = 'The request does not come from a page of this session; load the page again';
    throw new LabwrightError('permission_denied', 403, message);
  }
}

function isEqual(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
