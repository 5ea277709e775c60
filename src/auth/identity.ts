import { LabwrightError } from '../domain/errors.ts';
import type { UserFacts } from './user-facts.ts';

/**
 * What a caller may do: `user` its own labs, `hub` read and delete any lab, `admin` everything. The routes' table in
 * `routes/permissions.ts` says it route by route.
 */
export type Role = 'user' | 'hub' | 'admin';

/** Who is calling, once a provider has made sure of it. */
export interface Identity {
  readonly role: Role;
  /** Name of the provider that vouches for it, for the log. */
  readonly provider: string;
  /** Null for a credential that stands for no person, such as the hub's. */
  readonly username: string | null;
  /** What the credential itself says of the user; null where it says nothing and the configuration has to be asked. */
  readonly user: UserFacts | null;
  /** The credential to hand on to the user's lab (`ACCESS_TOKEN`); null when there is none that may be handed on. */
  readonly token: string | null;
}

/** What a provider sees of a request. */
export interface AuthRequest {
  /** Every value of a header, one entry for each time it was sent. */
  headers(name: string): readonly string[];
  /** Address of the socket's other end; undefined where there is no socket. */
  readonly remoteAddress: string | undefined;
}

/** One way of telling who is calling. */
export interface IdentityProvider {
  readonly name: string;
  /** Whether the request carries this provider's kind of credential; then its answer is final. */
  matches(request: AuthRequest): boolean;
  /** @throws {LabwrightError} `invalid_token` (401) when the credential is not good */
  identify(request: AuthRequest): Promise<Identity>;
}

/** The answer to a credential that is missing or not good. It never says which part of it was wrong. */
export function invalidToken(message: string): LabwrightError {
  return new LabwrightError('invalid_token', 401, message);
}
