import type { Config } from '../../config/config.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { isIdentityName } from '../../domain/user/identity-name.ts';
import { claimAt, type Claims, readFacts, readText } from '../claims.ts';
import { type Identity, noRole, type Role } from '../identity.ts';

export type JwtIssuerConfig = Config['auth']['jwt'][number];
export type ServiceAccountsConfig = NonNullable<Config['auth']['serviceAccounts']>;

/** Claims whose text is a list of words: RFC 6749 (`scope`), and `scp` of those who had it before RFC 9068. */
const WORD_LISTS: ReadonlySet<string> = new Set(['scope', 'scp']);
const SUBJECT_LENGTH = 255;
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:/]+):([^:/]+)$/;

/**
 * Who holds a token whose signature and times are good.
 *
 * @param token the token itself: a user's is handed on to the user's lab, one with more rights never is
 * @throws {LabwrightError} `permission_denied` (403) when no rule gives it a role, or when it names no user
 */
export function jwtIdentity(config: JwtIssuerConfig, claims: Claims, token: string): Identity {
  const role = roleOf(config.roles, claims);
  if (role === undefined) throw noRole();
  const username = readUsername(config.claims.username, claims, role);
  return {
    role,
    provider: 'jwt',
    subject: username ?? subjectOf(config.issuer, claims),
    username,
    facts: username === null ? null : { source: 'claims', user: readFacts(username, claims, config.claims) },
    token: role === 'user' ? token : null,
  };
}

/**
 * Who a service account is.
 *
 * @throws {LabwrightError} `permission_denied` (403) for any that is not in a list
 */
export function serviceAccountIdentity(config: ServiceAccountsConfig, { sub }: Claims): Identity {
  const [subject, namespace, name] = (typeof sub === 'string' ? SERVICE_ACCOUNT.exec(sub) : null) ?? [];
  const account = `${namespace}/${name}`;
  const role = config.admin.includes(account) ? 'admin' : config.hub.includes(account) ? 'hub' : undefined;
  if (subject === undefined || role === undefined) throw noRole();
  return { role, provider: 'service-account', subject, username: null, facts: null, token: null };
}

function roleOf(rules: JwtIssuerConfig['roles'], claims: Claims): Role | undefined {
  if (rules.length === 0) return 'user';
  return rules.find(({ claim, value }) => says(claimAt(claims, claim), value, claim))?.role;
}

function says(claim: unknown, value: string, path: string): boolean {
  if (Array.isArray(claim)) return claim.includes(value);
  if (typeof claim === 'boolean' || typeof claim === 'number') return String(claim) === value;
  if (typeof claim !== 'string') return false;
  return claim === value || (WORD_LISTS.has(path.slice(path.lastIndexOf('.') + 1)) && claim.split(' ').includes(value));
}

/** A hub's or an administrator's token may name nobody; one that names somebody in a wrong way is no better than a user's. */
function readUsername(path: string, claims: Claims, role: Role): string | null {
  const username = claimAt(claims, path);
  if (username === undefined && role !== 'user') return null;
  // An address that anybody can enter for itself at the issuer names nobody.
  const isUnproven = path === 'email' && Object.hasOwn(claims, 'email_verified') && claims['email_verified'] !== true;
  if (typeof username !== 'string' || !isIdentityName(username) || isUnproven) {
    throw new LabwrightError('permission_denied', 403, 'The token holds no valid user name');
  }
  return username;
}

/** For the log and for limits, so never empty and never more than a line. */
function subjectOf(issuer: string, claims: Claims): string {
  return readText(claims['sub'], SUBJECT_LENGTH) ?? readText(claims['client_id'], SUBJECT_LENGTH) ?? issuer;
}
