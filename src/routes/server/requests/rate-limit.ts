import { createHash } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import { matchedRoutes } from 'hono/route';
import { addressKey } from '../../../auth/limits/address-key.ts';
import type { Identity, Role } from '../../../auth/identity.ts';
import { CredentialGuard } from '../../../auth/limits/credential-guard.ts';
import { type Rate, RateLimiter } from '../../../auth/limits/rate-limiter.ts';
import { admit, tooMany } from '../../../auth/limits/too-many.ts';
import type { Limits } from '../../../config/limits.ts';
import { originOf } from './client-address.ts';
import { type AppContext, type AppEnv, type CallLimits, headerValues } from '../context.ts';

/** Headers that can hold a credential. */
const CREDENTIALS = ['authorization', 'cookie', 'x-auth-request-user', 'x-auth-request-token'];
/** When somebody with too many streams may ask again, in seconds: when one of them ends nobody knows. */
const STREAM_PAUSE = 10;

export interface CallLimitOptions {
  readonly limits: Pick<Limits, Role | 'anonymous' | 'failedAuthentication' | 'streamsPerUser'>;
  /** Whether an address may say for whom it speaks. */
  readonly isTrusted: (address: string | undefined) => boolean;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

export function callLimits({ limits, isTrusted, now }: CallLimitOptions): CallLimits {
  const limiter = (rate: Rate) => new RateLimiter({ ...rate, ...(now === undefined ? {} : { now }) });
  const callers: Readonly<Record<Role, RateLimiter>> = {
    user: limiter(limits.user),
    hub: limiter(limits.hub),
    admin: limiter(limits.admin),
  };
  const anonymous = limiter(limits.anonymous);
  const credentials = new CredentialGuard({
    failures: limits.failedAuthentication,
    ...(now === undefined ? {} : { now }),
  });
  const streams = new Map<string, number>();

  const addressOf = (c: AppContext) => {
    const { peer, forwardedFor } = originOf(c, isTrusted);
    return addressKey(forwardedFor ?? peer);
  };

  return {
    async identify(c, ask) {
      const credential = fingerprint(c);
      if (credential === undefined) admit(anonymous.take(addressOf(c)));
      const identity = await (credential === undefined ? ask() : credentials.judge(addressOf(c), credential, ask));
      admit(callers[identity.role].take(callerKey(identity)));
      return identity;
    },

    anonymous: (c) => admit(anonymous.take(addressOf(c))),

    openStream(identity) {
      if (identity.role !== 'user') return () => undefined;
      const key = callerKey(identity);
      const open = streams.get(key) ?? 0;
      if (open >= limits.streamsPerUser) throw tooMany(STREAM_PAUSE, 'Too many event streams are open');
      streams.set(key, open + 1);
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        const left = (streams.get(key) ?? 1) - 1;
        if (left === 0) streams.delete(key);
        else streams.set(key, left);
      };
    },
  };
}

/** For routes that answer with an event stream: the place is taken until the answer has been sent or given up. */
export const limitStreams = createMiddleware<AppEnv>(async function limitStreams(c, next) {
  const release = c.var.limits.openStream(c.var.identity);
  try {
    await next();
  } catch (error) {
    release();
    throw error;
  }
  const { outgoing } = c.env as Partial<AppEnv['Bindings']>;
  // No answer to a HEAD is ever read, and without a socket nobody holds anything.
  if (c.res.status !== 200 || c.req.raw.method === 'HEAD' || outgoing === undefined || outgoing.closed) release();
  else outgoing.once('close', release);
});

/** For routes that anybody may call. */
export const limitAddress = createMiddleware<AppEnv>(async function limitAddress(c, next) {
  c.var.limits.anonymous(c);
  await next();
});

/** What no route is for costs somebody's address the same as an open route. */
export const limitUnrouted = createMiddleware<AppEnv>(async function limitUnrouted(c, next) {
  // Middleware stands in the router under every method.
  if (matchedRoutes(c).every(({ method }) => method === 'ALL')) c.var.limits.anonymous(c);
  await next();
});

function callerKey({ role, subject }: Identity): string {
  return `${role} ${subject}`;
}

export function hasCredential(c: AppContext): boolean {
  return CREDENTIALS.some((name) => headerValues(c, name).length > 0);
}

/** @returns undefined when the request has no credential at all */
function fingerprint(c: AppContext): string | undefined {
  if (!hasCredential(c)) return undefined;
  const values = CREDENTIALS.map((name) => headerValues(c, name));
  return createHash('sha256').update(JSON.stringify(values)).digest('base64');
}
