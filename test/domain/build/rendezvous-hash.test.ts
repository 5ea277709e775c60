import { assert, property, string, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rankNodes } from '../../../src/domain/build/rendezvous-hash.ts';

const nodes = uniqueArray(string({ minLength: 1 }), { minLength: 2, maxLength: 12 });

describe('rankNodes', () => {
  it('moves only the keys of a node that is removed, and leaves the rest in their order', () => {
    const holds = property(nodes, string(), (names, key) => {
      for (const removed of names) {
        const left = names.filter((name) => name !== removed);
        const expected = rankNodes(key, names).filter((name) => name !== removed);
        expect(rankNodes(key, left)).toEqual(expected);
      }
    });
    assert(holds);
  });

  it('comes to the same order in whatever order the nodes are given', () => {
    const holds = property(nodes, string(), (names, key) => {
      expect(rankNodes(key, names.toReversed())).toEqual(rankNodes(key, names));
    });
    assert(holds);
  });

  it('gives each of five nodes its share of a thousand keys', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const counts = new Map<string, number>();
    for (let key = 0; key < 1000; key += 1) {
      const [first] = rankNodes(`https://example.org/${key}`, names);
      counts.set(first!, (counts.get(first!) ?? 0) + 1);
    }
    for (const name of names) expect(counts.get(name)).toBeGreaterThan(150);
  });
});
