import type { MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { hasAuthorization } from '../../auth/bearer.ts';
import { CSRF_FIELD, CSRF_HEADER, isFromBrowser, isSafe, requireSameOrigin } from '../../auth/login/csrf.ts';
import type { PublicAddress } from '../../auth/login/cookie.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { type AppContext, type AppEnv, authRequest } from '../server/context.ts';
import { messagePage, PEOPLE_HEADERS } from './login-page.ts';
import { PAGES } from '../server/documented-refusals.ts';
import { type Operation, permissions } from '../server/permissions.ts';
import { hasCredential, limitAddress } from '../server/requests/rate-limit.ts';
import { boundBody } from '../server/requests/request-limits.ts';

const FORM_BYTES = 16 * 1024;

/** Parts of a route with middleware that runs before theirs; what that refuses is known by the route's name as well. */
export function preceded<
  Parts extends { readonly operationId: string; readonly middleware: MiddlewareHandler<AppEnv>[] },
>(parts: Parts, ...first: MiddlewareHandler<AppEnv>[]) {
  const begin = createMiddleware<AppEnv>(async function named(c, next) {
    c.set('action', { operation: parts.operationId });
    await next();
  });
  return { ...parts, tags: [PAGES], middleware: [begin, ...first, ...parts.middleware] };
}

const limitForm = boundBody(
  FORM_BYTES,
  () => new LabwrightError('payload_too_large', 413, `The form is longer than ${String(FORM_BYTES)} bytes`),
);

/** What the forms of our pages are sent as; other kinds, with files and parts, are not read. */
export const FORM_TYPE = 'application/x-www-form-urlencoded';
const FORM = /^application\/x-www-form-urlencoded *(?:;|$)/i;

/**
 * Before a form of a page is looked at: it must come from a page of ours, whatever the credential is. An `Authorization`
 * header frees programs from that and no browser, which may send its login at a proxy in one (`Basic`), or have a proxy
 * add one. The field `_csrf` then stands for the header of the same meaning, which forms cannot send; the provider of
 * sessions judges it there, as with any other request.
 *
 * All of this comes before anybody is asked who calls, so that it counts for the address.
 *
 * @param address where our pages are
 */
export function pageForm({ origin }: PublicAddress): MiddlewareHandler<AppEnv>[] {
  const readToken = createMiddleware<AppEnv>(async function formToken(c, next) {
    const request = authRequest(c);
    if (isFromBrowser(request) || (!hasAuthorization(request) && !isNobody(c))) requireSameOrigin(request, origin);
    if (!FORM.test(c.req.header('content-type') ?? '')) {
      const message = `The body must be ${FORM_TYPE}`;
      throw new LabwrightError('unsupported_media_type', 415, message);
    }
    if (request.headers(CSRF_HEADER).length === 0) {
      const token = (await c.req.parseBody())[CSRF_FIELD];
      if (typeof token === 'string') setHeader(c, CSRF_HEADER, token);
    }
    await next();
  });
  return [limitAddress, limitForm, readToken];
}

/** No credential at all, where one is needed: that is what its sender is told. */
function isNobody(c: AppContext): boolean {
  return !hasCredential(c) && permissions[c.var.action.operation as Operation] !== 'open';
}

function setHeader(c: AppContext, name: string, value: string): void {
  // As in `headerValues`: Node's own list where there is one.
  const distinct = (c.env as Partial<AppEnv['Bindings']> | undefined)?.incoming?.headersDistinct;
  if (distinct === undefined) c.req.raw.headers.set(name, value);
  else distinct[name] = [value];
}

export interface ForPeople {
  readonly address: PublicAddress;
  /** Where our routes are: what remains of the public path where the base URL has one of its own. */
  readonly pathPrefix: string;
  /** Whether people can log in: then they are sent there instead of being refused. */
  readonly canLogIn: boolean;
}

/** Turns refusals into pages for those who look at them with a browser, and a missing session into a login. */
export function forPeople({ address, pathPrefix, canLogIn }: ForPeople): MiddlewareHandler<AppEnv> {
  return createMiddleware<AppEnv>(async function forPeople(c, next) {
    await next();
    const { error } = c;
    if (!(error instanceof LabwrightError) || !acceptsHtml(c)) return;
    const instead = answer(c, error);
    // The answer that is replaced keeps what it says beside its text: the request id, cookies, when to ask again.
    const headers = new Headers(c.res.headers);
    for (const name of ['content-type', 'content-length', 'www-authenticate']) headers.delete(name);
    for (const [name, value] of Object.entries(instead.headers)) headers.set(name, value);
    c.res = undefined;
    c.res = new Response(instead.page, { status: instead.status, headers });
  });

  function answer(c: AppContext, error: LabwrightError) {
    const login = `${address.path}/login`;
    if (error.status === 401 && canLogIn && isSafe(c.req.method)) {
      const { pathname, search } = new URL(c.req.url);
      const next = `${address.path}${pathname.slice(pathPrefix.length)}${search}`;
      const location = `${login}?next=${encodeURIComponent(next)}`;
      return { page: null, status: 303, headers: { Location: location, 'Cache-Control': 'no-store' } };
    }
    const links = [
      { href: `${address.path}/account`, text: 'Your labs' },
      ...(canLogIn ? [{ href: login, text: 'Log in again' }] : []),
    ];
    const page = messagePage({ title: titleOf(error.status), text: error.message, links });
    return { page, status: error.status, headers: PEOPLE_HEADERS };
  }
}

function acceptsHtml(c: AppContext): boolean {
  return c.req.header('accept')?.includes('text/html') ?? false;
}

function titleOf(status: number): string {
  if (status === 401) return 'You are not logged in';
  if (status === 403) return 'That is not allowed';
  return status < 500 ? 'That did not work' : 'That does not work at the moment';
}
