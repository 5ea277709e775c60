import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { addressKey } from '../../src/auth/limits/address-key.ts';
import { type Flood, FloodGuard } from '../../src/auth/limits/flood-guard.ts';
import { RateLimiter } from '../../src/auth/limits/rate-limiter.ts';

describe('the key of an address', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:10.0.0.1', '10.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::7:8', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['no address', 'none'],
    [undefined, 'none'],
  ])('of %s is %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});

describe('a rate limiter', () => {
  function limiter(options: { perSecond: number; burst: number; keys?: number }) {
    const clock = { ms: 1000 };
    return { clock, limiter: new RateLimiter({ ...options, now: () => clock.ms }) };
  }

  it('admits a burst, says how long to wait then, and admits one more after that', () => {
    const { clock, limiter: calls } = limiter({ perSecond: 2, burst: 3 });
    expect([1, 2, 3].map(() => calls.take('a'))).toEqual([0, 0, 0]);
    expect(calls.take('a')).toBe(500);
    clock.ms += 499;
    expect(calls.take('a')).toBe(1);
    clock.ms += 1;
    expect([calls.take('a'), calls.take('a')]).toEqual([0, 500]);
  });

  it('counts each key for itself', () => {
    const { limiter: calls } = limiter({ perSecond: 1, burst: 1 });
    expect([calls.take('a'), calls.take('a') > 0, calls.take('b')]).toEqual([0, true, 0]);
  });

  it('counts nothing when it is only asked', () => {
    const { limiter: calls } = limiter({ perSecond: 1, burst: 1 });
    expect([calls.wait('a'), calls.wait('a'), calls.take('a')]).toEqual([0, 0, 0]);
  });

  it('remembers so many keys and no more', () => {
    const { limiter: calls } = limiter({ perSecond: 1, burst: 1, keys: 2 });
    for (const key of ['a', 'b', 'c']) calls.take(key);
    expect([calls.wait('a'), calls.wait('b') > 0, calls.wait('c') > 0]).toEqual([0, true, true]);
  });

  it('never admits more than the burst and the rate together allow, whatever the times', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 100 }),
        (perSecond, burst, pauses) => {
          const { clock, limiter: calls } = limiter({ perSecond, burst });
          let admitted = 0;
          for (const pause of pauses) {
            clock.ms += pause;
            if (calls.take('a') === 0) admitted += 1;
          }
          const seconds = (clock.ms - 1000) / 1000;
          expect(admitted).toBeLessThanOrEqual(burst + Math.ceil(seconds * perSecond));
        },
      ),
    );
  });
});

describe('a flood guard', () => {
  function guard(perKey: number, total: number) {
    const clock = { ms: 0 };
    const floods: Flood[] = [];
    const report = (flood: Flood) => void floods.push(flood);
    return { clock, floods, guard: new FloodGuard({ perKey, total, report, windowMs: 60_000, now: () => clock.ms }) };
  }

  it('lets a few lines of each key through, and reports the rest once when the minute is over', () => {
    const { clock, floods, guard: lines } = guard(2, 100);
    const admitted = [...'aaaaabb'].map((key) => lines.admits(key));
    expect(admitted).toEqual([true, true, false, false, false, true, true]);
    expect(floods).toEqual([]);
    clock.ms = 60_000;
    lines.sweep();
    expect(floods).toEqual([{ lines: 3, from: { a: 3 } }]);
    expect(lines.admits('a')).toBe(true);
    clock.ms = 120_000;
    lines.sweep();
    expect(floods).toHaveLength(1);
  });

  it('has a bound on the lines of all keys together, and on what it remembers', () => {
    const { clock, floods, guard: lines } = guard(2, 10);
    const admitted = Array.from({ length: 5000 }, (_, at) => lines.admits(`key-${at}`)).filter(Boolean);
    expect(admitted).toHaveLength(10);
    clock.ms = 60_000;
    lines.sweep();
    expect(floods[0]?.lines).toBe(4990);
    expect(Object.entries(floods[0]?.from ?? {})[0]).toEqual(['others', 4000]);
    expect(Object.keys(floods[0]?.from ?? {})).toHaveLength(10);
  });
});
