import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tagRules } from '../../../src/config/images/tag-rules.ts';

const problemsOf = (rules: unknown) =>
  (tagRules.safeParse(rules).error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('the rules for tags', () => {
  it('are those of semantic versions, and choose nothing, when nothing is said', () => {
    expect(tagRules.parse({})).toEqual({
      grammar: 'semver',
      aliases: [],
      pinned: [],
      kinds: {},
      include: [],
      exclude: [],
      deprecated: [],
    });
  });

  it('are read in full', () => {
    const rules = {
      grammar: { pattern: '(?<kind>stable|nightly)-(?<date>[0-9]+)', kinds: ['stable', 'nightly'] },
      recommended: 'recommended',
      aliases: ['latest'],
      pinned: ['stable-20261130'],
      kinds: { stable: { wanted: 1, listed: 10 }, nightly: { maxAge: '90d', since: '2026-01-01' } },
      include: ['stable-.*'],
      exclude: ['stable-20261129'],
      deprecated: ['stable-2025.*'],
    };
    expect(tagRules.parse(rules)).toEqual({
      ...rules,
      kinds: {
        stable: { wanted: 1, listed: 10 },
        nightly: { wanted: 0, maxAge: 90 * 86_400_000, since: '2026-01-01' },
      },
    });
  });

  it.each<[string, unknown, string]>([
    ['a grammar that is not there', { grammar: 'calver' }, 'grammar.name: expected one of rubin, semver, date'],
    [
      'a kind that is not there',
      { grammar: 'rubin', kinds: { weakly: {} } },
      'kinds.weakly: unknown kind: expected one of release, weekly, daily, candidate, experimental, unknown',
    ],
    [
      'a kind of every object',
      { kinds: { constructor: {} } },
      'kinds.constructor: unknown kind: expected one of release, prerelease, unknown',
    ],
    [
      'a kind that the pattern does not name',
      { grammar: { pattern: '(?<kind>a|b)', kinds: ['a'] }, kinds: { b: {} } },
      'kinds.b: unknown kind: expected one of a, unknown',
    ],
    [
      'an age of what has no date',
      { kinds: { release: { maxAge: '90d' } } },
      'kinds.release.maxAge: expected none: tags of this kind have no date',
    ],
    [
      'a first tag of another kind',
      { grammar: 'rubin', kinds: { weekly: { since: 'd_2077_10_21' } } },
      'kinds.weekly.since: expected a tag of the kind weekly, or a day such as 2026-11-30',
    ],
    [
      'a first day of what has no date',
      { grammar: 'rubin', kinds: { release: { since: '2026-11-30' } } },
      'kinds.release.since: expected a tag of the kind release',
    ],
    [
      'a first tag of those that are not known',
      { kinds: { unknown: { since: 'x' } } },
      'kinds.unknown.since: expected none: tags of this kind have no order that says which is older',
    ],
    ['a cycle of versions', { cycle: 45 }, 'cycle: expected none: tags of this grammar have no cycle'],
    [
      'a cycle of a pattern without one',
      { grammar: { pattern: 'a' }, cycle: 45 },
      'cycle: expected none: tags of this grammar have no cycle',
    ],
    [
      'a tag that is none',
      { recommended: 'a:b' },
      'recommended: expected a tag: letters, digits, _, . and -, at most 128',
    ],
    [
      'a pattern that is none',
      { grammar: { pattern: '(' } },
      'grammar.pattern: expected a regular expression of JavaScript',
    ],
    [
      'a pattern of Python',
      { include: ['(?P<x>a)'] },
      'include.0: expected a regular expression of JavaScript: (?P<name>…), \\A and \\Z are of Python alone',
    ],
    [
      'a pattern without an end',
      { exclude: ['(a+)+b'] },
      'exclude.0: expected a regular expression that does not take long over any text: without a repetition inside of another one, such as (a+)+',
    ],
    [
      'a group that says nothing',
      { grammar: { pattern: '(?<verison>.*)' } },
      'grammar.pattern: expected one of kind, title, version, date, cycle, arch as the name of a group, and not verison',
    ],
    [
      'a group kind without kinds',
      { grammar: { pattern: '(?<kind>a|b)' } },
      'grammar.kinds: missing: expected what the group kind can be',
    ],
    [
      'kinds without a group kind',
      { grammar: { pattern: 'a', kinds: ['b'] } },
      'grammar.kinds: expected none, or a pattern with a group kind',
    ],
    [
      'a kind twice',
      { grammar: { pattern: '(?<kind>a)', kinds: ['a', 'a'] } },
      'grammar.kinds: expected each kind once',
    ],
  ])('refuse %s', (_, rules, problem) => {
    expect(problemsOf(rules)).toEqual([problem]);
  });

  it('have a description for every key', () => {
    const { properties = {} } = z.toJSONSchema(tagRules, { io: 'input', unrepresentable: 'any' });
    const without = Object.entries(properties).filter(
      ([, schema]) => typeof schema !== 'object' || schema.description === undefined,
    );
    expect(without).toEqual([]);
  });
});
