import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { AnswerCache } from '../../src/auth/answer-cache.ts';

const found = (name: string) => Promise.resolve({ name });
const missing = () => Promise.resolve(undefined);

describe('a cache of answers', () => {
  it('keeps no more than it has room for', async () => {
    const cache = new AnswerCache<{ name: string }>({ lifetimeMs: 1000, size: 2 });
    const asked: string[] = [];
    const get = (name: string) => cache.get(name, () => (asked.push(name), found(name)));
    for (const name of ['a', 'b', 'c', 'b', 'a']) expect(await get(name)).toEqual({ name });
    expect(asked).toEqual(['a', 'b', 'c', 'a']);
  });

  it('loses no answer to a flood of what does not exist', async () => {
    const cache = new AnswerCache<{ name: string }>({ lifetimeMs: 1000, size: 5 });
    await cache.get('ada', () => found('ada'));
    for (let at = 0; at < 1000; at += 1) await cache.get(String(at), missing);
    expect(await cache.get('ada', missing)).toEqual({ name: 'ada' });
  });

  it('can keep what does not exist for another time', async () => {
    let now = 1;
    const cache = new AnswerCache<{ name: string }>({ lifetimeMs: 100, missingMs: 10, now: () => now });
    await cache.get('ada', () => found('ada'));
    await cache.get('none', missing);
    now += 50;
    expect(await cache.get('ada', missing)).toEqual({ name: 'ada' });
    expect(await cache.get('none', () => found('none'))).toEqual({ name: 'none' });
  });

  it('does not keep a failure, and tells it to all who wait', async () => {
    const cache = new AnswerCache<{ name: string }>({ lifetimeMs: 1000 });
    const failing = Promise.withResolvers<undefined>();
    const all = Promise.allSettled([1, 2, 3].map(() => cache.get('a', () => failing.promise)));
    failing.reject(new Error('no'));
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(await cache.get('a', () => found('a'))).toEqual({ name: 'a' });
  });

  it('says at any time what was said within the lifetime, and asks no more than it must', async () => {
    const steps = fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'none'), passes: fc.nat(40) }), {
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        let now = 1;
        const cache = new AnswerCache<{ at: number }>({ lifetimeMs: 50, now: () => now });
        const saidAt = new Map<string, number>();
        for (const { key, passes } of all) {
          now += passes;
          const isKnown = saidAt.has(key) && now - (saidAt.get(key) ?? 0) <= 50;
          let asked = false;
          const answer = await cache.get(key, () => {
            asked = true;
            return Promise.resolve(key === 'none' ? undefined : { at: now });
          });
          if (asked) saidAt.set(key, now);
          expect(asked).toBe(!isKnown);
          expect(answer).toEqual(key === 'none' ? undefined : { at: saidAt.get(key) });
        }
      }),
    );
  });
});
