import type { IncomingMessage } from 'node:http';
import type { Limits } from '../../../config/limits.ts';

/** Why a request is not handed to the app: the answer's status and the one error in it. */
export interface Fault {
  readonly status: number;
  readonly type: string;
  readonly msg: string;
  /** Methods that there are instead, for the header of that name. */
  readonly allow?: string;
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** A fragment, and a slash that only some take for one. */
const NO_PATH = /#|^[^?]*\\/;
/** Parts that URL parsers take away, the part before them as well: `/servers/%2e%2e/create` would be `/create`. */
const DOTS = /^[^?]*\/(?:\.|%2e){1,2}(?:[/?]|$)/i;

export const MALFORMED: Fault = invalid(400, 'The request is not valid HTTP');
export const HEADER_TOO_LONG: Fault = invalid(431, 'The header section is too long');
export const TOO_SLOW: Fault = invalid(408, 'The request did not arrive in time');
const URL_TOO_LONG = invalid(414, 'The URL is too long');
const FORM_OF_TARGET = invalid(400, 'The request target must be a path');
const DOTS_AS_NAME = invalid(422, 'A part of the path is "." or "..", which is the name of nothing');
export const NO_METHOD: Fault = { status: 405, type: 'method_not_allowed', msg: 'Method Not Allowed', allow: '' };
const NO_EXPECTATION = invalid(417, 'The expectation cannot be met');

export type ShapeLimits = Pick<Limits, 'headerCount' | 'urlLength' | 'bodySize'>;

/**
 * What is wrong with the form of a request that Node's parser let pass, or undefined.
 *
 * Node refuses by itself: two lengths, a length beside a transfer coding, folded header lines, bare line feeds, white
 * space before a colon, and sections beyond `maxHeaderSize`. This adds what two servers in a row may understand
 * differently: which host is meant, where the body ends, and targets that are no path.
 */
export function faultOf(incoming: IncomingMessage, limits: ShapeLimits): Fault | undefined {
  const { method = '', url = '' } = incoming;
  if (incoming.rawHeaders.length / 2 > limits.headerCount) return HEADER_TOO_LONG;
  if (url.length > limits.urlLength) return URL_TOO_LONG;
  if (!METHODS.has(method)) return NO_METHOD;
  if (!url.startsWith('/') || NO_PATH.test(url)) return FORM_OF_TARGET;
  if (DOTS.test(url)) return DOTS_AS_NAME;
  return isAmbiguous(incoming) ? MALFORMED : faultOfBody(incoming, limits);
}

function isAmbiguous({ headers, headersDistinct, httpVersion }: IncomingMessage): boolean {
  const hosts = headersDistinct.host?.length ?? 0;
  const coding = headers['transfer-encoding'];
  if (httpVersion === '1.0') return hosts > 1 || coding !== undefined;
  return httpVersion !== '1.1' || hosts !== 1 || (coding !== undefined && coding.toLowerCase() !== 'chunked');
}

function faultOfBody({ headers }: IncomingMessage, { bodySize }: ShapeLimits): Fault | undefined {
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue') return NO_EXPECTATION;
  if (Number(headers['content-length'] ?? 0) <= bodySize) return undefined;
  return { status: 413, type: 'payload_too_large', msg: `The body is longer than ${String(bodySize)} bytes` };
}

/** The body of the answer, in the one error format. */
export function faultBody({ type, msg }: Fault): string {
  return JSON.stringify({ detail: [{ msg, type }] });
}

function invalid(status: number, msg: string): Fault {
  return { status, type: 'invalid_request', msg };
}
