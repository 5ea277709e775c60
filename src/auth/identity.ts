import { LabwrightError } from '../domain/errors.ts';
import type { UserFacts } from './user-facts.ts';

/**
 * What a caller may do: `user` what is its own, `hub` everything about labs for any user it names, `admin` everything.
 * The routes' table in `routes/server/permissions.ts` says it route by route.
 */
export type Role = 'user' | 'hub' | 'admin';

/** Who is calling, once a provider has made sure of it. */
export interface Identity {
  readonly role: Role;
  /** Name of the provider that vouches for it, for the log. */
  readonly provider: string;
  /** Who holds the credential, for the log and for limits: the user's name, or that of a service. Never a secret. */
  readonly subject: string;
  /** Null for a credential that stands for no person, such as the hub's. */
  readonly username: string | null;
  /** What the credential itself says of its user, and as which source that counts; null where it says nothing. */
  readonly facts: CredentialFacts | null;
  /** Why the credential says nothing of its user, where something is missing that would; for the user to read. */
  readonly factsMissing?: string;
  /** The credential to hand on to the user's lab (`ACCESS_TOKEN`); null when there is none that may be handed on. */
  readonly token: string | null;
}

export interface CredentialFacts {
  readonly source: 'claims' | 'hub' | 'gafaelfawr' | 'static';
  readonly user: UserFacts;
}

/** What a provider sees of a request. */
export interface AuthRequest {
  readonly method: string;
  /** Every value of a header, one entry for each time it was sent. */
  headers(name: string): readonly string[];
  /** Address of the socket's other end; undefined where there is no socket. */
  readonly remoteAddress: string | undefined;
}

/** One way of telling who is calling. */
export interface IdentityProvider {
  readonly name: string;
  /**
   * Whether the request carries this provider's kind of credential; then its answer is final. It is told from the
   * credential alone, so that no credential is ever shown to a party it is not meant for.
   */
  matches(request: AuthRequest): boolean;
  /**
   * @throws {LabwrightError} `invalid_token` (401) when the credential is not good, `permission_denied` (403) when it is
   * good and gives no role, `bad_gateway` (502) or `not_ready` (503) when nobody can say at the moment
   */
  identify(request: AuthRequest): Promise<Identity>;
}

/** The answer to a credential that is missing or not good. It never says which part of it was wrong. */
export function invalidToken(message: string): LabwrightError {
  return new LabwrightError('invalid_token', 401, message);
}

/** The answer to a credential that is good, and gives its holder no role here. */
export function noRole(): LabwrightError {
  return new LabwrightError('permission_denied', 403, 'This account may not use Labwright');
}
