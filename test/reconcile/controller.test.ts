import { setImmediate as nextTick } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Controller, type ControllerOptions, every, type Run, type Session } from '../../src/reconcile/controller.ts';
import type { Cache } from '../../src/reconcile/health.ts';
import { TerminalError } from '../../src/reconcile/terminal-error.ts';
import { KubeError } from '../../src/storage/kubernetes/kube-error.ts';
import { runContext } from '../../src/util/run-context.ts';
import { aborted } from '../../src/util/sleep.ts';

const HOUR_MS = 3_600_000;
const NO_ANSWER = new KubeError({ verb: 'get', kind: 'Pod' }, { status: 0, reason: 'NoAnswer', message: 'no answer' });

let log: { msg: string; level: number; [field: string]: unknown }[];
const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(JSON.parse(line) as never) });

beforeEach(() => {
  log = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

/** What a test does while the controller works. */
interface Subject {
  readonly controller: Controller;
  readonly runs: string[];
  readonly enqueue: (key: string) => void;
  readonly stop: () => void;
  readonly lose: () => void;
  readonly ended: Promise<void>;
  /** Whether `ended` has resolved. */
  isOver: boolean;
}

function subject(options: Partial<ControllerOptions> = {}, session: Partial<Session> = {}): Subject {
  const [stopping, lost] = [new AbortController(), new AbortController()];
  const runs: string[] = [];
  let enqueue: (key: string) => void = () => undefined;
  const { reconcile = () => Promise.resolve(), sources = [], ...others } = options;
  const controller = new Controller({
    name: 'things',
    caches: [],
    keys: () => [],
    logger,
    resyncMs: HOUR_MS,
    sources: [(add) => void (enqueue = add), ...sources],
    reconcile: (key, run) => {
      runs.push(key);
      return reconcile(key, run);
    },
    ...others,
  });
  const ended = controller.run({ stopping: stopping.signal, lost: lost.signal, mayWrite: () => true, ...session });
  const made: Subject = {
    controller,
    runs,
    enqueue: (key) => enqueue(key),
    stop: () => stopping.abort(),
    lose: () => lost.abort(new DOMException('leadership lost', 'AbortError')),
    ended,
    isOver: false,
  };
  void ended.then(() => (made.isOver = true));
  return made;
}

const settled = () => vi.advanceTimersByTimeAsync(0);

function aCache(): Cache & { sync: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const health = () => ({ component: 'cache', ready: false });
  return { name: 'cache', synced: promise, isSynced: false, sync: resolve, health, run: () => Promise.resolve() };
}

describe('a controller', () => {
  it('looks at every key once all its caches are synced, and at nothing before', async () => {
    const caches = [aCache(), aCache()];
    const it = subject({ caches, keys: () => ['a', 'b'] });
    it.controller.enqueue('c');
    caches[0]?.sync();
    await settled();
    expect(it.runs).toEqual([]);
    caches[1]?.sync();
    await settled();
    expect(it.runs).toEqual(['a', 'b']);
    it.stop();
    await it.ended;
  });

  it('ends when it is stopped before its caches are synced, and runs nothing then', async () => {
    const cache = aCache();
    const it = subject({ caches: [cache], keys: () => ['a'] });
    it.stop();
    await it.ended;
    cache.sync();
    await vi.advanceTimersByTimeAsync(2 * HOUR_MS);
    expect(it.runs).toEqual([]);
  });

  it('runs a key when a source or anybody says that it has changed', async () => {
    const it = subject();
    await settled();
    it.enqueue('a');
    it.controller.enqueue('b');
    await settled();
    expect(it.runs).toEqual(['a', 'b']);
    it.stop();
    await it.ended;
  });

  it('looks at every key again at each resync, and at those of a periodic source', async () => {
    const it = subject({ keys: () => ['a'], resyncMs: 60_000, sources: [every(10_000, () => ['b'])] });
    await vi.advanceTimersByTimeAsync(125_000);
    expect(it.runs.filter((key) => key === 'a')).toHaveLength(3);
    expect(it.runs.filter((key) => key === 'b').length).toBeGreaterThanOrEqual(11);
    it.stop();
    await it.ended;
  });

  it('runs a key again when the run asks for it', async () => {
    const it = subject({ keys: () => ['a'], reconcile: () => Promise.resolve({ requeueAfterMs: 5_000 }) });
    await vi.advanceTimersByTimeAsync(11_000);
    expect(it.runs).toEqual(['a', 'a', 'a']);
    it.stop();
    await it.ended;
  });

  it('tries a key that failed again, and says so, with the key in its health until it works', async () => {
    let isBroken = true;
    const it = subject({
      keys: () => ['a'],
      reconcile: () => (isBroken ? Promise.reject(new Error('out of paper')) : Promise.resolve()),
    });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(it.runs.length).toBeGreaterThan(10);
    expect(log[0]).toMatchObject({ level: 40, controller: 'things', key: 'a', msg: 'reconcile failed; will retry' });
    expect(it.controller.health()).toEqual({
      component: 'things',
      ready: true,
      message: '1 of its keys fail; a: out of paper',
    });
    isBroken = false;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(it.controller.health().message).toBeUndefined();
    it.stop();
    await it.ended;
  });

  it('reports what the API server did not answer only when it goes on', async () => {
    const it = subject({ keys: () => ['a'], reconcile: () => Promise.reject(NO_ANSWER) });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log.slice(0, 5).map(({ level }) => level)).toEqual([20, 20, 20, 20, 40]);
    it.stop();
    await it.ended;
  });

  it('does not try again what cannot help, until the key changes', async () => {
    const it = subject({ keys: () => ['a'], reconcile: () => Promise.reject(new TerminalError('a bad name')) });
    await vi.advanceTimersByTimeAsync(HOUR_MS / 2);
    expect(it.runs).toEqual(['a']);
    expect(log).toMatchObject([{ level: 50, key: 'a', msg: 'reconcile failed; will not retry' }]);
    expect(it.controller.health().message).toBe('1 of its keys fail; a: a bad name');
    it.enqueue('a');
    await settled();
    expect(it.runs).toEqual(['a', 'a']);
    it.stop();
    await it.ended;
  });

  it('forgets the failure of a key that is not there any more', async () => {
    let keys = ['a'];
    const it = subject({
      keys: () => keys,
      resyncMs: 60_000,
      reconcile: () => Promise.reject(new TerminalError('a bad name')),
    });
    await settled();
    keys = [];
    await vi.advanceTimersByTimeAsync(60_000);
    expect(it.controller.health().message).toBeUndefined();
    it.stop();
    await it.ended;
  });

  it('ends a run whose time is over, and tries the key again', async () => {
    const seen: AbortSignal[] = [];
    const it = subject({
      keys: () => ['a'],
      runTimeoutMs: 1_000,
      reconcile: async (_key, { signal }) => {
        seen.push(signal);
        await aborted(signal);
        signal.throwIfAborted();
      },
    });
    await vi.advanceTimersByTimeAsync(1_500);
    expect(seen.map((signal) => signal.aborted)).toEqual([true, false]);
    expect(log[0]).toMatchObject({ msg: 'reconcile failed; will retry', err: { message: 'the deadline has passed' } });
    it.stop();
    await vi.advanceTimersByTimeAsync(1_000);
    await it.ended;
  });

  it('gives a run an id, which is in its log and its context', async () => {
    let given: Run | undefined;
    const it = subject({
      keys: () => ['a'],
      reconcile: (_key, run) => {
        given = run;
        run.logger.info(runContext.getStore()?.id);
        return Promise.resolve();
      },
    });
    await settled();
    expect(log).toMatchObject([{ controller: 'things', run: given?.id, msg: given?.id }]);
    it.stop();
    await it.ended;
  });

  it('lets runs under way end when it stops, and ends them after a second', async () => {
    const { promise: slow, resolve: finish } = Promise.withResolvers<void>();
    const aborts: string[] = [];
    const it = subject({
      keys: () => ['quick', 'stuck'],
      concurrency: 2,
      reconcile: async (key, { signal }) => {
        await (key === 'quick' ? slow : aborted(signal));
        if (signal.aborted) aborts.push(key);
      },
    });
    await settled();
    it.stop();
    finish();
    await vi.advanceTimersByTimeAsync(900);
    expect([aborts, it.isOver]).toEqual([[], false]);
    await vi.advanceTimersByTimeAsync(200);
    expect([aborts, it.isOver]).toEqual([['stuck'], true]);
  });

  it('ends runs at once when leadership is lost, says nothing of them, and runs nothing more', async () => {
    const it = subject({
      keys: () => ['a', 'b'],
      reconcile: async (_key, { signal }) => {
        await aborted(signal);
        throw signal.reason;
      },
    });
    await settled();
    it.lose();
    await settled();
    expect(it.isOver).toBe(true);
    it.enqueue('c');
    it.controller.enqueue('c');
    await vi.advanceTimersByTimeAsync(2 * HOUR_MS);
    expect([it.runs, log]).toEqual([['a'], []]);
  });

  it('leaves a run alone that does not end when leadership is lost, and lets it write nothing', async () => {
    const { promise: never } = Promise.withResolvers<void>();
    let mayWrite = () => true;
    const it = subject({
      keys: () => ['a'],
      reconcile: async () => {
        mayWrite = runContext.getStore()!.mayWrite;
        await never;
      },
    });
    await settled();
    expect(mayWrite()).toBe(true);
    it.lose();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([it.isOver, mayWrite()]).toEqual([true, false]);
    expect(log).toMatchObject([{ level: 50, keys: ['a'], msg: expect.stringContaining('did not end') as string }]);
  });

  it('does not take a run that does not end for one that has, when the program stops', async () => {
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const it = subject({ keys: () => ['a'], reconcile: () => held });
    await settled();
    it.stop();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(it.isOver).toBe(false);
    resolve();
    await settled();
    expect(it.isOver).toBe(true);
  });

  it('works again in another session, from the beginning', async () => {
    const it = subject({ keys: () => ['a'] });
    await settled();
    it.lose();
    await it.ended;
    const [stopping, lost] = [new AbortController(), new AbortController()];
    const again = it.controller.run({ stopping: stopping.signal, lost: lost.signal, mayWrite: () => true });
    await settled();
    it.controller.enqueue('b');
    await settled();
    expect(it.runs).toEqual(['a', 'a', 'b']);
    stopping.abort();
    await again;
  });

  it.each<[string, Partial<ControllerOptions>]>([
    [
      'its keys',
      {
        keys: () => {
          throw new Error('a fault');
        },
      },
    ],
    [
      'a source at its start',
      {
        sources: [
          () => {
            throw new Error('a fault');
          },
        ],
      },
    ],
    [
      'a periodic source',
      {
        sources: [
          every(10, () => {
            throw new Error('a fault');
          }),
        ],
      },
    ],
    [
      'a run before it is a promise',
      {
        keys: () => ['a'],
        reconcile: () => {
          throw new Error('a fault');
        },
      },
    ],
  ])('goes on when a fault is in %s, and says so', async (_where, options) => {
    const it = subject({ resyncMs: 1_000, ...options });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(log.length).toBeGreaterThan(0);
    expect(log[0]).toMatchObject({ controller: 'things', err: { message: 'a fault' } });
    it.controller.enqueue('b');
    await settled();
    expect(it.runs).toContain('b');
    it.stop();
    await it.ended;
  });

  it('never runs a key twice at once, too many at once, or anything after its end; and no change is lost', async () => {
    vi.useRealTimers();
    const step = fc.oneof(
      fc.record({ do: fc.constant('enqueue' as const), key: fc.constantFrom('a', 'b', 'c', 'd') }),
      fc.record({ do: fc.constantFrom('finish' as const, 'fail' as const, 'refuse' as const), key: fc.nat(9) }),
      fc.record({ do: fc.constant('tick' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.constantFrom('stop' as const, 'lose' as const),
        async (steps, end) => {
          const under: { key: string; settle: PromiseWithResolvers<void> }[] = [];
          const changed = new Set<string>();
          let isOver = false;
          const it = subject({
            concurrency: 2,
            maxDelayMs: 1,
            reconcile: (key, { signal }) => {
              expect(isOver).toBe(false);
              expect(under.map((run) => run.key)).not.toContain(key);
              expect(under.length).toBeLessThan(2);
              changed.delete(key);
              const run = { key, settle: Promise.withResolvers<void>() };
              under.push(run);
              const onAbort = () => run.settle.reject(signal.reason as Error);
              signal.addEventListener('abort', onAbort, { once: true });
              return run.settle.promise.finally(() => under.splice(under.indexOf(run), 1));
            },
          });
          await nextTick();
          for (const each of steps) {
            if (each.do === 'enqueue') {
              changed.add(each.key);
              it.enqueue(each.key);
            } else if (each.do === 'tick') await nextTick();
            else {
              const run = under[each.key % Math.max(1, under.length)];
              if (each.do === 'finish') run?.settle.resolve();
              else if (run !== undefined) {
                changed.add(run.key);
                run.settle.reject(each.do === 'fail' ? NO_ANSWER : new TerminalError('no'));
                if (each.do === 'refuse') changed.delete(run.key);
              }
              await nextTick();
            }
          }
          // Whatever has changed or failed is run, as long as runs come to an end.
          const deadline = performance.now() + 5_000;
          while ((changed.size > 0 || under.length > 0) && performance.now() < deadline) {
            for (const run of [...under]) run.settle.resolve();
            await nextTick();
          }
          expect([...changed]).toEqual([]);
          it.enqueue('a');
          await nextTick();
          it[end]();
          for (const run of [...under]) run.settle.resolve();
          await it.ended;
          isOver = true;
          it.enqueue('b');
          it.controller.enqueue('c');
          await nextTick();
          expect([under.length, it.controller.depth]).toEqual([0, 0]);
        },
      ),
      { numRuns: 100 },
    );
  });
});
