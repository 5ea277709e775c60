import { describe, expect, it } from 'vitest';
import { rubin } from '../../../../src/domain/image/tags/rubin.ts';

const sorted = (tags: readonly string[]) => [...rubin.parseAll(tags)].sort(rubin.compare).map(({ tag }) => tag);
const day = (date: number | null) => (date === null ? null : new Date(date).toISOString());

describe("a tag of Rubin's grammar", () => {
  it.each([
    ['r22_0_1', 'release', 'Release r22.0.1', null, null, null],
    ['r170', 'release', 'Release r17.0.0', null, null, null],
    ['r21_0_1_c0020.001', 'release', 'Release r21.0.1 (SAL Cycle 0020, Build 001)', null, 20, null],
    ['r22_0_1_rsp19', 'release', 'Release r22.0.1 (RSP Build 19)', null, null, null],
    ['r23_0_0_rc1', 'candidate', 'Release Candidate r23.0.0-rc1', null, null, null],
    [
      'r23_0_0_rc1_rsp19_extra-arm64',
      'candidate',
      'Release Candidate r23.0.0-rc1 (RSP Build 19) [extra] [arm64]',
      null,
      null,
      'arm64',
    ],
    ['r23_0_0_rcx', 'release', 'Release r23.0.0 [rcx]', null, null, null],
    ['w_2077_43', 'weekly', 'Weekly 2077_43', '2077-10-28', null, null],
    [
      'w_2077_46_c0045.003_rsp7',
      'weekly',
      'Weekly 2077_46 (SAL Cycle 0045, Build 003) (RSP Build 7)',
      '2077-11-18',
      45,
      null,
    ],
    ['w_2077_46-amd64', 'weekly', 'Weekly 2077_46 [amd64]', '2077-11-18', null, 'amd64'],
    ['w_2021_13_20210513', 'weekly', 'Weekly 2021_13 [20210513]', '2021-04-01', null, null],
    ['w_2020_53', 'weekly', 'Weekly 2020_53', '2020-12-31', null, null],
    ['w_2021_53', 'unknown', 'w_2021_53', null, null, null],
    ['w_2021_0', 'unknown', 'w_2021_0', null, null, null],
    ['d_2077_10_21', 'daily', 'Daily 2077_10_21', '2077-10-21', null, null],
    [
      'd_2077_10_21_c0045.003_sudo-x',
      'daily',
      'Daily 2077_10_21 (SAL Cycle 0045, Build 003) [sudo] [x]',
      '2077-10-21',
      45,
      'x',
    ],
    ['d_2077_02_30', 'unknown', 'd_2077_02_30', null, null, null],
    ['exp_w_2077_43_nosudo', 'experimental', 'Experimental Weekly 2077_43 [nosudo]', '2077-10-28', null, null],
    [
      'exp_r22_0_1_c0020.001-arm64',
      'experimental',
      'Experimental Release r22.0.1 (SAL Cycle 0020, Build 001) [arm64]',
      null,
      20,
      'arm64',
    ],
    ['exp_exp_d_2077_10_21', 'experimental', 'Experimental Experimental Daily 2077_10_21', '2077-10-21', null, null],
    ['exp_my-branch', 'experimental', 'Experimental my-branch', null, null, null],
    ['exp_', 'unknown', 'exp_', null, null, null],
    ['recommended', 'unknown', 'recommended', null, null, null],
    ['recommended_c0020', 'unknown', 'recommended (SAL Cycle 0020)', null, 20, null],
    ['main-linux-arm64', 'unknown', 'main [arm64]', null, null, 'arm64'],
    ['main-window', 'unknown', 'main-window', null, null, null],
    ['w_2077_46.1', 'unknown', 'w_2077_46.1', null, null, null],
    ['W_2077_46', 'unknown', 'W_2077_46', null, null, null],
  ])('%s is %s, %s', (tag, kind, title, date, cycle, architecture) => {
    const parsed = rubin.parse(tag);
    const { order, ...said } = parsed;
    expect({ ...said, date: day(said.date) }).toEqual({
      tag,
      kind,
      title,
      date: date === null ? null : `${date}T00:00:00.000Z`,
      cycle,
      architecture,
    });
    expect(order).toBeDefined();
  });

  it('stands in menus by kind, and the newest of its kind first', () => {
    const menu = [
      'r22_0_1',
      'r22_0_0_c0021.001',
      'r22_0_0_c0020.010',
      'r22_0_0_c0020.009_rsp20',
      'r22_0_0_c0020.009_rsp19',
      'r22_0_0_c0020.009',
      'r22_0_0_rsp1',
      'r22_0_0_extra2',
      'r22_0_0_extra1',
      'r22_0_0',
      'r22_0_0-arm64',
      'r22_0_0-amd64',
      'r9_0_0',
      'w_2077_46',
      'w_2077_46-amd64',
      'w_2077_9',
      'w_2076_52',
      'd_2077_10_21',
      'd_2077_10_20',
      'd_2077_9_30',
      'r23_0_0_rc10',
      'r23_0_0_rc9',
      'exp_r22_0_1',
      'exp_w_2077_46',
      'exp_w_2077_45',
      'exp_d_2077_10_21',
      'exp_mine',
      'recommended_c0021',
      'recommended_c0020',
      'recommended',
      'build-10',
      'build-9',
    ];
    expect(sorted([...menu].reverse())).toEqual(menu);
    expect(sorted([...menu].sort())).toEqual(menu);
  });

  it('is not known when it is longer than a tag can be', () => {
    expect(rubin.parse('exp_'.repeat(100_000)).kind).toBe('unknown');
  });
});
