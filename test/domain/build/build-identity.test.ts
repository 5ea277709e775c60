import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { identifyBuild } from '../../../src/domain/build/build-identity.ts';

const anyText = fc.string({
  unit: fc.constantFrom('a', '"', ',', '[', '\0', '\n', '/', '|'),
  maxLength: 4,
});
const anyParts = fc.tuple(anyText, anyText, anyText, anyText);

function identify([url, commit, path, digest]: readonly [string, string, string, string]) {
  return identifyBuild({ url, commit }, path, digest);
}

describe('the identity of a build', () => {
  it('stays the same from one release to the next', () => {
    const commit = '50533eb470ee6c24e872043d30b2fee463d6943f';
    const { id, key } = identifyBuild({ url: 'https://github.com/ada/notebooks', commit }, '', 'digest');
    expect(key).toBe('b6f392272a0fc6bfaab52a5c1268e2d539b33485937518d1803f3ea9214a66f2');
    expect(id).toBe('b6f392272a0fc6bfaab52a5c1268e2d539b33485');
  });

  it('has 160 bits, which begin the key', () => {
    const { id, key } = identify(['https://example.org/a', 'c', 'p', 'd']);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(id).toMatch(/^[0-9a-f]{40}$/);
    expect(key.startsWith(id)).toBe(true);
  });

  it('does not depend on the ref that was named, or on what else is known of the repository', () => {
    const repository = {
      provider: 'gh',
      url: 'https://github.com/a/b',
      commit: 'c',
      binderSlug: 'a-b',
    } as const;
    const main = identifyBuild({ ...repository, ref: 'main' } as never, '', 'd');
    expect(identifyBuild({ ...repository, ref: 'HEAD', binderSlug: 'other' } as never, '', 'd')).toEqual(main);
  });

  it('differs whenever repository, commit, path or builder differ', () => {
    fc.assert(
      fc.property(anyParts, anyParts, (one, other) => {
        const same = one.every((part, index) => part === other[index]);
        expect(identify(one).id === identify(other).id).toBe(same);
      }),
      { numRuns: 3_000 },
    );
  });

  it('does not let a part reach into the next one', () => {
    expect(identify(['a', 'b', '', 'd']).id).not.toBe(identify(['a', '', 'b', 'd']).id);
    expect(identify(['a","b', 'c', '', 'd']).id).not.toBe(identify(['a', 'b","c', '', 'd']).id);
  });
});
