import { IncomingMessage } from 'node:http';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { LabwrightError } from '../../../domain/errors.ts';
import type { AppEnv } from '../context.ts';
import { BODY_PIECES, BodyTooLarge, readBody } from './request-body.ts';

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
  return boundBody(bytes, () => tooLarge(bytes))(c, next);
});

/**
 * Reads the body, so that whoever asks for it later has all of it.
 *
 * @param refusal makes what is thrown when the body is longer
 */
export function boundBody(bytes: number, refusal: () => LabwrightError): MiddlewareHandler<AppEnv> {
  const onError = () => {
    throw refusal();
  };
  const withoutSocket = bodyLimit({ maxSize: bytes, onError });
  return createMiddleware<AppEnv>(async function boundBody(c, next) {
    const { incoming } = (c.env as Partial<AppEnv['Bindings']> | undefined) ?? {};
    if (!(incoming instanceof IncomingMessage)) return withoutSocket(c, next);
    // The adapter has what had come of a request before its connection ended.
    if (!incoming.destroyed) (incoming as WithBody).rawBody = await read(incoming, bytes, refusal);
    return next();
  });
}

/** Where the adapter looks for a body that has been read already. */
type WithBody = IncomingMessage & { rawBody?: Buffer };

async function read(incoming: IncomingMessage, bytes: number, refusal: () => LabwrightError): Promise<Buffer> {
  try {
    return await readBody(incoming, bytes);
  } catch (error) {
    if (!(error instanceof BodyTooLarge)) throw error;
    throw error.limit === 'bytes' ? refusal() : tooManyPieces();
  }
}

function tooLarge(bytes: number): LabwrightError {
  return new LabwrightError('payload_too_large', 413, `The body is longer than ${String(bytes)} bytes`);
}

function tooManyPieces(): LabwrightError {
  const message = `The body comes in more than ${String(BODY_PIECES)} pieces: send it in longer chunks, or with a length`;
  return new LabwrightError('payload_too_large', 413, message);
}
