import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type Dispatcher } from 'undici';
import { withDeadline } from './deadline.ts';

/** No answer came, or none that can be used. The message holds nothing of the request or the answer. */
export class HttpFailure extends Error {
  override readonly name = 'HttpFailure';
  readonly reason: 'late' | 'too long' | 'no answer';
  /** The word of the system or of undici: `ECONNREFUSED`, `UND_ERR_SOCKET`. */
  readonly code: string | undefined;

  constructor(reason: HttpFailure['reason'], message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.reason = reason;
    this.code = errorCode(cause);
  }
}

export interface HttpRequest {
  readonly method?: Dispatcher.HttpMethod;
  readonly origin: string;
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** Ends the request and its answer; its reason is what is thrown. */
  readonly signal: AbortSignal;
  /** An answer on which nothing comes for so many milliseconds fails: see `isSilence`; 0, the default, is never. */
  readonly silenceMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpStream extends Omit<HttpAnswer, 'body'> {
  /** Whoever gets it reads it to its end or destroys it. It fails with what undici says: see `isSilence`. */
  readonly body: Dispatcher.ResponseData['body'];
}

/** Connections that are kept for a while. HTTP/1.1: over HTTP/2, undici takes twice the CPU for the same calls. */
export function pool(options: Agent.Options): Agent {
  return new Agent({ allowH2: false, ...options });
}

/**
 * Does what has to be answered in time.
 *
 * @throws {HttpFailure} `late`
 * @throws what the work throws, and the reason of the signal
 */
export function inTime<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withDeadline({ ms, signal, late: () => new HttpFailure('late', 'no answer before the timeout') }, work);
}

/**
 * Sends a request and gives the answer as it begins. The deadline is that of the signal.
 *
 * @throws {HttpFailure} no answer
 * @throws the reason of the signal
 */
export async function send(dispatcher: Dispatcher, request: HttpRequest): Promise<HttpStream> {
  const { method = 'GET', body = null, silenceMs = 0, ...target } = request;
  try {
    const answer = await dispatcher.request({
      ...target,
      method,
      body,
      headersTimeout: 0,
      bodyTimeout: silenceMs,
      // undici would close the connection after a DELETE with a body, and after every HEAD, and open another one for the next call.
      ...(method === 'DELETE' || method === 'HEAD' ? { reset: false } : {}),
    });
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  } catch (cause) {
    throw failureOf(cause, request.signal);
  }
}

/** The same, with all of the answer. @throws {HttpFailure} also `too long`, beyond `maxBytes` */
export async function ask(dispatcher: Dispatcher, request: HttpRequest, maxBytes: number): Promise<HttpAnswer> {
  const answer = await send(dispatcher, request);
  try {
    return { ...answer, body: await readAll(answer.body, maxBytes) };
  } catch (cause) {
    throw failureOf(cause, request.signal);
  }
}

function failureOf(cause: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (cause instanceof HttpFailure) return cause;
  return new HttpFailure('no answer', cause instanceof Error ? cause.message : 'no answer', cause);
}

/** Whether this is what a body fails with on which nothing has come for `silenceMs`. */
export function isSilence(error: unknown): boolean {
  return errorCode(error) === 'UND_ERR_BODY_TIMEOUT';
}

function tooLongAnswer(): Error {
  return new HttpFailure('too long', 'an answer that is too long');
}

/** All bytes of what is known to be small. */
export async function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number, tooLong = tooLongAnswer) {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/** Where a URL is asked. */
export function addressOf({ origin, pathname, search }: URL): Pick<HttpRequest, 'origin' | 'path'> {
  return { origin, path: `${pathname}${search}` };
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * Where an answer sends its reader; undefined where it does not.
 *
 * @param mayDowngrade whether what was encrypted may go on in plain text
 * @returns `refused` for what is no address of HTTP, has a credential in it or is less safe than the one before
 */
export function nextHop(
  from: URL,
  { status, headers: { location } }: Omit<HttpAnswer, 'body'>,
  mayDowngrade = false,
): URL | 'refused' | undefined {
  if (!REDIRECTS.has(status) || location === undefined) return undefined;
  if (!URL.canParse(location, from.href)) return 'refused';
  const to = new URL(location, from);
  const isPlain = to.protocol === 'http:' && (from.protocol === 'http:' || mayDowngrade);
  const isSafe = (to.protocol === 'https:' || isPlain) && to.username === '' && to.password === '';
  return isSafe ? to : 'refused';
}

/** The system's word for an error (`ECONNREFUSED`); the numbers that DOM exceptions call codes are none. */
export function errorCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

const CERTIFICATES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'has expired',
  CERT_NOT_YET_VALID: 'is not valid yet',
  CERT_REVOKED: 'was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'is signed by itself',
  ERR_TLS_CERT_ALTNAME_INVALID: 'is for other names',
  SELF_SIGNED_CERT_IN_CHAIN: 'is of an authority that is not known',
  UNABLE_TO_GET_ISSUER_CERT: 'is of an authority that is not known',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'is of an authority that is not known',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'is of an authority that is not known',
};

/** What is wrong with the certificate that a server has shown, as the end of a sentence; undefined for any other error. */
export function certificateTrouble(error: unknown): string | undefined {
  const code = error instanceof HttpFailure ? error.code : errorCode(error);
  return code === undefined ? undefined : CERTIFICATES[code];
}

/** What an error says, with its code, where there are such. */
export function textOf(error: Error): string {
  return [errorCode(error), error.message].filter((part) => part !== undefined && part !== '').join(': ');
}
