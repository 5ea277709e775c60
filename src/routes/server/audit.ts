import { createMiddleware } from 'hono/factory';
import type { Logger } from 'pino';
import { addressKey } from '../../auth/limits/address-key.ts';
import { FloodGuard } from '../../auth/limits/flood-guard.ts';
import type { Identity } from '../../auth/identity.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { originOf } from './requests/client-address.ts';
import type { AppContext, AppEnv } from './context.ts';
import { audited } from './permissions.ts';

/** Longest value of a line, in UTF-16 units; names of users have 255 bytes at most. */
const VALUE_LENGTH = 256;
/** Refusals per minute that get lines of their own. */
const REFUSALS = { perKey: 30, total: 600 };
const REFUSED: ReadonlySet<number> = new Set([401, 403, 429]);
/** Control characters, and those that turn or hide what is written around them. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * One line for each thing somebody did, and for each thing somebody was not let do: who, for whom, from where, what,
 * with which result. Actions are those of `audited` in the routes' table, refusals are answers 401, 403 and 429.
 *
 * Refusals beyond a number per minute get one line about all of them. The level is `info`, with `audit: true`.
 *
 * @param isTrusted whether an address may say for whom it speaks
 */
export function auditTrail(logger: Logger, isTrusted: (address: string | undefined) => boolean) {
  const guard = new FloodGuard({
    ...REFUSALS,
    report: ({ lines, from }) =>
      logger.info({ audit: true, result: 'refused', lines, from: cleanKeys(from) }, 'audit: more refusals'),
  });

  function write(c: AppContext, status: number, error: unknown): void {
    const identity = c.get('identity') as Identity | undefined;
    const caller = c.get('caller') as Identity | undefined;
    const isAction = identity !== undefined && status !== 429 && isAudited(c);
    if (!isAction && !REFUSED.has(status)) return;
    const { peer, forwardedFor } = originOf(c, isTrusted);
    const who = caller === undefined ? addressKey(forwardedFor ?? peer) : `${caller.role} ${caller.subject}`;
    if (!isAction && !guard.admits(who)) {
      c.set('isQuiet', caller === undefined);
      return;
    }
    const { operation, username = isAction ? caller?.username : undefined, server } = targetOf(c);
    // What is undefined is left out of the line.
    c.var.logger.info(
      {
        audit: true,
        operation,
        result: resultOf(status),
        status,
        code: codeOf(status, error),
        subject: clean(caller?.subject),
        role: caller?.role,
        provider: caller?.provider,
        username: clean(username ?? undefined),
        server: clean(server),
        remoteAddress: peer,
        forwardedFor,
      },
      'audit',
    );
  }

  return createMiddleware<AppEnv>(async function auditTrail(c, next) {
    guard.sweep();
    try {
      await next();
    } catch (error) {
      write(c, 500, error);
      throw error;
    }
    const { outcome = c.res.status } = c.var as Partial<AppEnv['Variables']>;
    write(c, outcome, c.error);
  });
}

/** Text for a log: bounded, and without what could end a line or hide a part of it. */
export function clean<Text extends string | undefined>(text: Text): Text | string {
  if (text === undefined) return text;
  const short = text.length > VALUE_LENGTH ? `${text.slice(0, VALUE_LENGTH)}…` : text;
  return short.toWellFormed().replaceAll(UNPRINTABLE, '\ufffd');
}

function cleanKeys(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([key, count]) => [clean(key), count]));
}

function targetOf(c: AppContext): Partial<AppEnv['Variables']['action']> {
  return (c.var as Partial<AppEnv['Variables']>).action ?? {};
}

function isAudited(c: AppContext): boolean {
  const { operation } = targetOf(c);
  return operation !== undefined && audited.has(operation);
}

function resultOf(status: number): 'done' | 'refused' | 'failed' {
  if (REFUSED.has(status)) return 'refused';
  return status < 400 ? 'done' : 'failed';
}

function codeOf(status: number, error: unknown): string | undefined {
  if (error instanceof LabwrightError) return error.code;
  if (status >= 500) return 'internal_error';
  return status >= 400 ? 'invalid_request' : undefined;
}
