import { randomUUID } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import type { Logger } from 'pino';
import { identifyCaller } from '../../../auth/identify.ts';
import type { AuthRequest, Identity, IdentityProvider } from '../../../auth/identity.ts';
import { isSafe } from '../../../auth/login/csrf.ts';
import { LabwrightError } from '../../../domain/errors.ts';
import { audited } from '../permissions.ts';
import { type AppContext, type AppEnv, authRequest, type CallLimits, remoteAddress } from '../context.ts';

const REQUEST_ID = /^[\w.-]{1,128}$/;
/** Asked every few seconds by machines; at `info` they would be most of the log. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/']);

/**
 * Gives each request an id (the caller's own, if it sent a plain one), a logger that carries it, and a line in the access
 * log. The line has the path but not the query, and the caller's name but no credential.
 *
 * Who calls is found out when a route asks, once, within the limits.
 */
export function requestScope(logger: Logger, providers: readonly IdentityProvider[], limits: CallLimits) {
  return createMiddleware<AppEnv>(async function requestScope(c, next) {
    const started = performance.now();
    const sent = c.req.header('x-request-id');
    const requestId = sent !== undefined && REQUEST_ID.test(sent) ? sent : randomUUID();
    const log = logger.child({ requestId });
    c.set('requestId', requestId);
    c.set('logger', log);
    c.set('limits', limits);
    let identity: Promise<Identity> | undefined;
    c.set('identify', () => (identity ??= limits.identify(c, () => identify(providers, c))));
    c.header('X-Request-Id', requestId);
    await next();
    const caller = c.get('caller') as Identity | undefined;
    const isQuiet = PROBES.has(c.req.path) || (c.get('isQuiet') as boolean | undefined) === true;
    log[isQuiet ? 'debug' : 'info'](
      {
        method: c.req.raw.method,
        path: loggablePath(c.req.path),
        status: c.res.status,
        ms: Math.round(performance.now() - started),
        remoteAddress: remoteAddress(c),
        ...(caller === undefined ? {} : { caller: caller.subject, role: caller.role, provider: caller.provider }),
      },
      'request',
    );
  });
}

/**
 * The router decodes each part of the path once, and lets pass what it cannot decode; that ends here instead. No route
 * has counted it then.
 */
export const readablePath = createMiddleware<AppEnv>(async function readablePath(c, next) {
  try {
    decodeURIComponent(c.req.path);
  } catch (cause) {
    c.var.limits.anonymous(c);
    const message = 'The path is not percent-encoded UTF-8';
    throw new LabwrightError('invalid_request', 400, message, { loc: ['path'], cause });
  }
  await next();
});

async function identify(providers: readonly IdentityProvider[], c: AppContext): Promise<Identity> {
  const caller = await identifyCaller(providers, asMeant(c, authRequest(c)));
  c.set('caller', caller);
  return caller;
}

/** A GET that changes something is judged as what changes something is: a session needs its CSRF token for it. */
function asMeant(c: AppContext, request: AuthRequest): AuthRequest {
  const action = c.get('action') as AppEnv['Variables']['action'] | undefined;
  return isSafe(request.method) && audited.has(action?.operation ?? '') ? { ...request, method: 'POST' } : request;
}

/** Longest path that is logged. */
const PATH_LENGTH = 2048;
/** An address in a path may have a password before its `@`, and a token in its query or fragment, however often those are escaped. */
const BUILD_OF_ADDRESS = /^(.*?\/build\/).*(?:[@#]|%(?:25)*(?:40|3f|23))/is;

/** A path as the access log has it: bounded, and without what somebody may have written a password into. */
function loggablePath(path: string): string {
  const start = BUILD_OF_ADDRESS.exec(path)?.[1];
  return (start === undefined ? path : `${start}…`).slice(0, PATH_LENGTH);
}
