import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import type { BuildSlot } from '../../../../src/domain/build/build-queue.ts';
import {
  type BuildMemory,
  type BuildTimings,
  decideBuild,
} from '../../../../src/reconcile/builds/controller/decide-build.ts';
import { SKEW_TOLERANCE_MS } from '../../../../src/util/clock.ts';
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
  logHeld: 2 * MINUTE,
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
    // A minute with the skew that the clock of another replica may have.
    ...{ interestExpiresAt: NOW + MINUTE - SKEW_TOLERANCE_MS, cancel: null, result: null },
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
  const silent = {
    followed: false,
    drained: false,
    lines: 0,
    silentMs: 0,
    phase: null,
    pushingMs: null,
    failure: null,
  };
  return {
    ...{ slot: undefined, ageMs: 2 * MINUTE, slotMs: MINUTE, run: undefined, stageMs: MINUTE, trouble: null },
    ...{ wantedMs: 0, kueue: false },
    ...change,
    log: { ...silent, ...log },
  };
}

const released = { suspended: false };
const decide = (build: ObservedBuild, memory: BuildMemory) => decideBuild(build, memory, TIMINGS, NOW);
const failing = (reason: string) => ({ do: 'end', status: 'failed', finding: { reason } });

describe('what is to be done next for a build', () => {
  it.each<[string, ObservedBuild, BuildMemory, object]>([
    ['waits for its turn', aBuild(), aMemory(), { do: 'wait', again: MINUTE }],
    ['has waited too long', aBuild(), aMemory({ ageMs: 61 * MINUTE }), failing('QueueTimeout')],
    ['was released by somebody', aBuild(released), aMemory(), { do: 'take-slot' }],
    ['ended before it had a place', aBuild({ finished: 'Failed' }), aMemory(), { do: 'take-slot' }],
    ['is for Kueue to release', aBuild(), aMemory({ kueue: true }), { do: 'take-slot' }],
    ['waits for Kueue', aBuild(), aMemory({ kueue: true, slot: SLOT }), { do: 'start', again: MINUTE }],
    [
      'has waited too long for Kueue',
      aBuild(),
      aMemory({ kueue: true, slot: SLOT, ageMs: 61 * MINUTE }),
      failing('QueueTimeout'),
    ],
    ['has its turn', aBuild(), aMemory({ slot: SLOT }), { do: 'start', again: MINUTE }],
    [
      'could not be started for too long',
      aBuild(),
      aMemory({ slot: SLOT, slotMs: 11 * MINUTE }),
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
      aMemory({ slot: SLOT, slotMs: 12 * MINUTE, run: aRun({ stage: 'waiting' }), stageMs: 11 * MINUTE }),
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
      aMemory({ slot: SLOT, run: aRun({ stage: 'preparing' }), stageMs: 6 * MINUTE }),
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
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'building' } }),
      { do: 'follow', phase: 'building', again: MINUTE },
    ],
    [
      'says nothing',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), stageMs: 50 * MINUTE, log: { silentMs: 21 * MINUTE } }),
      failing('NoOutput'),
    ],
    [
      'pushes',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'pushing', pushingMs: MINUTE } }),
      { do: 'follow', phase: 'pushing', again: MINUTE },
    ],
    [
      'pushes too long',
      aBuild(released),
      aMemory({ slot: SLOT, run: aRun(), log: { phase: 'pushing', pushingMs: 16 * MINUTE } }),
      failing('PushTimeout'),
    ],
    [
      'takes too long in all',
      aBuild(released),
      aMemory({ slot: SLOT, slotMs: 91 * MINUTE, run: aRun() }),
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
      aMemory({ slot: SLOT, slotMs: 91 * MINUTE, run: aRun({ stage: 'ended' }), log: { drained: true } }),
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
      'has failed for a reason that its builder has a word for',
      aBuild(released),
      aMemory({
        ...{ slot: SLOT, log: { drained: true, phase: 'pushing', failure: 'No room.', reason: 'NoSpace' } },
        run: aRun({ stage: 'ended', end: { reason: 'BuildFailed', message: 'Exit code 1.' } }),
      }),
      { do: 'end', status: 'failed', finding: { reason: 'NoSpace', message: 'No room.' } },
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
    [
      'is wanted by nobody',
      aBuild({ interestExpiresAt: ago(1) }),
      aMemory({ slot: SLOT, run: aRun() }),
      { do: 'abandon' },
    ],
    [
      'is wanted by nobody and has ended',
      aBuild({ ...released, interestExpiresAt: ago(5) }),
      aMemory({ slot: SLOT, run: aRun({ stage: 'ended' }), log: { followed: true } }),
      { do: 'drain', again: 1_000 },
    ],
    ['is wanted by somebody here', aBuild({ interestExpiresAt: 0 }), aMemory({ wantedMs: Infinity }), { do: 'wait' }],
    [
      'is wanted for a little longer by the clock of another replica',
      aBuild({ interestExpiresAt: NOW - 4_000 }),
      aMemory({ slot: SLOT, run: aRun() }),
      { do: 'follow', again: 6_000 },
    ],
    ['is over', aBuild({ result: ENDED }), aMemory({ slot: SLOT }), { do: 'clean-up' }],
    [
      'is over, runs, and has lost its slot',
      aBuild({ result: ENDED, ...released }),
      aMemory({ run: aRun() }),
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
      aBuild({ result: { ...READY, at: NOW - 1_000, lines: 2 }, ...released }),
      aMemory({ slot: SLOT, run: aRun(), log: { followed: true } }),
      { do: 'drain' },
    ],
    [
      'was ended by another controller long ago, and runs',
      aBuild({ result: READY, ...released }),
      aMemory({ slot: SLOT, run: aRun(), log: { followed: true } }),
      { do: 'clean-up' },
    ],
    [
      'has ended elsewhere and is over',
      aBuild({ result: READY }),
      aMemory({ isRemote: true, run: aRun({ stage: 'ended' }) }),
      { do: 'nothing', again: MINUTE },
    ],
    [
      'has ended elsewhere and is over for long enough',
      aBuild({ result: { ...READY, at: ago(2) } }),
      aMemory({ isRemote: true, run: aRun({ stage: 'ended' }) }),
      { do: 'remove-run' },
    ],
    ['is kept', aBuild({ result: ENDED }), aMemory(), { do: 'nothing', again: 29 * MINUTE }],
    ['was kept long enough', aBuild({ result: { ...ENDED, at: ago(30) } }), aMemory(), { do: 'forget' }],
    ['is being removed', aBuild({ terminating: true }), aMemory({ slot: SLOT, run: aRun() }), { do: 'nothing' }],
  ])('that %s', (_what, build, memory, expected) => {
    expect(decide(build, memory)).toMatchObject(expected);
  });

  it('always has a next moment to look that lies ahead, whatever the state', () => {
    const moment = fc.integer({ min: ago(200), max: NOW + 5 * MINUTE });
    const duration = fc.integer({ min: 0, max: 200 * MINUTE });
    const run = fc.option(
      fc.record({ stage: fc.constantFrom('waiting', 'preparing', 'running', 'ended'), hasLog: fc.boolean() }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.record({ suspended: fc.boolean(), interestExpiresAt: moment }),
        fc.record({
          kueue: fc.boolean(),
          isRemote: fc.boolean(),
          isUnknown: fc.boolean(),
          ...{ wantedMs: duration, stageMs: duration, slotMs: duration, ageMs: duration },
        }),
        fc.record({
          followed: fc.boolean(),
          drained: fc.boolean(),
          lines: fc.nat(9),
          silentMs: duration,
          pushingMs: fc.option(duration, { nil: null }),
        }),
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
