import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import { BuildAttempts } from '../../../../src/reconcile/builds/controller/build-attempts.ts';
import { OutputClock } from '../../../../src/reconcile/builds/controller/output-clock.ts';
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
});

describe('the silence of a build', () => {
  it('is counted only while its log can be read, and from the last line', () => {
    const output = new OutputClock();
    expect(output.silentMs(1_000, null)).toBe(0);
    output.opened(1_000, null);
    expect(output.silentMs(3_000, null)).toBe(2_000);
    output.closed(4_000, null);
    expect(output.silentMs(60_000, null)).toBe(3_000);
    output.opened(60_000, null);
    expect(output.silentMs(61_000, null)).toBe(4_000);
    expect(output.silentMs(65_000, 64_000)).toBe(1_000);
    output.closed(66_000, 64_000);
    expect(output.silentMs(90_000, 64_000)).toBe(2_000);
  });

  it('is never longer than since the last line, nor than the time that its log could be read', () => {
    const step = fc.record({ what: fc.constantFrom('open', 'close', 'line', 'look'), ms: fc.nat(100) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const output = new OutputClock();
        let now = 0;
        let open = 0;
        let last: number | null = null;
        let readable = 0;
        for (const { what, ms } of steps) {
          now += ms;
          if (open > 0) readable += ms;
          if (what === 'open') output.opened(now, last);
          if (what === 'close' && open > 0) output.closed(now, last);
          open += what === 'open' ? 1 : what === 'close' && open > 0 ? -1 : 0;
          if (what === 'line' && open > 0) [last, readable] = [now, 0];
          expect(output.silentMs(now, last)).toBe(readable);
        }
      }),
    );
  });
});
