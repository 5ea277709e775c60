import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import {
  claimAt,
  readEmail,
  readFacts,
  readGroups,
  readHome,
  readId,
  readQuota,
  readText,
} from '../../../src/auth/claims.ts';

const PATHS = {
  ...{ name: 'name', email: 'email', uid: 'uid', gid: 'gid' },
  ...{ groups: 'groups', home: 'home', quota: 'quota' },
};

describe('a claim', () => {
  it('is found by its name, or by a path with dots', () => {
    const claims = { a: { b: { c: 1 } }, 'https://example.org/uid': 2, 'a.b': 3 };
    expect(claimAt(claims, 'a.b.c')).toBe(1);
    expect(claimAt(claims, 'https://example.org/uid')).toBe(2);
    expect(claimAt(claims, 'a.b')).toBe(3);
    expect(claimAt(claims, 'a.b.c.d')).toBeUndefined();
    expect(claimAt(claims, '')).toBeUndefined();
  });

  it.each(['constructor', '__proto__', 'a.constructor.name', 'a.__proto__', 'list.0', 'list.length', 'text.length'])(
    'is not found in the language, nor within lists and texts, at %s',
    (path) => {
      expect(claimAt({ a: {}, list: ['x'], text: 'x' }, path)).toBeUndefined();
    },
  );
});

describe('a POSIX id', () => {
  it.each([1, '1', 1000, '1000', 2_147_483_647, '2147483647'])('is read from %j', (value) => {
    expect(readId(value, 1)).toBe(Number(value));
  });

  it.each([0, '0', -1, '-1', 1.5, '1.5', '1e3', ' 1', '1 ', '01', '0x10', '', 2 ** 31, '2147483648', Infinity, NaN])(
    'of a user is not known from %j',
    (value) => {
      expect(readId(value, 1)).toBeNull();
    },
  );

  it.each<{ value: unknown }>([true, null, undefined, [], [1], {}, { valueOf: 1 }].map((value) => ({ value })))(
    'is not known from $value',
    ({ value }) => {
      expect(readId(value, 1)).toBeNull();
    },
  );

  it('of a group may be 0', () => {
    expect([readId(0, 0), readId('0', 0)]).toEqual([0, 0]);
  });
});

describe('groups', () => {
  it('are names, or objects with name and id; what is neither is left out', () => {
    expect(
      readGroups([
        'a',
        { name: 'b', id: '7' },
        { name: 'c' },
        { name: 'd', id: -1 },
        5,
        null,
        '',
        { id: 1 },
        ['e'],
        'f\ng',
      ]),
    ).toEqual([
      { name: 'a', id: null },
      { name: 'b', id: 7 },
      { name: 'c', id: null },
      { name: 'd', id: null },
    ]);
  });

  it.each(['staff', { staff: true }, null, undefined, 7])('are not known from %j', (value) => {
    expect(readGroups(value)).toBeNull();
  });

  it('are a bounded number with names of bounded length', () => {
    expect(readGroups(Array.from({ length: 5000 }, (_, number) => `group-${number}`))).toHaveLength(1000);
    expect(readGroups(['g'.repeat(256)])).toEqual([]);
  });
});

describe('a home', () => {
  it.each(['/home/ada', '/h', '/home/Zoë', '/home/.ada', '/home/a..b'])('is %s', (home) => {
    expect(readHome(home)).toBe(home);
  });

  it.each([
    ...['home/ada', '', '/', '//', '/home/', '/home//ada', '/home/./ada', '/home/../root', '/..', '~'],
    ...['/home/a:b', '/home/a\nb', '/home/a\0', '/home/a\u2028b', `/${'x'.repeat(1024)}`, 7, null, ['/home/ada']],
  ])('is not known from %j', (home) => {
    expect(readHome(home)).toBeNull();
  });
});

describe('a quota', () => {
  it.each([
    [
      { cpu: 2, memory: 1024 },
      { cpu: 2, memory: 1024, spawn: true },
    ],
    [
      { cpu: '500m', memory: '4Gi', spawn: true },
      { cpu: 0.5, memory: 2 ** 32, spawn: true },
    ],
    [{ spawn: false }, { cpu: 0, memory: 0, spawn: false }],
    [
      { cpu: 1.5, memory: '1G', spawn: false },
      { cpu: 1.5, memory: 1e9, spawn: false },
    ],
  ])('is read from %j', (value, quota) => {
    expect(readQuota(value)).toEqual(quota);
  });

  it.each([
    ...[{}, { cpu: 1 }, { memory: 1 }, { cpu: -1, memory: 1 }, { cpu: 1, memory: 1.5 }, { cpu: 1, memory: '4 Gi' }],
    ...[
      { cpu: 1, memory: 2 ** 60 },
      { cpu: Infinity, memory: 1 },
      { cpu: 1, memory: 1, spawn: 'false' },
    ],
    ...[{ cpu: true, memory: 1 }, [], null, '4', 4],
  ])('is not known from %j', (value) => {
    expect(readQuota(value)).toBeNull();
  });
});

describe('texts', () => {
  it.each(['ada@example.org', 'a+b@c', 'Zoë@exämple.org'])('%s is an address', (email) => {
    expect(readEmail(email)).toBe(email);
  });

  it.each(['ada', '@', 'a@', '@b', 'a@b@c', 'a b@c', 'a@b\n', 'a@b\r\nX: y', `${'a'.repeat(250)}@b.cd`, 7, null])(
    '%j is none',
    (email) => {
      expect(readEmail(email)).toBeNull();
    },
  );

  it.each(['', ' ', 'a\nb', 'a\0', '\u001b[2J', 'a\u2028', '\ud800', 'x'.repeat(256), 1, {}])(
    '%j is no name',
    (name) => {
      expect(readText(name)).toBeNull();
    },
  );
});

describe('the facts in claims', () => {
  it('are what their paths say', () => {
    const paths = { ...PATHS, uid: 'posix.uid', groups: 'realm_access.roles' };
    const claims = { posix: { uid: '12' }, realm_access: { roles: ['a'] }, name: 'Ada', uid: 1 };
    expect(readFacts('ada', claims, paths)).toMatchObject({ uid: 12, name: 'Ada', groups: [{ name: 'a', id: null }] });
  });

  it('never throw, and never hold what could break a line, whatever the claims are', () => {
    const anything = fc.record(Object.fromEntries(Object.keys(PATHS).map((key) => [key, fc.jsonValue()])), {
      requiredKeys: [],
    });
    fc.assert(
      fc.property(anything, (claims) => {
        const facts = readFacts('ada', claims, PATHS);
        const texts = [facts.name, facts.email, facts.home, ...(facts.groups ?? []).map(({ name }) => name)];
        expect(texts.filter((text) => text !== null && /\p{Cc}/u.test(text))).toEqual([]);
        expect(facts.uid === null || (Number.isInteger(facts.uid) && facts.uid > 0)).toBe(true);
        expect((facts.groups ?? []).every(({ name }) => typeof name === 'string' && name !== '')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
