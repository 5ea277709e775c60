import { type AuthRequest, invalidToken } from './identity.ts';

/** JupyterHub's own reading of the header: both words, in any case. */
const AUTHORIZATION = /^(?:bearer|token) +([\x21-\x7e]+) *$/i;
/** Longest credential that is looked at, in characters: a JWT with many groups has a few thousand. */
const TOKEN_LENGTH = 8192;

/** Whether the request has an `Authorization` header, of whatever content. */
export function hasAuthorization(request: AuthRequest): boolean {
  return request.headers('authorization').length > 0;
}

/**
 * The token of `Authorization: Bearer …` or `Authorization: token …`; undefined where there is no such header.
 *
 * @throws {LabwrightError} `invalid_token` (401) when the header was sent twice or is anything else
 */
export function bearerToken(request: AuthRequest): string | undefined {
  const [value, ...others] = request.headers('authorization');
  if (value === undefined) return undefined;
  const token = value.length <= TOKEN_LENGTH ? AUTHORIZATION.exec(value)?.[1] : undefined;
  if (token === undefined || others.length > 0) throw invalidToken('The Authorization header is not valid');
  return token;
}
