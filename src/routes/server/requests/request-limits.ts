import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { LabwrightError } from '../../../domain/errors.ts';
import type { AppEnv } from '../context.ts';

/** What a body may have where a request comes without the middleware that says otherwise. */
const BODY_BYTES = 2 ** 20;

/** Refuses a body by the length it announces, before anything else is looked at, on routes that read none as well. */
export function limitDeclaredBody(bytes: number) {
  return createMiddleware<AppEnv>(async function limitDeclaredBody(c, next) {
    c.set('bodySize', bytes);
    if (Number(c.req.header('content-length') ?? 0) > bytes) throw tooLarge(bytes);
    await next();
  });
}

/**
 * For routes that read a body: bounds also one that comes in chunks without saying how long it will be. It stands behind
 * `authorize`, so that nobody's chunks are collected but a caller's.
 */
export const limitBody = createMiddleware<AppEnv>(async function limitBody(c, next) {
  const bytes = (c.get('bodySize') as number | undefined) ?? BODY_BYTES;
  const onError = () => {
    throw tooLarge(bytes);
  };
  return bodyLimit({ maxSize: bytes, onError })(c, next);
});

function tooLarge(bytes: number): LabwrightError {
  return new LabwrightError('payload_too_large', 413, `The body is longer than ${String(bytes)} bytes`);
}
