import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import type { BuildSlot } from '../../../../src/domain/build/build-queue.ts';
import {
  type BuildMemory,
  type BuildTimings,
  decideBuild,
} from '../../../../src/reconcile/builds/controller/decide-build.ts';
import type { ObservedRun } from '../../../../src/reconcile/builds/executors/executor.ts';

const NOW = 1_000_000_000;
const MINUTE = 60_000;
const TIMINGS: BuildTimings = {
  queued: 60 * MINUTE,
  scheduling: 10 * MINUTE,
  imagePull: 5 * MINUTE,
  noOutput: 20 * MINUTE,
  push: 15 * MINUTE,
  total: 90 * MINUTE,
  retention: 30 * MINUTE,
};
const ID = '0123456789abcdef0123456789abcdef01234567';
const ago = (minutes: number) => NOW - minutes * MINUTE;
const SLOT: BuildSlot = { id: ID, uid: 'u', user: 'ada', repository: 'r', executor: 'cluster', at: ago(1) };
const ENDED = { status: 'failed', reason: 'BuildFailed', message: 'It failed.', at: ago(1) } as const;
const READY = { status: 'ready', digest: 'sha256:1', at: ago(1) } as const;
const NOISE = { reason: 'VolumeMountFailed', message: 'A volume.', afterMs: MINUTE, since: 0, forMs: 0 } as const;

function aBuild(change: Partial<ObservedBuild> = {}, createdAt = ago(2)): ObservedBuild {
  return {
    spec: {
      ...{ id: ID, key: `${ID}0`, path: '', image: 'r/a:1', requestedBy: 'ada', detached: false, createdAt },
      repository: { provider: 'gh', url: 'r', ref: 'main', commit: ID, binderSlug: 'a' },
    },
    ...{ name: `build-${ID}`, uid: 'u', resourceVersion: '1', suspended: true, finished: null, terminating: false },
    ...{ wantedUntil: NOW + MINUTE, cancel: null, result: null },
    ...change,
  };
}

function aRun(change: Partial<ObservedRun> = {}): ObservedRun {
  return {
    ...{ id: ID, createdAt: ago(2), stage: 'running' as const, trouble: null, end: null, hasLog: true },
    ...{ node: 'n', startedAt: ago(1), endedAt: null },
    ...change,
  };
}

function aMemory({ log, ...change }: Partial<Omit<BuildMemory, 'log'>> & { log?: Partial<BuildMemory['log']> } = {}) {
  const silent = { followed: false, ended: false, drained: false, lastOutputAt: null, phase: null };
  return {
    ...{ slot: undefined, run: undefined, stageSince: ago(1), trouble: null, wantedUntil: 0, kueue: false },
    ...change,
    log: { ...silent, pushingSince: null, failure: null, ...log },
  };
}

const released = { suspended: false };
const decide = (build: ObservedBuild, memory: BuildMemory) => decideBuild(build, memory, TIMINGS, NOW);
const failing = (reason: string) => ({ do: 'end', status: 'failed', finding: { reason } });

describe('what is to be done next for a build', () => {
  it.each<[string, ObservedBuild, BuildMemory, object]>([
    ['waits for its turn', aBuild(), aMemory(), { do: 'wait', again: MINUTE }],
    ['has waited too long', aBuild({}, ago(61)), aMemory(), failing('QueueTimeout')],
    ['was released by somebody', aBuild(released), aMemory(), { do: 'take-slot' }],
    ['ended before it had a place', aBuild({ finished: 'Failed' }), aMemory(), { do: 'take-slot' }],
    ['is for Kueue to release', aBuild(), aMemory({ kueue: true }), { do: 'take-slot' }],
    ['waits for Kueue', aBuild(), aMemory({ kueue: true, slot: SLOT }), { do: 'start', again: MINUTE }],
    [
      'has waited too long for Kueue',
      aBuild({}, ago(61)),
      aMemory({ kueue: true, slot: SLOT }),
      failing('QueueTimeout'),
    ],
    ['has its turn', aBuild(), aMemory({ slot: SLOT }), { do: 'start', again: MINUTE }],
    [
      'could not be started for too long',
      aBuild(),
      aMemory({ slot: { ...SLOT, at: ago(11) } }),
      failing('SchedulingTimeout'),
    ],
    [
      'waits for a machine',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'waiting' }) }),
      { do: 'follow', phase: 'scheduling', again: MINUTE },
    ],
    [
      'found no machine',
      aBuild(released),
      aMemory({ slot: { ...SLOT, at: ago(12) }, run: aRun({ stage: 'waiting' }), stageSince: ago(11) }),
      failing('SchedulingTimeout'),
    ],
    [
      'gets ready',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'preparing' }) }),
      { do: 'follow', phase: 'pulling', again: MINUTE },
    ],
    [
      'did not get ready',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'preparing' }), stageSince: ago(6) }),
      failing('PullTimeout'),
    ],
    [
      'has a trouble that may pass',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'preparing' }), trouble: { ...NOISE, forMs: 59_000 } }),
      { do: 'follow', phase: 'pulling', again: 1_000 },
    ],
    [
      'has a trouble that did not pass',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'preparing' }), trouble: { ...NOISE, forMs: MINUTE } }),
      failing('VolumeMountFailed'),
    ],
    [
      'runs',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'building', lastOutputAt: NOW } }),
      { do: 'follow', phase: 'building', again: MINUTE },
    ],
    [
      'says nothing',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ startedAt: ago(50) }), stageSince: ago(50), log: { lastOutputAt: ago(21) } }),
      failing('NoOutput'),
    ],
    [
      'pushes',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'pushing', pushingSince: ago(1) } }),
      { do: 'follow', phase: 'pushing', again: MINUTE },
    ],
    [
      'pushes too long',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'pushing', pushingSince: ago(16) } }),
      failing('PushTimeout'),
    ],
    [
      'takes too long in all',
      aBuild(released),
      aMemory({ slot: { ...SLOT, at: ago(91) }, run: aRun() }),
      failing('DeadlineExceeded'),
    ],
    [
      'has ended, and its log is read',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'ended' }), log: { followed: true } }),
      { do: 'drain', again: 1_000 },
    ],
    [
      'has ended well',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun({ stage: 'ended' }), log: { drained: true } }),
      { do: 'confirm' },
    ],
    [
      'has ended well after its last deadline',
      aBuild(released),
      aMemory({ slot: { ...SLOT, at: ago(91) }, run: aRun({ stage: 'ended' }), log: { drained: true } }),
      { do: 'confirm' },
    ],
    [
      'has failed',
      aBuild(released),
      aMemory({
        ...{ slot: SLOT, log: { drained: true, failure: 'pip said no.' } },
        run: aRun({ stage: 'ended', end: { reason: 'BuildFailed', message: 'Exit code 1.' } }),
      }),
      { do: 'end', status: 'failed', finding: { reason: 'BuildFailed', message: 'pip said no.' } },
    ],
    [
      'has failed while it pushed',
      aBuild(released),
      aMemory({
        ...{ slot: SLOT, log: { drained: true, phase: 'pushing' } },
        run: aRun({ stage: 'ended', end: { reason: 'BuildFailed', message: 'Exit code 1.' } }),
      }),
      failing('PushFailed'),
    ],
    [
      'was stopped from outside',
      aBuild(released),
      aMemory({
        slot: SLOT,
        run: aRun({ stage: 'ended', hasLog: false, end: { reason: 'DeletedExternally', message: 'Deleted.' } }),
      }),
      failing('DeletedExternally'),
    ],
    [
      'was cancelled',
      aBuild({ cancel: { by: 'ada', reason: 'Cancelled' } }),
      aMemory(),
      { do: 'end', status: 'cancelled' },
    ],
    ['is wanted by nobody', aBuild({ wantedUntil: NOW }), aMemory({ slot: SLOT, run: aRun() }), { do: 'abandon' }],
    [
      'is wanted by nobody and has ended',
      aBuild({ ...released, wantedUntil: ago(5) }),
      aMemory({ slot: SLOT, run: aRun({ stage: 'ended' }), log: { followed: true } }),
      { do: 'drain', again: 1_000 },
    ],
    ['is wanted by somebody here', aBuild({ wantedUntil: 0 }), aMemory({ wantedUntil: Infinity }), { do: 'wait' }],
    ['is over', aBuild({ result: ENDED }), aMemory({ slot: SLOT, log: { ended: true } }), { do: 'clean-up' }],
    [
      'is over, runs, and has lost its slot',
      aBuild({ result: ENDED, ...released }),
      aMemory({ run: aRun(), log: { ended: true } }),
      { do: 'clean-up' },
    ],
    [
      'was ended by another controller before its log was read here',
      aBuild({ result: READY, ...released }),
      aMemory({ run: aRun({ stage: 'ended' }), log: { followed: true } }),
      { do: 'drain' },
    ],
    [
      'was ended by another controller just now, and seems to run',
      aBuild({ result: { ...READY, at: NOW - 1_000 }, ...released }),
      aMemory({ slot: SLOT, run: aRun(), log: { followed: true } }),
      { do: 'drain' },
    ],
    [
      'was ended by another controller long ago, and runs',
      aBuild({ result: READY, ...released }),
      aMemory({ slot: SLOT, run: aRun(), log: { followed: true } }),
      { do: 'clean-up' },
    ],
    ['is kept', aBuild({ result: ENDED }), aMemory(), { do: 'nothing', again: 29 * MINUTE }],
    ['was kept long enough', aBuild({ result: { ...ENDED, at: ago(30) } }), aMemory(), { do: 'forget' }],
    ['is being removed', aBuild({ terminating: true }), aMemory({ slot: SLOT, run: aRun() }), { do: 'nothing' }],
  ])('that %s', (_what, build, memory, expected) => {
    expect(decide(build, memory)).toMatchObject(expected);
  });

  it('always has a next moment to look that lies ahead, whatever the state', () => {
    const moment = fc.integer({ min: ago(200), max: NOW + 5 * MINUTE });
    const run = fc.option(
      fc.record({ stage: fc.constantFrom('waiting', 'preparing', 'running', 'ended'), hasLog: fc.boolean() }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.record({ suspended: fc.boolean(), wantedUntil: moment }),
        fc.record({ kueue: fc.boolean(), wantedUntil: moment, stageSince: moment }),
        fc.record({ followed: fc.boolean(), drained: fc.boolean(), ended: fc.boolean() }),
        run,
        fc.option(moment, { nil: undefined }),
        fc.option(moment, { nil: null }),
        (build, memory, log, ran, slotAt, endedAt) => {
          const slot = slotAt === undefined ? undefined : { ...SLOT, at: slotAt };
          const result = endedAt === null ? null : { ...ENDED, at: endedAt };
          const seen = ran === undefined ? undefined : aRun(ran);
          const decision = decide(aBuild({ ...build, result }), aMemory({ ...memory, slot, run: seen, log }));
          if ('again' in decision) expect(decision.again).toBeGreaterThan(0);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
