import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LeaseState, microTime } from '../../src/reconcile/lease-state.ts';
import type { Lease } from '../../src/storage/kubernetes/resources.ts';

const TIMES = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 };

/** Hardly any time between the end of one term and the beginning of the next. */
const TIGHT = { ...TIMES, renewDeadlineMs: 14_999 };

const aLease = (version: number, spec: Lease['spec'] = {}): Lease => ({
  metadata: { uid: 'u', resourceVersion: String(version) },
  spec,
});
const held = (version: number, holderIdentity: string, renewTime = microTime(version)): Lease =>
  aLease(version, { holderIdentity, leaseDurationSeconds: 15, renewTime });

describe('what a replica knows of the Lease', () => {
  it('may be taken at once when there is none, nobody holds it, or it is its own', () => {
    const state = new LeaseState('a', TIMES);
    expect(state.takeableIn(0)).toBe(0);
    state.see(aLease(1, { holderIdentity: '' }), 0);
    expect(state.takeableIn(0)).toBe(0);
    state.see(held(2, 'a'), 0);
    expect(state.takeableIn(0)).toBe(0);
  });

  it('waits for the duration that the holder wrote, from when it saw the last change', () => {
    const state = new LeaseState('a', TIMES);
    state.see(aLease(1, { holderIdentity: 'b', leaseDurationSeconds: 40 }), 1_000);
    state.see(aLease(2, { holderIdentity: 'b', leaseDurationSeconds: 40 }), 30_000);
    expect(state.takeableIn(30_000)).toBe(11_000);
    state.see(aLease(3, { holderIdentity: 'b', leaseDurationSeconds: 40, renewTime: microTime(0) }), 35_000);
    expect(state.takeableIn(35_000)).toBe(40_000);
    expect(state.takeableIn(90_000)).toBe(0);
  });

  it('heeds no clock of another: a renewal dated years ago or ahead counts from when it is seen', () => {
    for (const wallClock of [0, Date.UTC(2099)]) {
      const state = new LeaseState('a', TIMES);
      state.see(held(1, 'b', microTime(wallClock)), 0);
      expect(state.takeableIn(0)).toBe(15_000);
    }
  });

  it('waits out the holder of a Lease that was removed', () => {
    const state = new LeaseState('a', TIMES);
    state.see(held(1, 'b'), 0);
    state.miss();
    expect(state.takeableIn(5_000)).toBe(10_000);
    expect(state.lease?.metadata?.uid).toBeUndefined();
  });

  it('is not set back by an event that comes late', () => {
    const state = new LeaseState('a', TIMES);
    state.see(held(10, 'b'), 0);
    state.see(held(9, 'c'), 5_000);
    expect([state.holder, state.takeableIn(5_000)]).toEqual(['b', 10_000]);
  });

  it('counts the changes of leader, and not its own renewals', () => {
    const state = new LeaseState('a', TIMES);
    expect(state.toHold(0).leaseTransitions).toBe(0);
    state.see(aLease(1, { holderIdentity: 'b', leaseTransitions: 3 }), 0);
    expect(state.toHold(0)).toMatchObject({ holderIdentity: 'a', leaseTransitions: 4, leaseDurationSeconds: 15 });
    state.see(aLease(2, { holderIdentity: 'a', leaseTransitions: 4, acquireTime: microTime(7) }), 0);
    expect(state.toHold(9)).toMatchObject({ leaseTransitions: 4, acquireTime: microTime(7), renewTime: microTime(9) });
    state.see(aLease(3, { holderIdentity: '', leaseTransitions: 4 }), 0);
    expect(state.toHold(0).leaseTransitions).toBe(5);
  });

  it('holds from the start of the last confirmed renewal, and not again once it has lapsed', () => {
    const state = new LeaseState('a', TIMES);
    expect(state.holds(0)).toBe(false);
    state.begin(1_000);
    expect(state.holds(10_999)).toBe(true);
    expect(state.renew(4_000, 10_999)).toBe(true);
    expect(state.holdsFor(10_999)).toBe(3_001);
    expect(state.holds(14_000)).toBe(false);
    expect(state.renew(13_000, 14_000)).toBe(false);
    expect(state.holds(14_000)).toBe(false);
  });
});

/** One write under way: it reaches the server at some time or never, and its answer comes at some time or never. */
interface Call {
  readonly spec: Lease['spec'];
  readonly version: string | undefined;
  readonly startedAt: number;
  readonly isRenewal: boolean;
  answer: Lease | 'refused' | undefined;
}

interface Replica {
  /** Of its monotonic clock. */
  readonly offset: number;
  readonly state: LeaseState;
  call: Call | undefined;
}

const ACTIONS = [
  ...(['advance', 'watch', 'look', 'write', 'arrive', 'answer', 'give up', 'arrive late'] as const),
  ...(['advance', 'write', 'arrive', 'answer'] as const),
];
type Action = (typeof ACTIONS)[number];

/** The API server, and replicas whose clocks have nothing to do with each other. */
class World {
  now = 0;
  terms = 0;
  #version = 0;
  readonly #history: Lease[] = [];
  readonly #replicas = [0, 1, 2].map((index): Replica => {
    return { offset: index * 1_000_003, state: new LeaseState(`replica-${index}`, TIGHT), call: undefined };
  });
  /** Calls that nobody waits for any more: they may still reach the server. */
  readonly #late: Call[] = [];

  step(action: Action, index: number, number: number): void {
    const replica = this.#replicas[index]!;
    const now = this.now + replica.offset;
    this.#actions[action](replica, now, number);
  }

  readonly #actions: Record<Action, (replica: Replica, now: number, number: number) => void> = {
    advance: (_replica, _now, number) => (this.now += number),
    watch: ({ state }, now, number) => {
      const seen = this.#history[number % Math.max(1, this.#history.length)];
      if (seen !== undefined) state.see(seen, now);
    },
    look: ({ state }, now) => {
      if (this.#lease !== undefined) state.see(this.#lease, now);
    },
    write: (replica, now) => {
      const { state, call } = replica;
      if (call !== undefined) return;
      if (state.holds(now) || state.takeableIn(now) === 0) replica.call = this.#write(state, now);
    },
    arrive: ({ call }) => this.#apply(call),
    'arrive late': (_replica, _now, number) => this.#apply(this.#late[number % Math.max(1, this.#late.length)]),
    'give up': (replica) => {
      if (replica.call !== undefined) this.#late.push(replica.call);
      replica.call = undefined;
    },
    answer: (replica, now) => {
      const { state, call } = replica;
      if (call?.answer === undefined) return;
      replica.call = undefined;
      if (call.answer === 'refused') return;
      state.see(call.answer, now);
      if (call.isRenewal) {
        if (!state.renew(call.startedAt, now)) state.end();
      } else {
        state.begin(call.startedAt);
        this.terms += 1;
      }
    },
  };

  /** Replicas that would write now. */
  get leaders(): number {
    return this.#replicas.filter(({ state, offset }) => state.holds(this.now + offset)).length;
  }

  get #lease(): Lease | undefined {
    return this.#history.at(-1);
  }

  #write(state: LeaseState, startedAt: number): Call {
    const version = state.lease?.metadata?.resourceVersion;
    return { spec: state.toHold(this.now), version, startedAt, isRenewal: state.holds(startedAt), answer: undefined };
  }

  #apply(call: Call | undefined): void {
    if (call === undefined || call.answer !== undefined) return;
    if (this.#lease?.metadata?.resourceVersion !== call.version) {
      call.answer = 'refused';
      return;
    }
    this.#version += 1;
    call.answer = aLease(this.#version, call.spec);
    this.#history.push(call.answer);
  }
}

describe('any number of replicas', () => {
  it('never have two terms that hold at the same moment, whatever is late, lost or stopped', () => {
    const step = fc.tuple(fc.constantFrom(...ACTIONS), fc.nat({ max: 2 }), fc.nat({ max: 6_000 }));
    let terms = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 300, maxLength: 600, size: 'max' }), (steps) => {
        const world = new World();
        for (const [action, index, number] of steps) {
          world.step(action, index, number);
          expect(world.leaders).toBeLessThanOrEqual(1);
        }
        terms += world.terms;
      }),
      { numRuns: 200 },
    );
    // Otherwise it has shown nothing.
    expect(terms).toBeGreaterThan(400);
  });
});
