import type { Config } from '../config/config.ts';
import type { CredentialFacts, Identity } from './identity.ts';
import { type KnownGroup, mergeFacts, noFacts, type UserFacts } from './user-facts.ts';

type FactSource = Config['users']['sources'][number];

/** Asks a party outside about a user: undefined when it knows nobody of that name. */
export type Lookup = (username: string) => Promise<UserFacts | undefined>;

/** Knows who the users are. */
export interface UserDirectory {
  /**
   * What is known of a user, for a request of this caller: each fact from the first of the configured sources that knows
   * it. What the caller's credential says counts for the caller only.
   *
   * @throws {LabwrightError} `bad_gateway` (502) when a source that has to be asked does not answer
   */
  find(username: string, identity: Identity): Promise<UserFacts>;
}

/**
 * @param lookups parties that can be asked about any user, by the source they are; they are asked only for users of whom
 * the credential does not say it already
 */
export function userDirectory(
  { users }: Pick<Config, 'users'>,
  lookups: Partial<Record<FactSource, Lookup>> = {},
): UserDirectory {
  return {
    async find(username, identity) {
      const credential = identity.username === username ? identity.facts : null;
      const known: UserFacts[] = [];
      for (const source of users.sources) known.push(...(await factsOf(source, username, credential)));
      return withGroupIds(mergeFacts(username, known), users.groupIds);
    },
  };

  async function factsOf(source: FactSource, username: string, credential: CredentialFacts | null) {
    if (credential?.source === source) return [credential.user];
    if (source === 'static') return entryOf(username);
    if (source === 'defaults') return users.defaults === undefined ? [] : [{ ...noFacts(username), ...users.defaults }];
    const found = await lookups[source]?.(username);
    return found === undefined ? [] : [found];
  }

  /** A name may be anything, `constructor` too: only what the file really lists counts. */
  function entryOf(username: string): UserFacts[] {
    const entry = Object.hasOwn(users.byName, username) ? users.byName[username] : undefined;
    return entry === undefined ? [] : [{ ...noFacts(username), ...entry }];
  }
}

function withGroupIds(facts: UserFacts, ids: Readonly<Record<string, number>>): UserFacts {
  if (facts.groups === null) return facts;
  const idOf = ({ name, id }: KnownGroup) => id ?? (Object.hasOwn(ids, name) ? (ids[name] ?? null) : null);
  return { ...facts, groups: facts.groups.map((group) => ({ name: group.name, id: idOf(group) })) };
}
