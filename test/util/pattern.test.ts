import { describe, expect, it } from 'vitest';
import { matchPattern, testPattern } from '../../src/util/pattern.ts';

const SLOW = '(?:a+)+b';
const slowText = (end: string) => `${'a'.repeat(200)}${end}`;

describe('a pattern', () => {
  it('finds its groups in each of many texts', () => {
    expect(matchPattern('(?<word>[a-z]+)(?:-(?<number>[0-9]+))?', ['a-1', 'b', '1', 'a-1 '])).toEqual([
      { word: 'a', number: '1' },
      { word: 'b', number: undefined },
      null,
      null,
    ]);
  });

  it('matches nothing when it is none', () => {
    expect(matchPattern('(', ['(', ''])).toEqual([null, null]);
    expect(testPattern('(', '(')).toBe(false);
  });

  it('is ended over one text, and goes on with the next', () => {
    expect(matchPattern(SLOW, ['ab', slowText('!'), slowText('b'), 'b'])).toEqual([{}, undefined, {}, null]);
    expect(testPattern(SLOW, slowText('!'))).toBeUndefined();
  });

  it('is given up when it was ended three times', () => {
    const texts = [...Array.from({ length: 3 }, (_, index) => slowText(`!${String(index)}`)), 'ab'];
    expect(matchPattern(SLOW, texts)).toEqual([undefined, undefined, undefined, undefined]);
  });
});
