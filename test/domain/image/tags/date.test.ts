import { describe, expect, it } from 'vitest';
import { date as grammar } from '../../../../src/domain/image/tags/date.ts';

const sorted = (tags: readonly string[]) => [...grammar.parseAll(tags)].sort(grammar.compare).map(({ tag }) => tag);

describe('a tag that is a date', () => {
  it.each([
    ['2026-11-30', '2026-11-30', null],
    ['20261130', '2026-11-30', null],
    ['2026.11.30', '2026-11-30', null],
    ['2026_11_30', '2026-11-30', null],
    ['v2026.11.30', '2026-11-30', null],
    ['2024-02-29', '2024-02-29', null],
    ['2026-11-30-abc1234', '2026-11-30 [abc1234]', null],
    ['20261130-1234567', '2026-11-30 [1234567]', null],
    ['20261130.2', '2026-11-30 [2]', null],
    ['2026-11-30T12-30', '2026-11-30 12:30', null],
    ['20261130-123045', '2026-11-30 12:30:45', null],
    ['20261130123045', '2026-11-30 12:30:45', null],
    ['20261130T123045Z-abc1234', '2026-11-30 12:30:45 [abc1234]', null],
    ['20261130-9999', '2026-11-30 [9999]', null],
    ['2026-11-30-arm64', '2026-11-30 [arm64]', 'arm64'],
    ['2026-11-30-abc1234-amd64', '2026-11-30 [abc1234] [amd64]', 'amd64'],
  ])('%s is %s', (tag, title, architecture) => {
    const day = Date.parse(`${title.slice(0, 10)}T00:00:00Z`);
    expect(grammar.parse(tag)).toMatchObject({ tag, kind: 'dated', title, date: day, architecture, cycle: null });
  });

  it.each([
    '2026-02-30',
    '2026-13-01',
    '2025-02-29',
    '2026-11',
    '2026-11.30',
    '2026-11-300',
    '2026-11-30abc',
    '26-11-30',
    '12345678',
    '3026-11-30',
    '202611301',
    'build-2026-11-30',
    'latest',
    '2026-11-30-',
    `2026-11-30-${'x'.repeat(128)}`,
  ])('is not %s', (tag) => {
    expect(grammar.parse(tag)).toMatchObject({ kind: 'unknown', date: null });
  });

  it('stands in menus with the newest first', () => {
    const menu = [
      '20261201',
      '2026-11-30T12-30-45',
      '20261130-1230',
      '2026.11.30.0900',
      '2026-11-30-r10',
      '2026-11-30-r9',
      '2026-11-30',
      '2026-11-30-arm64',
      '2026-11-29',
      '19991231',
      'latest',
    ];
    expect(sorted([...menu].reverse())).toEqual(menu);
    expect(sorted([...menu].sort())).toEqual(menu);
  });
});
