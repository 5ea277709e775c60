import type { Logger } from 'pino';
import { isIdentityName } from '../domain/identity-name.ts';
import { type AuthRequest, type IdentityProvider, invalidToken } from './identity.ts';

const USER_HEADER = 'x-auth-request-user';
const TOKEN_HEADER = 'x-auth-request-token';
const TOKEN_LENGTH = 4096;

export interface ProxyHeaderOptions {
  /** Whether an address is one of the authenticating proxy's. */
  readonly isTrusted: (address: string | undefined) => boolean;
  readonly logger: Logger;
}

/**
 * The headers an authenticating reverse proxy adds (`X-Auth-Request-User`, and `X-Auth-Request-Token` for the lab), as
 * Nublado's controller reads them: whoever they name is a user. They count from that proxy's addresses: elsewhere they are words anybody can write.
 *
 * From the proxy the headers win over an `Authorization` header, which may be the caller's login at the proxy. From
 * elsewhere a request with its own credential is judged by that alone.
 */
export function proxyHeaders({ isTrusted, logger }: ProxyHeaderOptions): IdentityProvider {
  return {
    name: 'proxy',
    matches: (request) =>
      request.headers(USER_HEADER).length > 0 &&
      (isTrusted(request.remoteAddress) || request.headers('authorization').length === 0),
    async identify(request) {
      if (!isTrusted(request.remoteAddress)) {
        logger.warn({ remoteAddress: request.remoteAddress }, 'identity headers from an address that is not trusted');
        throw invalidToken('Identity headers are not accepted from this address');
      }
      const username = readUsername(request);
      const token = readToken(request);
      return Promise.resolve({ role: 'user', provider: 'proxy', subject: username, username, facts: null, token });
    },
  };
}

/** The name is UTF-8 on the wire; Node hands header bytes over as Latin-1. */
function readUsername(request: AuthRequest): string {
  const username = decodeUtf8(only(request, USER_HEADER) ?? '');
  if (username === undefined || !isIdentityName(username)) throw invalidToken(`The ${USER_HEADER} header is not valid`);
  return username;
}

function readToken(request: AuthRequest): string | null {
  const token = only(request, TOKEN_HEADER);
  if (token === undefined || token === '') return null;
  if (token.length > TOKEN_LENGTH || !/^[\x21-\x7e]+$/.test(token)) {
    throw invalidToken(`The ${TOKEN_HEADER} header is not valid`);
  }
  return token;
}

/** A header that arrives twice was sent by two parties, and no one can say which of them is the proxy. */
function only(request: AuthRequest, header: string): string | undefined {
  const values = request.headers(header);
  if (values.length > 1) throw invalidToken(`The ${header} header was sent more than once`);
  return values[0];
}

function decodeUtf8(latin1: string): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(latin1, 'latin1'));
  } catch {
    return undefined;
  }
}
