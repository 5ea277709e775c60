import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { grammarOf } from '../../../../src/domain/image/tags/grammar.ts';
import type { TagRules } from '../../../../src/domain/image/tags/rules.ts';
import type { SortableTag } from '../../../../src/domain/image/tags/tag.ts';

const number = fc.oneof(
  fc.nat({ max: 12 }).map(String),
  fc.constantFrom('00', '01', '2026', '2077', '99999999999999999999'),
);
const word = fc.oneof(
  number,
  fc.constantFrom('r', 'w', 'd', 'exp', 'rc1', 'c0020', 'rsp1', 'v', 'x', 'amd64', 'arm64', 'rc', 'latest', 'T12'),
);
/** Made of pieces that mean something to one of the grammars, so that many differ in little. */
const pieces = fc
  .array(fc.tuple(word, fc.constantFrom('', '_', '-', '.')), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.flat().join(''));
const rubinTag = fc
  .tuple(
    fc.constantFrom('', 'exp_', 'exp_exp_'),
    fc.constantFrom(
      'r22_0_1',
      'r22_0_01',
      'r220',
      'r22_0_1_rc1',
      'w_2077_46',
      'w_2077_9',
      'd_2077_10_21',
      'd_2077_1_2',
      'main',
    ),
    fc.constantFrom('', '_c0020.001', '_c20.1', '_c0021'),
    fc.constantFrom('', '_rsp1', '_rsp10'),
    fc.constantFrom('', '_a', '_a10', '_a9'),
    fc.constantFrom('', '-amd64', '-arm64'),
  )
  .map((parts) => parts.join(''));
const versionTag = fc
  .tuple(
    fc.constantFrom('', 'v'),
    fc.constantFrom('4', '4.0', '4.0.0', '4.2', '4.2.10', '4.2.9'),
    fc.constantFrom('', '-rc.1', '-rc.a', '-rc', '-rc.10', '-1'),
    fc.constantFrom('', '_1', '_b', '+b'),
    fc.constantFrom('', '-amd64', '-arm64'),
  )
  .map((parts) => parts.join(''));
const dateTag = fc
  .tuple(
    fc.constantFrom('2026-11-30', '20261130', '2026.11.30', 'v20261130', '2026-11-29', '2026-02-30'),
    fc.constantFrom('', 'T12-30', '-1230', '-123045'),
    fc.constantFrom('', '-a', '-9', '-10'),
    fc.constantFrom('', '-amd64', '_amd64'),
  )
  .map((parts) => parts.join(''));
const anyTag = fc.oneof(pieces, rubinTag, versionTag, dateTag, fc.string({ maxLength: 140 }));
const GRAMMARS: readonly (readonly [string, TagRules['grammar']])[] = [
  ['rubin', 'rubin'],
  ['semver', 'semver'],
  ['date', 'date'],
  [
    'a pattern',
    {
      pattern: '(?<kind>[rwd4])?_?(?<version>[0-9._]+)(?:-(?<date>[0-9]+))?(?:.c(?<cycle>[0-9]+))?.*',
      kinds: ['w', 'r'],
    },
  ],
];

describe.each(GRAMMARS)('the order of tags by %s', (_, rules) => {
  const { parseAll, compare, kinds } = grammarOf(rules);

  it('is total: different tags are never equal, and each way round says the same', () => {
    fc.assert(
      fc.property(fc.tuple(anyTag, anyTag), (tags) => {
        const [one, other] = parseAll(tags) as [SortableTag, SortableTag];
        const there = Math.sign(compare(one, other));
        expect(there + Math.sign(compare(other, one))).toBe(0);
        expect(there === 0).toBe(one.tag === other.tag);
      }),
      { numRuns: 1000 },
    );
  });

  it('is transitive', () => {
    fc.assert(
      fc.property(fc.tuple(anyTag, anyTag, anyTag), (tags) => {
        const all = parseAll(tags);
        for (const one of all) {
          for (const two of all) {
            for (const three of all) {
              if (compare(one, two) <= 0 && compare(two, three) <= 0)
                expect(compare(one, three)).toBeLessThanOrEqual(0);
            }
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('is the same however the tags came', () => {
    const shuffled = fc
      .uniqueArray(anyTag, { maxLength: 40 })
      .chain((tags) => fc.tuple(fc.constant(tags), fc.shuffledSubarray(tags, { minLength: tags.length })));
    fc.assert(
      fc.property(shuffled, ([tags, others]) => {
        const sort = (some: readonly string[]) => [...parseAll(some)].sort(compare).map(({ tag }) => tag);
        expect(sort(others)).toEqual(sort(tags));
      }),
    );
  });

  it('has the kinds in their order, and every tag of one of them', () => {
    fc.assert(
      fc.property(fc.array(anyTag, { maxLength: 40 }), (tags) => {
        const ranks = [...parseAll(tags)].sort(compare).map(({ kind }) => kinds.indexOf(kind));
        expect(ranks).toEqual([...ranks].sort((one, other) => one - other));
        expect(ranks).not.toContain(-1);
      }),
    );
  });
});
