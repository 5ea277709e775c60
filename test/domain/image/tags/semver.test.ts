import { describe, expect, it } from 'vitest';
import { semver } from '../../../../src/domain/image/tags/semver.ts';

const sorted = (tags: readonly string[]) => [...semver.parseAll(tags)].sort(semver.compare).map(({ tag }) => tag);

describe('a tag that is a semantic version', () => {
  it.each([
    ['4.2.1', 'release', '4.2.1', null],
    ['v4.2.1', 'release', '4.2.1', null],
    ['4.2', 'release', '4.2', null],
    ['v4', 'release', '4', null],
    ['0.0.0', 'release', '0.0.0', null],
    ['4.2.1-amd64', 'release', '4.2.1 [amd64]', 'amd64'],
    ['4.2.1-linux-arm64', 'release', '4.2.1 [arm64]', 'arm64'],
    ['4.2.1_build.7', 'release', '4.2.1 [build.7]', null],
    ['4.2.1-rc.1', 'prerelease', '4.2.1-rc.1', null],
    ['4.2-rc1', 'prerelease', '4.2-rc1', null],
    ['4.2.1-rc.1_7-arm64', 'prerelease', '4.2.1-rc.1 [7] [arm64]', 'arm64'],
    ['4.2.1-01', 'unknown', '4.2.1-01', null],
    ['4.2.1-rc..1', 'unknown', '4.2.1-rc..1', null],
    ['04.2.1', 'unknown', '04.2.1', null],
    ['4.2.1.0', 'unknown', '4.2.1.0', null],
    ['20261130', 'unknown', '20261130', null],
    ['2026-11-30', 'unknown', '2026-11-30', null],
    ['4-abc1234', 'unknown', '4-abc1234', null],
    ['python-3.11', 'unknown', 'python-3.11', null],
    ['latest', 'unknown', 'latest', null],
    ['latest-arm64', 'unknown', 'latest [arm64]', 'arm64'],
  ])('%s is %s, %s', (tag, kind, title, architecture) => {
    expect(semver.parse(tag)).toMatchObject({ tag, kind, title, architecture, date: null, cycle: null });
  });

  it('stands in menus as the specification orders versions, the newest first', () => {
    const menu = [
      '10.0.0',
      'v9.9.9',
      '4.2.1_build.10',
      '4.2.1_build.9',
      '4.2.1',
      '4.2.1-arm64',
      '4.2.0',
      '4.2',
      '4.0.0',
      '4.0',
      '4',
      '0.99999999999999999999.0',
      '0.99999999999999999998.0',
      '1.0.0-rc.1',
      '1.0.0-beta.11',
      '1.0.0-beta.2',
      '1.0.0-beta',
      '1.0.0-alpha.beta',
      '1.0.0-alpha.1',
      '1.0.0-alpha',
      'nightly-10',
      'nightly-9',
      'latest',
    ];
    expect(sorted([...menu].reverse())).toEqual(menu);
    expect(sorted([...menu].sort())).toEqual(menu);
  });
});
