import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Result, WorkQueue, type WorkQueueOptions } from '../../src/reconcile/work-queue.ts';

type Run = (key: string) => Promise<Result | void>;

/** A queue that stops with its test. */
function startQueue(run: Run, options: Partial<WorkQueueOptions> = {}): WorkQueue {
  const queue = new WorkQueue(run, { concurrency: 4, baseDelayMs: 1, maxDelayMs: 5, ...options });
  onTestFinished(() => queue.stop());
  return queue;
}

/** A run that ends when the test says so, and the keys that have begun. */
function gated() {
  const begun: string[] = [];
  const gates: Array<() => void> = [];
  const run: Run = (key) => {
    begun.push(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    gates.push(resolve);
    return promise;
  };
  return { begun, run, open: () => gates.shift()?.() };
}

describe('the work queue', () => {
  it('runs a key once that is added many times before its turn', async () => {
    const { begun, run, open } = gated();
    const queue = startQueue(run, { concurrency: 1 });
    queue.add('first');
    for (let time = 0; time < 10; time += 1) queue.add('second');
    expect(queue.size).toBe(2);
    open();
    await expect.poll(() => begun).toEqual(['first', 'second']);
    open();
    await expect.poll(() => queue.size).toBe(0);
    expect(begun).toHaveLength(2);
  });

  it('runs a key again, once, that is added while it runs', async () => {
    const { begun, run, open } = gated();
    const queue = startQueue(run);
    queue.add('a');
    await expect.poll(() => begun).toEqual(['a']);
    queue.add('a');
    queue.add('a');
    expect(begun).toEqual(['a']);
    open();
    await expect.poll(() => begun).toEqual(['a', 'a']);
    open();
    await expect.poll(() => queue.size).toBe(0);
  });

  it('never runs a key twice at once, loses no change and keeps to its bound, in any order of events', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      how: fc.constantFrom('add', 'addAfter', 'pause'),
      outcome: fc.constantFrom('ok', 'throw', 'requeue', 'slow'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, concurrency) => {
          const running = new Set<string>();
          const versions = new Map<string, number>();
          const seen = new Map<string, number>();
          const outcomes = steps.map(({ outcome }) => outcome);
          let most = 0;
          let twice = false;
          const queue = new WorkQueue(
            async (key) => {
              twice ||= running.has(key);
              running.add(key);
              most = Math.max(most, running.size);
              const version = versions.get(key) ?? 0;
              const outcome = outcomes.pop();
              if (outcome === 'slow') await new Promise((resolve) => setImmediate(resolve));
              running.delete(key);
              if (outcome === 'throw') throw new Error('scripted');
              seen.set(key, version);
              return outcome === 'requeue' ? { requeueAfterMs: 1 } : {};
            },
            { concurrency, baseDelayMs: 1, maxDelayMs: 2 },
          );
          for (const { key, how } of steps) {
            versions.set(key, (versions.get(key) ?? 0) + 1);
            if (how === 'addAfter') queue.addAfter(key, 1);
            else queue.add(key);
            if (how === 'pause') await new Promise((resolve) => setImmediate(resolve));
          }
          await expect
            .poll(() => [...versions].every(([key, version]) => seen.get(key) === version), { interval: 1 })
            .toBe(true);
          await queue.stop();
          expect(twice).toBe(false);
          expect(most).toBeLessThanOrEqual(concurrency);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('backs off a key that fails, longer each time up to a limit, and starts anew when it succeeds', async () => {
    const failures: number[] = [];
    const delays: number[] = [];
    let left = 6;
    let endedAt = 0;
    const queue = startQueue(
      () => {
        if (endedAt > 0) delays.push(performance.now() - endedAt);
        endedAt = performance.now();
        left -= 1;
        return left > 0 || left === -1 ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      { baseDelayMs: 20, maxDelayMs: 80, random: () => 1, onError: (_key, _error, count) => failures.push(count) },
    );
    queue.add('a');
    await expect.poll(() => left, { timeout: 5_000 }).toBe(0);
    for (const [index, least] of [20, 40, 80, 80, 80].entries()) {
      expect(delays[index]).toBeGreaterThanOrEqual(least - 1);
    }
    queue.add('a');
    await expect.poll(() => failures).toEqual([1, 2, 3, 4, 5, 1]);
  });

  it('lets a key that fails rest, also when its own run changes it', async () => {
    const delays: number[] = [];
    let endedAt = 0;
    const queue = startQueue(
      () => {
        if (endedAt > 0) delays.push(performance.now() - endedAt);
        endedAt = performance.now();
        // What a run has written comes back through the watch.
        queue.add('a');
        return Promise.reject(new Error('no'));
      },
      { baseDelayMs: 20, maxDelayMs: 80, random: () => 1 },
    );
    queue.add('a');
    await expect.poll(() => delays.length, { timeout: 5_000 }).toBe(4);
    for (const [index, least] of [20, 40, 80, 80].entries()) expect(delays[index]).toBeGreaterThanOrEqual(least - 1);
  });

  it('runs a key soon that changes after many failures, and not only after the long delay', async () => {
    let broken = true;
    let runs = 0;
    const queue = startQueue(
      () => {
        runs += 1;
        return broken ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000, random: () => 1 },
    );
    queue.add('a');
    await expect.poll(() => runs).toBe(1);
    broken = false;
    queue.add('a');
    await expect.poll(() => runs, { timeout: 5_000 }).toBe(2);
  });

  it('spreads the retries of keys that fail together', async () => {
    const drawn = [0, 1];
    const at = new Map<string, number[]>();
    const queue = startQueue(
      (key) => {
        at.set(key, [...(at.get(key) ?? []), performance.now()]);
        return at.get(key)?.length === 1 ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      { baseDelayMs: 200, maxDelayMs: 200, random: () => drawn.shift() ?? 0 },
    );
    queue.add('a');
    queue.add('b');
    await expect.poll(() => [...at.values()].map(({ length }) => length)).toEqual([2, 2]);
    const [a, b] = ['a', 'b'].map((key) => at.get(key)![1]! - at.get(key)![0]!);
    expect(a).toBeGreaterThanOrEqual(99);
    expect(b).toBeGreaterThanOrEqual(199);
  });

  it('goes on with a key whose error the listener cannot bear', async () => {
    let runs = 0;
    const queue = startQueue(
      () => {
        runs += 1;
        return runs < 3 ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      {
        onError: () => {
          throw new Error('the listener is broken');
        },
      },
    );
    queue.add('a');
    await expect.poll(() => runs).toBe(3);
  });

  it('goes on with a key whose run throws before it begins to wait', async () => {
    let runs = 0;
    const queue = startQueue(() => {
      runs += 1;
      if (runs === 1) throw new Error('at once');
      return Promise.resolve();
    });
    queue.add('a');
    await expect.poll(() => runs).toBe(2);
  });

  it('runs a key that is asked for at two times at the earlier one, and once', async () => {
    const runs: string[] = [];
    const queue = startQueue((key) => Promise.resolve(void runs.push(key)));
    queue.addAfter('a', 60_000);
    queue.addAfter('a', 5);
    queue.addAfter('a', 60_000);
    await expect.poll(() => runs).toEqual(['a']);
  });

  it('forgets the later time when the key runs before it', async () => {
    const runs: string[] = [];
    const queue = startQueue((key) => Promise.resolve(void runs.push(key)));
    queue.addAfter('a', 50);
    queue.add('a');
    queue.addAfter('b', 120);
    await expect.poll(() => runs).toEqual(['a', 'b']);
  });

  it('comes back to a key when its run asks for it, also in more than a month', async () => {
    let runs = 0;
    const queue = startQueue(() => {
      runs += 1;
      return Promise.resolve({ requeueAfterMs: runs === 1 ? 1 : 40 * 24 * 60 * 60_000 });
    });
    queue.add('a');
    await expect.poll(() => runs).toBe(2);
    expect(queue.size).toBe(0);
  });
});

describe('a work queue that stops', () => {
  it('waits for what runs, and runs nothing more', async () => {
    const { begun, run, open } = gated();
    const queue = startQueue(run, { concurrency: 1 });
    queue.add('running');
    queue.add('waiting');
    queue.addAfter('delayed', 1);
    await expect.poll(() => begun).toEqual(['running']);
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    queue.add('running');
    queue.add('late');
    queue.addAfter('later', 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(stopped).toBe(false);
    open();
    await stopping;
    expect(begun).toEqual(['running']);
    expect(queue.size).toBe(0);
  });

  it('does not come back to what failed or asked for more meanwhile', async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    let runs = 0;
    const queue = startQueue(() => {
      runs += 1;
      return promise;
    });
    queue.add('a');
    await expect.poll(() => runs).toBe(1);
    queue.add('a');
    const stopping = queue.stop();
    reject(new Error('no'));
    await stopping;
    // A timer that were left would be a leak of this file.
    expect(runs).toBe(1);
  });
});
