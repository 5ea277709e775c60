import { randomUUID } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import type { Logger } from 'pino';
import { identifyCaller } from '../auth/identify.ts';
import type { AuthRequest, Identity, IdentityProvider } from '../auth/identity.ts';
import { LabwrightError } from '../domain/errors.ts';
import { type AppContext, type AppEnv, headerValues, remoteAddress } from './context.ts';

const REQUEST_ID = /^[\w.-]{1,128}$/;
/** Asked every few seconds by machines; at `info` they would be most of the log. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/']);

/**
 * Gives each request an id (the caller's own, if it sent a plain one), a logger that carries it, and a line in the access
 * log. The line has the path but not the query, and the caller's name but no credential.
 */
export function requestScope(logger: Logger, providers: readonly IdentityProvider[]) {
  return createMiddleware<AppEnv>(async function requestScope(c, next) {
    const started = performance.now();
    const sent = c.req.header('x-request-id');
    const requestId = sent !== undefined && REQUEST_ID.test(sent) ? sent : randomUUID();
    const log = logger.child({ requestId });
    c.set('requestId', requestId);
    c.set('logger', log);
    c.set('identify', () => identify(providers, c));
    c.header('X-Request-Id', requestId);
    await next();
    const identity = c.get('identity') as Identity | undefined;
    log[PROBES.has(c.req.path) ? 'debug' : 'info'](
      {
        method: c.req.raw.method,
        path: c.req.path,
        status: c.res.status,
        ms: Math.round(performance.now() - started),
        remoteAddress: remoteAddress(c),
        ...(identity === undefined
          ? {}
          : { caller: identity.subject, role: identity.role, provider: identity.provider }),
      },
      'request',
    );
  });
}

/** The router decodes each part of the path once, and lets pass what it cannot decode; that ends here instead. */
export const readablePath = createMiddleware<AppEnv>(async function readablePath(c, next) {
  try {
    decodeURIComponent(c.req.path);
  } catch (cause) {
    const message = 'The path is not percent-encoded UTF-8';
    throw new LabwrightError('invalid_request', 400, message, { loc: ['path'], cause });
  }
  await next();
});

function identify(providers: readonly IdentityProvider[], c: AppContext): Promise<Identity> {
  const request: AuthRequest = {
    method: c.req.method,
    headers: (name) => headerValues(c, name),
    remoteAddress: remoteAddress(c),
  };
  return identifyCaller(providers, request);
}
