import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../../src/storage/registry/challenge.ts';

describe('the challenges of a registry', () => {
  it.each([
    [undefined, []],
    ['', []],
    ['Basic realm="r"', [{ scheme: 'basic', parameters: { realm: 'r' } }]],
    [
      'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
      [{ scheme: 'bearer', parameters: { realm: 'https://a/t', service: 's', scope: 'repository:a/b:pull,push' } }],
    ],
    ['BEARER Realm = "x" , SERVICE=y', [{ scheme: 'bearer', parameters: { realm: 'x', service: 'y' } }]],
    [
      'Negotiate, Basic realm="a\\"b, Bearer realm=c", Bearer realm="d"',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'a"b, Bearer realm=c' } },
        { scheme: 'bearer', parameters: { realm: 'd' } },
      ],
    ],
    ['realm="nobody\'s"', []],
    ['Basic realm="not closed', [{ scheme: 'basic', parameters: {} }]],
    ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
  ])('are read from %o', (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });

  it('are read from several headers', () => {
    expect(parseChallenges(['Basic realm="a"', 'Bearer realm="b"']).map(({ scheme }) => scheme)).toEqual([
      ...['basic', 'bearer'],
    ]);
  });

  it('are read from anything without an error', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '"', '\\', ',', ' ', '=', '\t', 'Basic ') }), (header) => {
        for (const { scheme } of parseChallenges(header)) expect(scheme).not.toBe('');
      }),
      { numRuns: 2_000 },
    );
  });
});
