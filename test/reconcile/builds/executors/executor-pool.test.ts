import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { BuildExecutor } from '../../../../src/reconcile/builds/executors/executor.ts';
import { ExecutorPool } from '../../../../src/reconcile/builds/executors/executor-pool.ts';

describe('the pool of executors', () => {
  it('leaves one alone once for builds that fail in the same moment, longer each time, and not after a success', () => {
    let now = 0;
    const executors = ['far', 'near'].map((name) => ({ name, isReady: true, capacity: 1 }) as BuildExecutor);
    const clock = { monotonic: () => now };
    const pool = new ExecutorPool({ executors, logger: pino({ level: 'silent' }), clock, random: () => 0.5 });
    const lasts: number[] = [];
    for (let time = 1; time <= 12; time += 1) {
      for (let build = 1; build <= 8; build += 1) pool.failed('far', new Error('It is away.'));
      expect(pool.outages()).toEqual([{ executor: 'far', message: 'It is away' }]);
      expect(pool.places()).toEqual([{ name: 'near', capacity: 1 }]);
      const left = pool.nextReturn() ?? 0;
      lasts.push(left / 1_000);
      now += left;
      expect(pool.places().map(({ name }) => name)).toEqual(['far', 'near']);
    }
    expect(lasts).toEqual([10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600]);
    pool.succeeded('far');
    pool.failed('far', new Error('It is away.'));
    expect(pool.nextReturn()).toBe(10_000);
  });

  it('does not take it for a success that a start was accepted, but that one has succeeded since', () => {
    let now = 0;
    let lastStartAt = -Infinity;
    const slow = {
      ...{ name: 'engine', isReady: true, capacity: 1 },
      get lastStartAt() {
        return lastStartAt;
      },
    } as BuildExecutor;
    const clock = { monotonic: () => now };
    const pool = new ExecutorPool({
      ...{ executors: [slow], logger: pino({ level: 'silent' }), clock, random: () => 0.5 },
    });
    const fail = () => {
      now += pool.nextReturn() ?? 0;
      pool.succeeded('engine');
      pool.failed('engine', new Error('It is away.'));
      return pool.nextReturn();
    };
    expect([fail(), fail(), fail()]).toEqual([10_000, 20_000, 40_000]);
    now += 40_000;
    lastStartAt = now;
    now += 1;
    expect(fail()).toBe(10_000);
  });
});
