import type { Logger } from 'pino';
import { LabwrightError } from '../../domain/errors.ts';
import { isIdentityName } from '../../domain/user/identity-name.ts';
import { addressKey } from '../limits/address-key.ts';
import { FloodGuard } from '../limits/flood-guard.ts';
import type { Gafaelfawr } from './gafaelfawr.ts';
import { type AuthRequest, type Identity, type IdentityProvider, invalidToken, type Role } from '../identity.ts';
import type { UserFacts } from '../user-facts.ts';

const USER_HEADER = 'x-auth-request-user';
const TOKEN_HEADER = 'x-auth-request-token';
const TOKEN_LENGTH = 4096;
const NO_TOKEN = 'The proxy sent no X-Auth-Request-Token header, so that nothing is known of the user';
/** Lines per minute about headers from elsewhere. */
const WARNINGS = { perKey: 1, total: 20 };

export interface ProxyHeaderOptions {
  /** Whether an address is one of the authenticating proxy's. */
  readonly isTrusted: (address: string | undefined) => boolean;
  /** Users with the role hub. */
  readonly hubUsers?: readonly string[];
  /** Users with the role admin. */
  readonly adminUsers?: readonly string[];
  /** Knows the user of a token; without it nothing but the name is known of a user. */
  readonly gafaelfawr?: Pick<Gafaelfawr, 'userInfo'> | undefined;
  readonly logger: Logger;
}

/**
 * The headers an authenticating reverse proxy adds (`X-Auth-Request-User`, and `X-Auth-Request-Token` for the lab), as
 * Nublado's controller reads them. They count from that proxy's addresses: elsewhere they are words anybody can write.
 *
 * From the proxy the headers win over an `Authorization` header, which may be the caller's login at the proxy. From
 * elsewhere a request with its own credential is judged by that alone.
 */
export function proxyHeaders(options: ProxyHeaderOptions): IdentityProvider {
  const { isTrusted, hubUsers = [], adminUsers = [], gafaelfawr, logger } = options;
  const roles = new Map<string, Role>([
    ...hubUsers.map((name) => [name, 'hub'] as const),
    ...adminUsers.map((name) => [name, 'admin'] as const),
  ]);
  const warnings = new FloodGuard({
    ...WARNINGS,
    report: (flood) => logger.warn({ ...flood }, 'more identity headers from addresses that are not trusted'),
  });

  return {
    name: 'proxy',
    matches: (request) =>
      request.headers(USER_HEADER).length > 0 &&
      (isTrusted(request.remoteAddress) || request.headers('authorization').length === 0),
    async identify(request) {
      if (!isTrusted(request.remoteAddress)) {
        warn(request.remoteAddress);
        throw invalidToken('Identity headers are not accepted from this address');
      }
      const username = readUsername(request);
      const token = readToken(request);
      const role = roles.get(username) ?? 'user';
      if (role === 'hub') return hubIdentity(username);
      const user = token === null ? undefined : await factsOf(username, token);
      return {
        role,
        provider: 'proxy',
        subject: username,
        username,
        facts: user === undefined ? null : { source: 'gafaelfawr', user },
        ...(gafaelfawr !== undefined && token === null ? { factsMissing: NO_TOKEN } : {}),
        // An administrator makes labs for others too; none of them is to hold this token.
        token: role === 'user' ? token : null,
      };
    },
  };

  function warn(remoteAddress: string | undefined): void {
    if (!warnings.admits(addressKey(remoteAddress))) return;
    logger.warn({ remoteAddress }, 'identity headers from an address that is not trusted');
  }

  async function factsOf(username: string, token: string): Promise<UserFacts | undefined> {
    const facts = await gafaelfawr?.userInfo(token);
    if (facts !== undefined && facts.username !== username) {
      throw new LabwrightError('permission_denied', 403, 'The token is that of another user');
    }
    return facts;
  }
}

/** A hub stands for no person: it has no lab of its own and nothing to hand on. */
function hubIdentity(subject: string): Identity {
  return { role: 'hub', provider: 'proxy', subject, username: null, facts: null, token: null };
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
