import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isIdentityName } from '../../src/domain/user/identity-name.ts';
import type { LabKey } from '../../src/domain/lab/lab.ts';
import { labSlug, slugOf } from '../../src/domain/names.ts';

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** Names as people have them, as attackers would like them, and such as differ in hardly anything. */
const anyName = fc.oneof(
  fc.stringMatching(/^[a-z0-9](-?[a-z0-9]){0,20}$/),
  fc.string({ unit: fc.constantFrom('a', 'b', 'A', '-', '.', '@', '_', 'é', '0', 'x'), minLength: 1, maxLength: 12 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }),
  fc.string({ unit: fc.constantFrom('a', '-'), minLength: 30, maxLength: 80 }),
);
const anyKey = fc.record({ username: anyName, servername: fc.oneof(fc.constant(''), anyName) });

describe('a slug', () => {
  it('is a short DNS label, whatever the name', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(labSlug(key)).toMatch(DNS_LABEL);
        expect(labSlug(key).length).toBeLessThanOrEqual(40);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is never that of another lab', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (one, other) => {
        const same = one.username === other.username && one.servername === other.servername;
        expect(labSlug(one) === labSlug(other)).toBe(same);
      }),
      { numRuns: 5_000 },
    );
  });

  it('is never that of another lab, among all short names of few letters', () => {
    const letters = ['a', 'b', '-', 'x', ''];
    const names = new Set(
      letters.flatMap((a) => letters.flatMap((b) => letters.flatMap((c) => letters.map((d) => a + b + c + d)))),
    );
    names.add('a--b').add('a---b').add('a-b--');
    const usernames = [...names].filter((name) => name !== '');
    const slugs = new Set<string>();
    for (const username of usernames) for (const servername of names) slugs.add(labSlug({ username, servername }));
    expect(slugs.size).toBe(usernames.length * names.size);
  });

  it('is the name itself where that is safe', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9](-?[a-z0-9]){0,19}$/), (name) => {
        expect(slugOf(name)).toBe(name);
        expect(labSlug({ username: name, servername: '' })).toBe(name);
      }),
    );
  });

  it.each<[LabKey, RegExp]>([
    [{ username: 'rachel', servername: 'gpu' }, /^rachel--gpu$/],
    [{ username: 'a--b', servername: '' }, /^a-b---[0-9a-f]{16}$/],
    [{ username: 'a', servername: 'b' }, /^a--b$/],
    [{ username: 'a-', servername: 'b' }, /^a--b---[0-9a-f]{16}$/],
    [{ username: 'Rachel', servername: '' }, /^rachel---[0-9a-f]{16}$/],
    [{ username: 'rachel@example.org', servername: '' }, /^rachel-example-org---[0-9a-f]{16}$/],
    [{ username: '漢字', servername: '漢' }, /^x--x---[0-9a-f]{16}$/],
    [{ username: '---', servername: '' }, /^x---[0-9a-f]{16}$/],
    [{ username: 'r'.repeat(200), servername: '' }, /^r{21}---[0-9a-f]{16}$/],
    [{ username: 'r'.repeat(30), servername: 's'.repeat(30) }, /^r{9}--s{9}---[0-9a-f]{16}$/],
  ])('of %j is as people expect it', (key, slug) => {
    expect(labSlug(key)).toMatch(slug);
  });

  it('that looks like another slug does not become it', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        const slug = labSlug(key);
        const again = labSlug({ username: slug, servername: '' });
        expect(again === slug).toBe(key.servername === '' && key.username === slug);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the name of a user or a server', () => {
  it.each(['rachel', 'a b', 'user@site', '漢字', '..a', '%2e', 'ü'.repeat(127), 'a'.repeat(255)])(
    'may be %j',
    (name) => {
      expect(isIdentityName(name)).toBe(true);
    },
  );

  it.each(['', '.', '..', 'a/b', '/', 'a\nb', 'a\0', '\u0085', '\ud800', 'ü'.repeat(128), 'a'.repeat(256)])(
    'may not be %j',
    (name) => {
      expect(isIdentityName(name)).toBe(false);
    },
  );
});
