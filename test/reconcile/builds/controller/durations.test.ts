import { describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import { BuildAttempts } from '../../../../src/reconcile/builds/controller/build-attempts.ts';
import type { ObservedRun } from '../../../../src/reconcile/builds/executors/executor.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const START = 1_800_000_000_000;
const MINUTE = 60_000;

/** A clock whose two hands are set by themselves. */
function aClock() {
  const hands = { wall: START, monotonic: 0 };
  const clock = { now: () => hands.wall, monotonic: () => hands.monotonic };
  const pass = (ms: number) => {
    hands.wall += ms;
    hands.monotonic += ms;
  };
  return { hands, clock, pass };
}

const aBuild = (createdAt: number) => ({ uid: 'u', spec: { id: ID, createdAt } }) as ObservedBuild;
const aSlot = (at: number) => ({ id: ID, uid: 'u', user: 'ada', repository: 'r', executor: 'cluster', at });
const aRun = (stage: ObservedRun['stage'], reason?: 'Unschedulable'): ObservedRun => ({
  ...{ id: ID, createdAt: START, stage, end: null, hasLog: true, node: null, startedAt: null, endedAt: null },
  trouble: reason === undefined ? null : { reason, message: 'No.', afterMs: MINUTE },
});

describe('the durations of a build', () => {
  it('are not changed by a clock that is set', () => {
    const { clock, hands, pass } = aClock();
    const attempt = new BuildAttempts(clock, MINUTE).resume(aBuild(START));
    const slot = aSlot(START);
    attempt.observe(aRun('waiting', 'Unschedulable'));
    attempt.slotMs(slot);
    attempt.pushingMs('pushing');
    pass(5_000);
    hands.wall += 20 * MINUTE;
    attempt.observe(aRun('waiting', 'Unschedulable'));
    expect([attempt.ageMs, attempt.slotMs(slot), attempt.stageMs]).toEqual([5_000, 5_000, 5_000]);
    expect(attempt.trouble?.forMs).toBe(5_000);
    expect(attempt.pushingMs('pushing')).toBe(5_000);
  });

  it('that another replica has begun are counted from there, less what its clock may be off', () => {
    const { clock, pass } = aClock();
    const attempts = new BuildAttempts(clock, MINUTE);
    const attempt = attempts.resume(aBuild(START - 5 * MINUTE));
    expect(attempt.ageMs).toBe(5 * MINUTE - 10_000);
    // A clock that is ahead makes nothing late, and nothing negative.
    expect(attempt.slotMs(aSlot(START + 8_000))).toBe(0);
    pass(1_000);
    expect(attempt.slotMs(aSlot(START + 8_000))).toBe(1_000);
    expect(attempt.slotMs(undefined)).toBe(0);
  });

  it('begin anew with another stage, another trouble and another Job', () => {
    const { clock, pass } = aClock();
    const attempts = new BuildAttempts(clock, MINUTE);
    attempts.resume(aBuild(START)).observe(aRun('waiting'));
    pass(1_000);
    const attempt = attempts.resume(aBuild(START));
    expect(attempt.stageMs).toBe(1_000);
    attempt.observe(aRun('preparing'));
    expect([attempt.stageMs, attempt.trouble]).toEqual([0, null]);
    expect(attempts.resume({ ...aBuild(START), uid: 'v' })).not.toBe(attempt);
  });

  it('give those who wait for a build from before the start the time to come back', () => {
    const { clock, pass } = aClock();
    const attempts = new BuildAttempts(clock, MINUTE);
    expect(attempts.resume(aBuild(START - 1)).wantedMs).toBe(30_000 + MINUTE);
    pass(1);
    expect(attempts.resume({ ...aBuild(START), uid: 'v' }).wantedMs).toBeLessThanOrEqual(0);
  });

  it('begin anew with another term, in which a trouble of the one before has passed and come back', () => {
    const { clock, pass } = aClock();
    const attempts = new BuildAttempts(clock, MINUTE);
    const before = attempts.resume(aBuild(START));
    before.observe(aRun('waiting', 'Unschedulable'));
    before.confirmingSince = clock.monotonic();
    pass(10 * MINUTE);
    attempts.clear();
    const attempt = attempts.resume(aBuild(START));
    attempt.observe(aRun('waiting', 'Unschedulable'));
    expect([attempt.stageMs, attempt.trouble?.forMs, attempt.confirmingSince]).toEqual([0, 0, null]);
    expect(attempt.ageMs).toBe(10 * MINUTE - 10_000);
  });
});
