import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import type { Identity } from '../../src/auth/identity.ts';
import { type Lookup, userDirectory } from '../../src/auth/user-directory.ts';
import { noFacts, requireLabUser, type UserFacts } from '../../src/auth/user-facts.ts';
import { resolveQuota } from '../../src/config/index.ts';
import { LabwrightError } from '../../src/domain/errors.ts';
import { aConfig } from '../routes/support.ts';

const HUB: Identity = { role: 'hub', provider: 'token', subject: 'hub', username: null, facts: null, token: null };
const USERS = {
  defaults: { uid: 5000, gid: 100, groups: [{ name: 'users', id: 100 }] },
  byName: { bob: { name: 'Bob', uid: 7, gid: 8, groups: [] } },
};

function caller(username: string, user: Partial<UserFacts>): Identity {
  const facts = { source: 'claims' as const, user: { ...noFacts(username), ...user } };
  return { role: 'user', provider: 'jwt', subject: username, username, facts, token: null };
}

function directory(users: object = USERS, hub?: Lookup) {
  return userDirectory(aConfig({ users }), hub === undefined ? {} : { hub });
}

describe('the facts of a user', () => {
  it('are those of the entry, and the defaults for others', async () => {
    expect(await directory().find('bob', HUB)).toEqual({ ...noFacts('bob'), name: 'Bob', uid: 7, gid: 8, groups: [] });
    expect(await directory().find('eve', HUB)).toEqual({ ...noFacts('eve'), ...USERS.defaults });
  });

  it.each(['constructor', '__proto__', 'toString'])('are not found in the language for %s', async (username) => {
    expect(await directory({}).find(username, HUB)).toEqual(noFacts(username));
  });

  it('come one by one from the first source that knows them', async () => {
    const identity = caller('bob', { uid: 99, email: 'bob@example.org' });
    expect(await directory().find('bob', identity)).toEqual({
      ...noFacts('bob'),
      ...{ name: 'Bob', email: 'bob@example.org', uid: 99, gid: 8, groups: [] },
    });
  });

  it('come in the configured order', async () => {
    const sources = ['static', 'claims'];
    const found = await directory({ ...USERS, sources }).find('bob', caller('bob', { uid: 99, home: '/u/bob' }));
    expect(found).toMatchObject({ uid: 7, home: '/u/bob' });
  });

  it('are not taken from a source that is left out', async () => {
    expect(await directory({ ...USERS, sources: ['claims'] }).find('bob', HUB)).toEqual(noFacts('bob'));
  });

  it('of somebody else are not those of the caller', async () => {
    expect(await directory({}).find('ada', caller('bob', { uid: 99 }))).toEqual(noFacts('ada'));
  });

  it('are asked of a party where the credential does not have them', async () => {
    const asked: string[] = [];
    const hub = (username: string) => {
      asked.push(username);
      return Promise.resolve({ ...noFacts(username), name: `${username} of the hub` });
    };
    expect(await directory({}, hub).find('ada', HUB)).toMatchObject({ name: 'ada of the hub' });
    expect(asked).toEqual(['ada']);
  });

  it('have groups with the configured gids where a source gives names', async () => {
    const identity = caller('ada', {
      groups: [
        { name: 'staff', id: null },
        { name: 'club', id: null },
      ],
    });
    const facts = await directory({ groupIds: { staff: 300 } }).find('ada', identity);
    expect(facts.groups).toEqual([
      { name: 'staff', id: 300 },
      { name: 'club', id: null },
    ]);
    expect(requireLabUser({ ...facts, uid: 1, gid: 1 }).groups).toEqual([{ name: 'staff', id: 300 }]);
  });

  it('are enough for a lab only with both ids', async () => {
    const facts = await directory().find('bob', HUB);
    expect(requireLabUser(facts)).toEqual({ username: 'bob', name: 'Bob', uid: 7, gid: 8, groups: [] });
    const missing = (change: object, why?: string) => {
      try {
        requireLabUser({ ...facts, ...change }, why);
      } catch (error) {
        return error instanceof LabwrightError ? `${error.code}: ${error.message}` : error;
      }
      return undefined;
    };
    expect(missing({ uid: null })).toBe('permission_denied: Must have a UID to spawn labs');
    expect(missing({ uid: 0 })).toBe('permission_denied: Must have a UID to spawn labs');
    expect(missing({ gid: null })).toBe('permission_denied: Must have a GID to spawn labs');
    expect(missing({ uid: null }, 'The token is missing')).toBe('permission_denied: The token is missing');
    expect(missing({}, 'The token is missing')).toBeUndefined();
  });

  it('may hold the quota, which then wins over the configured ones', () => {
    const config = aConfig({
      quotas: { users: { ada: { cpu: 1, memory: '1Gi' } }, groups: { club: { cpu: 2, memory: 2 } } },
    });
    const quota = { cpu: 8, memory: 2 ** 33, spawn: true };
    expect(resolveQuota(config, { ...noFacts('ada'), quota })).toEqual(quota);
    expect(resolveQuota(config, noFacts('ada'))).toEqual({ cpu: 1, memory: 2 ** 30, spawn: true });
    expect(resolveQuota(config, { username: 'bob', groups: [{ name: 'club' }] })?.cpu).toBe(2);
  });
});
