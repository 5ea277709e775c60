import { describe, expect, it } from 'vitest';
import { RequestLimiter } from '../../../src/storage/kubernetes/request-limiter.ts';

const NEVER = new AbortController().signal;
const PLENTY = { requestsPerSecond: 1_000_000, burst: 1_000_000, inFlight: 1_000_000 };

/** Asks for `number` turns and notes in which order they come. */
function queueUp(limiter: RequestLimiter, turns: string[], names: string[], priority: 'interactive' | 'background') {
  return names.map((name) => limiter.acquire(priority, NEVER).then(() => void turns.push(name)));
}

describe('the request limiter', () => {
  it('lets a burst through at once', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, requestsPerSecond: 0.001, burst: 3 });
    await Promise.all([1, 2, 3].map(() => limiter.acquire('interactive', NEVER)));
  });

  it('keeps to its rate after the burst', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, requestsPerSecond: 100, burst: 1 });
    const started = performance.now();
    for (let turn = 0; turn < 11; turn += 1) await limiter.acquire('interactive', NEVER);
    // Ten calls after the first one, ten milliseconds apart; timers may fire a millisecond early.
    expect(performance.now() - started).toBeGreaterThanOrEqual(95);
  });

  it('has no more calls under way than it may', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, inFlight: 2 });
    let underWay = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await limiter.acquire('interactive', NEVER);
        underWay += 1;
        most = Math.max(most, underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay -= 1;
        limiter.release();
      }),
    );
    expect(most).toBe(2);
  });

  it('lets people go before background work, in order of arrival within each', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, inFlight: 1 });
    await limiter.acquire('background', NEVER);
    const turns: string[] = [];
    const waiting = [
      ...queueUp(limiter, turns, ['b1', 'b2'], 'background'),
      ...queueUp(limiter, turns, ['i1', 'i2'], 'interactive'),
    ];
    for (const turn of waiting.keys()) {
      limiter.release();
      await expect.poll(() => turns.length).toBe(turn + 1);
    }
    expect(turns).toEqual(['i1', 'i2', 'b1', 'b2']);
  });

  it('does not let a newcomer overtake those that wait', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, inFlight: 1 });
    await limiter.acquire('interactive', NEVER);
    const turns: string[] = [];
    const [first] = queueUp(limiter, turns, ['first'], 'interactive');
    limiter.release();
    const [second] = queueUp(limiter, turns, ['second'], 'interactive');
    await first;
    limiter.release();
    await second;
    expect(turns).toEqual(['first', 'second']);
  });

  it('forgets a call that gives up waiting, and its turn goes to the next', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, inFlight: 1 });
    await limiter.acquire('interactive', NEVER);
    const gone = new AbortController();
    const impatient = limiter.acquire('interactive', gone.signal);
    const patient = limiter.acquire('interactive', NEVER);
    gone.abort(new Error('gone'));
    await expect(impatient).rejects.toThrow('gone');
    limiter.release();
    await patient;
  });

  it('takes no turn for a call that has given up before', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, inFlight: 1 });
    await expect(limiter.acquire('interactive', AbortSignal.abort())).rejects.toThrow();
    await limiter.acquire('interactive', NEVER);
  });

  it('holds no timer when nobody waits any more', async () => {
    const limiter = new RequestLimiter({ ...PLENTY, requestsPerSecond: 0.01, burst: 1 });
    await limiter.acquire('interactive', NEVER);
    const before = timers();
    const gone = new AbortController();
    const waiting = limiter.acquire('interactive', gone.signal);
    expect(timers()).toBe(before + 1);
    gone.abort();
    await expect(waiting).rejects.toThrow();
    expect(timers()).toBe(before);
  });
});

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
}
