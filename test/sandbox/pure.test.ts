import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KubeObject } from '../../sandbox/objects.ts';
import { applyPatch, mergePatch } from '../../sandbox/patch.ts';
import { formatQuantity, parseQuantity } from '../../sandbox/quantity.ts';
import { parseLabelSelector } from '../../sandbox/selectors.ts';
import { ApiError } from '../../sandbox/status.ts';

describe('quantities', () => {
  it.each([
    ['0', 0],
    ['1', 1],
    ['500m', 0.5],
    ['1.5', 1.5],
    ['.5', 0.5],
    ['100n', 1e-7],
    ['2k', 2000],
    ['2Ki', 2048],
    ['1Gi', 2 ** 30],
    ['1e3', 1000],
    ['1E', 1e18],
    ['12E2', 1200],
    ['-1', -1],
    [5, 5],
  ])('%s is %d', (text, number) => {
    expect(parseQuantity(text)).toBeCloseTo(number, 12);
  });

  it.each(['', 'x', '1 Gi', '1gi', '1.2.3', 'Gi', true, null, {}])('%s is none', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });

  it('are written so that they are read as the same number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (number) => {
        expect(parseQuantity(formatQuantity(number))).toBe(number);
      }),
    );
    expect([1.5, 2, 3 * 2 ** 30, 1000, 0].map(formatQuantity)).toEqual(['1500m', '2', '3Gi', '1000', '0']);
  });
});

describe('merge patches', () => {
  // The examples of RFC 7396, appendix A.
  it.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j and %j make %j', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });
});

describe('server-side apply', () => {
  const object = (data: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a' },
    data,
  });

  it('of anything after anything else leaves exactly what was applied last', () => {
    const data = fc.dictionary(fc.string({ minLength: 1, maxLength: 3 }), fc.string(), { maxKeys: 5 });
    fc.assert(
      fc.property(fc.array(data, { minLength: 1, maxLength: 4 }), (versions) => {
        let stored: KubeObject | undefined;
        for (const version of versions) stored = applyPatch(stored, object(version), 'one');
        expect(stored?.['data'] ?? {}).toEqual(versions.at(-1));
      }),
    );
  });
});

describe('label selectors', () => {
  const labels = (text: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'a',
      labels: Object.fromEntries(text.split(' ').map((pair) => pair.split('=') as [string, string])),
    },
  });

  it('select everything when they are empty', () => {
    expect(parseLabelSelector('')).toBeUndefined();
    expect(parseLabelSelector(' ')).toBeUndefined();
  });

  it('hold all of their requirements', () => {
    const matches = parseLabelSelector('a=1, b in (x, y),!c, d!=2');
    expect(matches?.(labels('a=1 b=x'))).toBe(true);
    expect(matches?.(labels('a=1 b=z'))).toBe(false);
    expect(matches?.(labels('a=1 b=x c=1'))).toBe(false);
    expect(matches?.(labels('a=1 b=x d=2'))).toBe(false);
  });

  it('either are read or refused with 400, whatever they are', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseLabelSelector(text)?.(labels('a=1'));
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
          expect((error as ApiError).body.code).toBe(400);
        }
      }),
    );
  });
});
