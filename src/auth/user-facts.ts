import { LabwrightError } from '../domain/errors.ts';
import type { Group, LabUser, Quota } from '../domain/user/user.ts';

/** A group as a source gives it: many know no gid. */
export interface KnownGroup {
  readonly name: string;
  readonly id: number | null;
}

/** What is known of a user; null is not known. Reading a lab's state needs none of it. */
export interface UserFacts {
  readonly username: string;
  readonly name: string | null;
  readonly email: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly groups: readonly KnownGroup[] | null;
  /** Absolute path inside of the lab. */
  readonly home: string | null;
  /** What the source itself allows the user; the configured quotas hold when it says nothing. */
  readonly quota: Quota | null;
  /** Whether the hub knows the user as an administrator. */
  readonly admin: boolean | null;
}

/** A user of whom nothing but the name is known. */
export function noFacts(username: string): UserFacts {
  const unknown = { name: null, email: null, uid: null, gid: null, groups: null, home: null, quota: null, admin: null };
  return { username, ...unknown };
}

/** Each fact from the first that knows it. */
export function mergeFacts(username: string, known: readonly UserFacts[]): UserFacts {
  const first = <Fact extends keyof UserFacts>(fact: Fact) =>
    known.find((facts) => facts[fact] !== null)?.[fact] ?? null;
  return {
    username,
    name: first('name'),
    email: first('email'),
    uid: first('uid'),
    gid: first('gid'),
    groups: first('groups'),
    home: first('home'),
    quota: first('quota'),
    admin: first('admin'),
  };
}

/**
 * The facts as a lab needs them.
 *
 * @throws {LabwrightError} `permission_denied` (403) naming the id that is missing; a uid of 0 counts as missing, as in
 * Nublado: no lab runs as root
 * @param missing why ids may be missing, where that is known
 */
export function requireLabUser(facts: UserFacts, missing?: string): LabUser {
  const { username, name, email, home } = facts;
  const uid = facts.uid === 0 ? null : facts.uid;
  return {
    username,
    name,
    uid: requireId('UID', uid, missing),
    gid: requireId('GID', facts.gid, missing),
    groups: (facts.groups ?? []).filter((group): group is Group => group.id !== null),
    ...(email === null ? {} : { email }),
    ...(home === null ? {} : { home }),
  };
}

function requireId(what: string, id: number | null, missing: string | undefined): number {
  if (id !== null) return id;
  throw new LabwrightError('permission_denied', 403, missing ?? `Must have a ${what} to spawn labs`);
}
