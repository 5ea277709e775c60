import { describe, expect, it } from 'vitest';
import { patternGrammar } from '../../../../src/domain/image/tags/pattern.ts';

const HUB = patternGrammar({
  pattern:
    '(?<kind>stable|nightly)-(?<title>py(?<version>[0-9.]+(?:rc[0-9]+)?))(?:-(?<date>[0-9]{8}))?(?:-c(?<cycle>[0-9]+))?(?:-(?<arch>x86))?',
  kinds: ['stable', 'nightly'],
});
const sorted = (tags: readonly string[], grammar = HUB) =>
  [...grammar.parseAll(tags)].sort(grammar.compare).map(({ tag }) => tag);

describe('a tag that a pattern matches', () => {
  it('is what the named groups say', () => {
    expect(HUB.parse('nightly-py3.12-20261130-c7-x86')).toMatchObject({
      kind: 'nightly',
      title: 'py3.12',
      date: Date.UTC(2026, 10, 30),
      cycle: 7,
      architecture: 'x86',
    });
    expect(HUB.parse('stable-py3.12')).toMatchObject({ kind: 'stable', date: null, cycle: null, architecture: null });
    expect(HUB.parse('stable-py3.12-20261399')).toMatchObject({ kind: 'stable', date: null });
  });

  it('is matched as a whole', () => {
    expect(HUB.parse('stable-py3.12-more').kind).toBe('unknown');
    expect(patternGrammar({ pattern: 'a|b' }).parse('ax').kind).toBe('unknown');
    expect(patternGrammar({ pattern: 'a|b' }).parse('b')).toMatchObject({ kind: 'matched', title: 'b' });
  });

  it('is not known when its kind is not one that is named', () => {
    const grammar = patternGrammar({ pattern: '(?<kind>[a-z]+)-.*', kinds: ['stable'] });
    expect(grammar.parse('stable-1').kind).toBe('stable');
    expect(grammar.parse('constructor-1').kind).toBe('unknown');
  });

  it('is ordered by kind, version, date and cycle', () => {
    const menu = [
      'stable-py3.12',
      'stable-py3.9-20261130-c2',
      'stable-py3.9-20261130-c1',
      'stable-py3.9-20261129-c9',
      'stable-py3.9',
      'stable-py3.9-x86',
      'stable-py3.9rc10',
      'stable-py3.9rc9',
      'nightly-py4.0',
      'other',
    ];
    expect(sorted([...menu].reverse())).toEqual(menu);
    expect(sorted([...menu].sort())).toEqual(menu);
  });

  it('is not known when the pattern takes too long over it, and all others are', () => {
    const grammar = patternGrammar({ pattern: '(?:a+)+(?<version>[0-9])' });
    const slow = 'a'.repeat(100);
    expect(grammar.parseAll(['aa1', slow, 'aa2']).map(({ kind }) => kind)).toEqual(['matched', 'unknown', 'matched']);
  });

  it('is not known when the pattern has taken too long over several others', () => {
    const grammar = patternGrammar({ pattern: '(?:a+)+[0-9]' });
    const slow = Array.from({ length: 1000 }, (_, index) => `${'a'.repeat(100)}_${String(index)}`);
    expect(new Set(grammar.parseAll(slow).map(({ kind }) => kind))).toEqual(new Set(['unknown']));
  });
});
