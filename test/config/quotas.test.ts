import { describe, expect, it } from 'vitest';
import { resolveQuota } from '../../src/config/index.ts';

const GiB = 2 ** 30;
const quotas = {
  default: { cpu: 1, memory: GiB, spawn: true },
  groups: {
    many: { cpu: 8, memory: 2 * GiB, spawn: true },
    large: { cpu: 2, memory: 16 * GiB, spawn: true },
    banned: { cpu: 0, memory: 0, spawn: false },
  },
  users: { mallory: { cpu: 0, memory: 0, spawn: false } },
};

function quotaOf(username: string, ...groups: string[]) {
  return resolveQuota({ quotas }, { username, groups: groups.map((name, id) => ({ name, id })) });
}

describe('the quota of a user', () => {
  it('is the entry of the user, whatever the groups say', () => {
    expect(quotaOf('mallory', 'many')).toEqual({ cpu: 0, memory: 0, spawn: false });
  });

  it('is the largest of the groups, in each dimension', () => {
    expect(quotaOf('ada', 'many', 'unknown', 'large', 'banned')).toEqual({ cpu: 8, memory: 16 * GiB, spawn: true });
  });

  it('forbids labs to members of groups that all do', () => {
    expect(quotaOf('ada', 'banned')).toEqual({ cpu: 0, memory: 0, spawn: false });
  });

  it('is the default for anybody else', () => {
    expect(quotaOf('ada', 'unknown')).toEqual(quotas.default);
  });

  it('is none where there is no default', () => {
    expect(resolveQuota({ quotas: { groups: {}, users: {} } }, { username: 'ada', groups: [] })).toBeNull();
  });

  it('is not found for names that every table has', () => {
    expect(quotaOf('constructor', 'toString')).toEqual(quotas.default);
  });
});
