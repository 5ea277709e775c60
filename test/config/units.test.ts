import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeMemory, formatCpu, formatFloat, formatMemory, showMemory } from '../../src/util/quantities.ts';
import { parseCpu, parseDuration, parseMemory } from '../../src/config/units.ts';

describe('durations', () => {
  it.each([
    ['90s', 90_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['1w2d', 777_600_000],
    ['500ms', 500],
    ['1.5h', 5_400_000],
    [90, 90_000],
    ['0s', 0],
  ])('%s are %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(['', '90', 's', '-1s', '1 h', '1h 30m', 'PT5M', '1y', Number.NaN, -1, Number.POSITIVE_INFINITY])(
    'refuses %s',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});

describe('memory', () => {
  it.each([
    ['4Gi', 4 * 2 ** 30],
    ['250M', 250e6],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['1k', 1000],
    [1024, 1024],
    ['1024', 1024],
  ])('%s are %d bytes', (text, bytes) => {
    expect(parseMemory(text)).toBe(bytes);
  });

  it.each(['', '4GB', '4 Gi', '-1', 'Gi', '1e9', '4gi', '10Pi10', Number.NaN, '99999999P'])('refuses %s', (text) => {
    expect(parseMemory(text)).toBeUndefined();
  });

  it('is what it was after writing and reading', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
        expect(parseMemory(formatMemory(bytes))).toBe(bytes);
      }),
    );
  });

  it.each([
    [3 * 2 ** 30, '3Gi'],
    [1000, '1k'],
    [250e6, '250M'],
    [1001, '1001'],
    [1.5 * 2 ** 30, '1536Mi'],
    [2 ** 40, '1Ti'],
    [0, '0'],
  ])('of %d bytes is written %s, as Kubernetes does', (bytes, text) => {
    expect(formatMemory(bytes)).toBe(text);
  });

  it.each([
    [14e9, '14G'],
    [14 * 2 ** 30, '14Gi'],
    [1536 * 2 ** 20, '1536Mi'],
    [2.5e9, '2500M'],
    [1_000_000_000_000, '1T'],
    [500e6, '500M'],
    [1000 * 1024, '1024k'],
    [12_345, '12345'],
    [0, '0'],
  ])('%i bytes are shown to people as %s, which is exact', (bytes, text) => {
    expect(showMemory(bytes)).toBe(text);
    expect(parseMemory(text)).toBe(bytes);
  });
});

it.each([
  [14e9, '14 GB'],
  [2 ** 34, '16 GiB'],
  [1.5 * 2 ** 30, '1.5 GiB'],
  [2.5e9, '2.5 GB'],
  [500e6, '500 MB'],
  [1000, '1 kB'],
  [512, '512 B'],
  [12_345, '12345 B'],
  [0, '0 B'],
])('%d bytes are called %s in a sentence, which is exact', (bytes, text) => {
  expect(describeMemory(bytes)).toBe(text);
});

describe('CPU', () => {
  it.each([
    ['500m', 0.5],
    ['2', 2],
    ['0.25', 0.25],
    [1.5, 1.5],
    ['0.0001', 0.001],
    ['0.12345', 0.124],
    ['1.5m', 0.002],
    ['100u', 0.001],
    ['0.1', 0.1],
    [0.3, 0.3],
  ])('%s are %d cores', (text, cores) => {
    expect(parseCpu(text)).toBe(cores);
  });

  it.each(['', 'm', '-1', '1M', '1e3', '2 cores', Number.NaN])('refuses %s', (text) => {
    expect(parseCpu(text)).toBeUndefined();
  });

  it('is what it was after writing and reading', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999_999 }), (thousandths) => {
        expect(parseCpu(formatCpu(thousandths / 1000))).toBe(thousandths / 1000);
      }),
    );
  });

  it.each([
    [0.5, '500m'],
    [2, '2'],
    [0.001, '1m'],
    [1.25, '1250m'],
  ])('of %d cores is written %s, as Kubernetes does', (cores, text) => {
    expect(formatCpu(cores)).toBe(text);
  });

  it.each([
    [1, '1.0'],
    [0.25, '0.25'],
    [12, '12.0'],
  ])('of %d cores is %s in the environment, as Python writes it', (cores, text) => {
    expect(formatFloat(cores)).toBe(text);
  });
});
