import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { composePatches, mergePatch } from '../../src/util/merge-patch.ts';

describe('a merge patch', () => {
  it.each([
    ['adds and replaces keys', { a: 1, b: { c: 2 } }, { b: { d: 3 }, e: 4 }, { a: 1, b: { c: 2, d: 3 }, e: 4 }],
    ['removes what is null', { a: 1, b: { c: 2, d: 3 } }, { a: null, b: { c: null } }, { b: { d: 3 } }],
    ['replaces a list of anything', { a: [1, 2] }, { a: [3] }, { a: [3] }],
    [
      'merges a list of what has names by them',
      { containers: [{ name: 'notebook', image: 'a', env: [{ name: 'A', value: '1' }] }] },
      {
        containers: [
          { name: 'notebook', env: [{ name: 'B', value: '2' }] },
          { name: 'db', image: 'b' },
        ],
      },
      {
        containers: [
          {
            name: 'notebook',
            image: 'a',
            env: [
              { name: 'A', value: '1' },
              { name: 'B', value: '2' },
            ],
          },
          { name: 'db', image: 'b' },
        ],
      },
    ],
    [
      'replaces a list by one of names, where that had none',
      { a: [1] },
      { a: [{ name: 'x' }] },
      { a: [{ name: 'x' }] },
    ],
    ['keeps no null of what is new', {}, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
    ['keeps a key called like one of every object', {}, { constructor: { a: 1 } }, { constructor: { a: 1 } }],
  ])('%s', (_, target, patch, merged) => {
    expect(mergePatch(target, patch)).toEqual(merged);
  });

  it('applied twice is as applied once, and changes nothing of what it was given', () => {
    const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 5 });
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const before = JSON.stringify([target, patch]);
        const once = mergePatch(target, patch);
        expect(JSON.stringify([target, patch])).toBe(before);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
  });

  it('composed of two does what both do, one after the other', () => {
    const one = fc.oneof(fc.constant(null), fc.integer());
    const inner = fc.dictionary(fc.constantFrom('a', 'b'), one);
    const json = fc.dictionary(fc.constantFrom('a', 'b', 'c'), inner);
    fc.assert(
      fc.property(json, json, json, (target, first, second) => {
        const both = mergePatch(target, composePatches(first, second));
        expect(both).toEqual(mergePatch(mergePatch(target, first), second));
      }),
    );
  });
});
