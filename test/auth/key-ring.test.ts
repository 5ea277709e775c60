import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { currentKey, planKeyset, type RingKey, type KeysetPolicy } from '../../src/auth/keys/keyset.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const POLICY: KeysetPolicy = { rotation: 30 * DAY, lead: DAY, lifetime: HOUR, skew: 5 * MINUTE };
/** How old the copy of the ring may be that a controller works with. */
const REREAD = 6 * MINUTE;
const START = 1_795_000_000_000;

let made = 0;

function plan(keys: readonly RingKey[], now: number, policy = POLICY): readonly RingKey[] {
  const { keep, add } = planKeyset(keys, now, policy);
  made += 1;
  return add === undefined ? keep : [...keep, { ...add, kid: `key-${made}` }];
}

/** What was in the ring from when on. */
interface Version {
  readonly at: number;
  readonly keys: readonly RingKey[];
}

/** The ring over the years, looked at after these pauses, under the policies given. */
function history(pauses: readonly number[], policyAt: (index: number) => KeysetPolicy): Version[] {
  const versions: Version[] = [];
  let now = START;
  let keys: readonly RingKey[] = [];
  pauses.forEach((pause, index) => {
    now += pause;
    keys = plan(keys, now, policyAt(index));
    versions.push({ at: now, keys });
  });
  return versions;
}

/** The ring as it was at a moment, which is not before the first version. */
function ringAt(versions: readonly Version[], at: number): readonly RingKey[] {
  return versions.findLast((version) => version.at <= at)?.keys ?? versions[0]!.keys;
}

const aPause = fc.oneof(
  fc.integer({ min: 0, max: 10 * MINUTE }),
  fc.integer({ min: 0, max: 2 * DAY }),
  fc.integer({ min: 0, max: 90 * DAY }),
);
const pauses = fc.array(aPause, { minLength: 1, maxLength: 60 });
const aLifetime = fc.integer({ min: 5 * MINUTE, max: 30 * DAY });
/** Where between two versions something happens, from 0 to 1. */
const aFraction = fc.double({ min: 0, max: 1, noNaN: true });

function momentIn(versions: readonly Version[], fraction: number): number {
  const first = versions[0]!.at;
  return Math.round(first + (versions.at(-1)!.at + 2 * DAY - first) * fraction);
}

describe('a ring of keys', () => {
  it('has exactly one current key at any time, also when the clock jumps', () => {
    fc.assert(
      fc.property(pauses, fc.integer({ min: 0, max: 20 * 365 * DAY }), (some, now) => {
        for (const { keys, at } of history(some, () => POLICY)) {
          for (const moment of [at, now, 0]) {
            const current = currentKey(keys, moment)!;
            expect(keys.filter(({ kid }) => kid === current.kid)).toHaveLength(1);
          }
        }
      }),
    );
  });

  it('verifies what was made at any time until it expires, whatever lifetimes were configured meanwhile', () => {
    fc.assert(
      fc.property(pauses, fc.array(aLifetime, { minLength: 60, maxLength: 60 }), aFraction, (some, lifetimes, when) => {
        const policyAt = (index: number): KeysetPolicy => ({ ...POLICY, lifetime: lifetimes[index]! });
        const versions = history(some, policyAt);
        const at = momentIn(versions, when);
        const { kid } = currentKey(ringAt(versions, at), at)!;
        const inForce = versions.findLastIndex((version) => version.at <= at);
        const expires = at + lifetimes[Math.max(inForce, 0)]!;
        for (const { keys } of versions.filter((version) => version.at >= at && version.at <= expires)) {
          expect(keys.map((key) => key.kid)).toContain(kid);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('uses no key that was not published for the lead before, but for the first one', () => {
    fc.assert(
      fc.property(pauses, aFraction, (some, when) => {
        const versions = history(some, () => POLICY);
        const at = momentIn(versions, when);
        const { kid } = currentKey(ringAt(versions, at), at)!;
        const first = versions[0]!.keys[0]!.kid;
        const before = ringAt(versions, at - POLICY.lead).map((key) => key.kid);
        if (kid !== first) expect(before).toContain(kid);
      }),
      { numRuns: 500 },
    );
  });

  it('makes two controllers, one of them late with reading, use keys that both know', () => {
    fc.assert(
      fc.property(pauses, aFraction, fc.integer({ min: 0, max: REREAD }), (some, when, late) => {
        const versions = history(some, () => POLICY);
        const at = Math.max(momentIn(versions, when), START + REREAD + some[0]!);
        const [mine, theirs] = [ringAt(versions, at), ringAt(versions, at - late)];
        expect(mine.map(({ kid }) => kid)).toContain(currentKey(theirs, at)!.kid);
        expect(theirs.map(({ kid }) => kid)).toContain(currentKey(mine, at)!.kid);
      }),
      { numRuns: 500 },
    );
  });

  it('needs nothing when it is looked at twice', () => {
    fc.assert(
      fc.property(pauses, (some) => {
        for (const { keys, at } of history(some, () => POLICY)) {
          expect(planKeyset(keys, at, POLICY)).toMatchObject({ add: undefined, changed: false });
        }
      }),
    );
  });

  it('stays small', () => {
    fc.assert(
      fc.property(pauses, (some) => {
        for (const { keys } of history(some, () => POLICY)) expect(keys.length).toBeLessThanOrEqual(3);
      }),
    );
  });
});

describe('the life of a key', () => {
  const first: RingKey = { kid: 'a', publishedAt: START, activeFrom: START, lifetime: HOUR };
  const end = START + POLICY.rotation;

  it('begins at once where there is no other', () => {
    const { add } = planKeyset([], START, POLICY);
    expect(add).toEqual({ publishedAt: START, activeFrom: START, lifetime: HOUR });
  });

  it('has a successor that is published a lead before it takes over', () => {
    expect(planKeyset([first], end - DAY - 1, POLICY).add).toBeUndefined();
    expect(planKeyset([first], end - DAY, POLICY).add).toEqual({
      publishedAt: end - DAY,
      activeFrom: end,
      lifetime: HOUR,
    });
  });

  it('ends when what was made with it in the last moment has expired', () => {
    const second: RingKey = { kid: 'b', publishedAt: end - DAY, activeFrom: end, lifetime: HOUR };
    expect(currentKey([first, second], end - 1)?.kid).toBe('a');
    expect(currentKey([first, second], end)?.kid).toBe('b');
    expect(planKeyset([first, second], end + HOUR + POLICY.skew, POLICY)).toEqual({
      keep: [first, second],
      add: undefined,
      changed: false,
    });
    expect(planKeyset([first, second], end + HOUR + POLICY.skew + 1, POLICY).keep).toEqual([second]);
  });

  it('remembers a longer lifetime as soon as it is configured, and no shorter one', () => {
    const longer = planKeyset([first], START + 1, { ...POLICY, lifetime: DAY });
    expect(longer).toMatchObject({ keep: [{ kid: 'a', lifetime: DAY }], changed: true });
    expect(planKeyset(longer.keep, START + 2, POLICY).changed).toBe(false);
  });

  it('is not drawn out by a longer lifetime once it is not used any more', () => {
    const second: RingKey = { kid: 'b', publishedAt: end - DAY, activeFrom: end, lifetime: HOUR };
    const longer = planKeyset([first, second], end + 1, { ...POLICY, lifetime: DAY });
    expect(longer.keep).toEqual([first, { ...second, lifetime: DAY }]);
  });

  it('comes in time although it was made while the clock was years ahead', () => {
    const early: RingKey = {
      kid: 'f',
      publishedAt: START + 3650 * DAY,
      activeFrom: START + 3651 * DAY,
      lifetime: HOUR,
    };
    const { keep, changed } = planKeyset([first, early], START, POLICY);
    expect(changed).toBe(true);
    expect(keep).toEqual([first, { ...early, activeFrom: START + DAY }]);
  });
});
