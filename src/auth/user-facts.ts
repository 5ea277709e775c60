import { LabwrightError } from '../domain/errors.ts';
import type { Group, LabUser } from '../domain/user.ts';

/** What is known of a user. Ids may be missing: reading a lab's state needs none. */
export interface UserFacts {
  readonly username: string;
  readonly name: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly groups: readonly Group[];
}

interface UserEntry {
  readonly name?: string | null | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly groups?: readonly Group[] | undefined;
}

/** The `users` section of the configuration: facts by name, and what holds where they are silent. */
export interface UserDirectory {
  readonly defaults?: UserEntry | undefined;
  readonly byName?: Readonly<Record<string, UserEntry>> | undefined;
}

/** Looks a user up. Somebody the directory does not list has the defaults only. */
export function findUser(directory: UserDirectory | undefined, username: string): UserFacts {
  const { defaults, byName } = directory ?? {};
  // A name may be anything, `constructor` too: only what the file really lists counts.
  const entry = byName !== undefined && Object.hasOwn(byName, username) ? byName[username] : undefined;
  return {
    username,
    name: entry?.name ?? null,
    uid: entry?.uid ?? defaults?.uid ?? null,
    gid: entry?.gid ?? defaults?.gid ?? null,
    groups: entry?.groups ?? defaults?.groups ?? [],
  };
}

/**
 * The facts as a lab needs them.
 *
 * @throws {LabwrightError} `permission_denied` (403) naming the id that is missing; a uid of 0 counts as missing, as in
 * Nublado: no lab runs as root
 */
export function requireLabUser(facts: UserFacts): LabUser {
  const uid = facts.uid === 0 ? null : facts.uid;
  return { ...facts, uid: requireId('UID', uid), gid: requireId('GID', facts.gid) };
}

function requireId(what: string, id: number | null): number {
  if (id === null) throw new LabwrightError('permission_denied', 403, `Must have a ${what} to spawn labs`);
  return id;
}
