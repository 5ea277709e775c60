import type { IncomingMessage } from 'node:http';
import type { Limits } from '../config/limits.ts';

/** Why a request is not handed to the app: the answer's status and the one error in it. */
export interface Fault {
  readonly status: number;
  readonly type: string;
  readonly msg: string;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export const MALFORMED: Fault = invalid(400, 'The request is not valid HTTP');
export const HEADER_TOO_LONG: Fault = invalid(431, 'The header section is too long');
export const TOO_SLOW: Fault = invalid(408, 'The request did not arrive in time');
const URL_TOO_LONG = invalid(414, 'The URL is too long');
const FORM_OF_TARGET = invalid(400, 'The request target must be a path');
const NO_METHOD: Fault = { status: 405, type: 'method_not_allowed', msg: 'Method Not Allowed' };
const NO_EXPECTATION = invalid(417, 'The expectation cannot be met');

export type ShapeLimits = Pick<Limits, 'headerCount' | 'urlLength' | 'bodySize'>;

/**
 * What is wrong with the form of a request that Node's parser let pass, or undefined.
 *
 * Node refuses by itself: two lengths, a length beside a transfer coding, folded header lines, bare line feeds, white
 * space before a colon, and sections beyond `maxHeaderSize`. This adds what two servers in a row may understand
 * differently: whose the host is, where the body ends, and targets that are no path.
 */
export function faultOf(incoming: IncomingMessage, limits: ShapeLimits): Fault | undefined {
  const { headers, headersDistinct, method = '', url = '', httpVersion } = incoming;
  if (incoming.rawHeaders.length / 2 > limits.headerCount) return HEADER_TOO_LONG;
  if (url.length > limits.urlLength) return URL_TOO_LONG;
  if (!METHODS.has(method)) return NO_METHOD;
  if (!url.startsWith('/')) return FORM_OF_TARGET;
  const hosts = headersDistinct.host?.length ?? 0;
  if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0')) return MALFORMED;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) return MALFORMED;
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') return NO_EXPECTATION;
  if (Number(headers['content-length'] ?? 0) > limits.bodySize) {
    const msg = `The body is longer than ${String(limits.bodySize)} bytes`;
    return { status: 413, type: 'payload_too_large', msg };
  }
  return undefined;
}

/** The body of the answer, in the one error format. */
export function faultBody({ type, msg }: Fault): string {
  return JSON.stringify({ detail: [{ msg, type }] });
}

function invalid(status: number, msg: string): Fault {
  return { status, type: 'invalid_request', msg };
}
