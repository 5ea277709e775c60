import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Memo, reread } from '../../src/util/memo.ts';
import { runContext } from '../../src/util/run-context.ts';

/** Work that ends when the test says so. */
function work() {
  const begun: { signal: AbortSignal; resolve: (value: string) => void; reject: (error: Error) => void }[] = [];
  const begin = (signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    begun.push({ signal, resolve, reject });
    return promise;
  };
  return { begun, begin };
}

describe('what many want at once', () => {
  it('is made once for each key, and told to all', async () => {
    const { begun, begin } = work();
    const memo = new Memo<string>();
    const all = [memo.get('a', undefined, begin), memo.get('a', undefined, begin), memo.get('b', undefined, begin)];
    expect(memo.size).toBe(2);
    begun[0]!.resolve('of a');
    begun[1]!.resolve('of b');
    expect(await Promise.all(all)).toEqual(['of a', 'of a', 'of b']);
    await memo.settled();
    expect([memo.size, begun.length]).toEqual([0, 2]);
  });

  it('is made again after it was had, where nothing is kept, and after a failure in any case', async () => {
    const { begun, begin } = work();
    const [forgets, keeps] = [new Memo<string>(), new Memo<string>({ keepMs: 60_000 })];
    for (const memo of [forgets, keeps]) {
      const failing = [memo.get('a', undefined, begin), memo.get('a', undefined, begin)];
      begun.at(-1)!.reject(new Error('broken'));
      for (const each of failing) await expect(each).rejects.toThrow('broken');
      const first = memo.get('a', undefined, begin);
      begun.at(-1)!.resolve('first');
      expect(await first).toBe('first');
    }
    expect(await keeps.get('a', undefined, begin)).toBe('first');
    const second = forgets.get('a', undefined, begin);
    begun.at(-1)!.resolve('second');
    expect(await second).toBe('second');
  });

  it('is kept for its time and no longer, and not more of it than the bound', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    // lru-cache takes the moment 0 for none.
    vi.advanceTimersByTime(1);
    let made = 0;
    const memo = new Memo<number>({ keepMs: 1_000, max: 2 });
    const get = (key: string) => memo.get(key, undefined, () => Promise.resolve((made += 1)));
    expect([await get('a'), await get('a'), await get('b')]).toEqual([1, 1, 2]);
    vi.advanceTimersByTime(999);
    expect(await get('a')).toBe(1);
    vi.advanceTimersByTime(2);
    expect(await get('a')).toBe(3);
    expect([await get('c'), await get('d'), await get('a')]).toEqual([4, 5, 6]);
  });
});

describe('whoever goes', () => {
  it('takes nothing from the others, and the last one ends the work', async () => {
    const { begun, begin } = work();
    const memo = new Memo<string>();
    const [one, other] = [new AbortController(), new AbortController()];
    const waiting = [memo.get('a', one.signal, begin), memo.get('a', other.signal, begin)];
    one.abort(new Error('one goes'));
    await expect(waiting[0]).rejects.toThrow('one goes');
    expect(begun[0]!.signal.aborted).toBe(false);
    other.abort(new Error('the other goes'));
    await expect(waiting[1]).rejects.toThrow('the other goes');
    expect([begun[0]!.signal.aborted, memo.size]).toEqual([true, 0]);
    // What has been given up is nobody's answer, and its failure nobody's error.
    const next = memo.get('a', undefined, begin);
    begun[0]!.reject(new Error('given up'));
    begun[1]!.resolve('new');
    expect(await next).toBe('new');
  });

  it('before it comes is told so, and begins nothing', async () => {
    const { begun, begin } = work();
    await expect(new Memo().get('a', AbortSignal.abort(new Error('gone')), begin)).rejects.toThrow('gone');
    expect(begun).toEqual([]);
  });

  it('never leaves work running that nobody waits for, nor ends any that somebody does', async () => {
    const steps = fc.array(fc.record({ what: fc.constantFrom('come', 'go', 'answer'), at: fc.nat(20) }), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const { begun, begin } = work();
        const memo = new Memo<string>();
        const waiting: { controller: AbortController; end: Promise<unknown> }[] = [];
        for (const { what, at } of sequence) {
          if (what === 'come') {
            const controller = new AbortController();
            const end = memo.get('a', controller.signal, begin).catch((error: unknown) => error);
            waiting.push({ controller, end });
          } else if (what === 'go' && waiting.length > 0) {
            const [gone] = waiting.splice(at % waiting.length, 1);
            gone!.controller.abort(new Error('gone'));
            expect(await gone!.end).toMatchObject({ message: 'gone' });
          } else if (what === 'answer' && waiting.length > 0) {
            begun.at(-1)!.resolve('answer');
            for (const { end } of waiting.splice(0)) expect(await end).toBe('answer');
          }
          const running = begun.filter(({ signal }) => !signal.aborted).length;
          expect([running, memo.size]).toEqual(waiting.length > 0 ? [1, 1] : [0, 0]);
        }
      }),
    );
  });
});

describe('what is read again', () => {
  it('is read once by however many, again when it is old, and at once after a failure', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { begun, begin } = work();
    const read = reread(1_000, () => begin(new AbortController().signal), 'given');
    expect(await read()).toBe('given');
    vi.advanceTimersByTime(1_000);
    const both = [read(), read()];
    begun[0]!.reject(new Error('broken'));
    for (const each of both) await expect(each).rejects.toThrow('broken');
    const again = read();
    begun[1]!.resolve('second');
    expect([await again, await read(), begun.length]).toEqual(['second', 'second', 2]);
  });

  it('is asked for once more when a reading hangs for so long', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { begun, begin } = work();
    const read = reread(1_000, () => begin(new AbortController().signal));
    const hanging = read();
    vi.advanceTimersByTime(1_000);
    const next = read();
    begun[1]!.resolve('new');
    expect(await next).toBe('new');
    // The failure of the one that hung takes nothing away.
    begun[0]!.reject(new Error('late'));
    await expect(hanging).rejects.toThrow('late');
    expect([await read(), begun.length]).toEqual(['new', 2]);
  });
});

it('is no part of the run of a controller that happens to want it first', async () => {
  const look = () => Promise.resolve(runContext.getStore());
  const [memo, read] = [new Memo<unknown>(), reread<unknown>(1_000, look)];
  const run = { id: 'a', signal: AbortSignal.abort(), mayWrite: () => false };
  const seen = await runContext.run(run, () => Promise.all([memo.get('a', undefined, look), read()]));
  expect(seen).toEqual([undefined, undefined]);
});
