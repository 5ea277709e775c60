import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  admit,
  type BuildSlot,
  fairOrder,
  type Place,
  type QueueBounds,
  type WaitingBuild,
} from '../../../src/domain/build/build-queue.ts';

const NOW = 1_000_000;

function aBuild(index: number, change: Partial<WaitingBuild> = {}): WaitingBuild {
  const id = `build-${String(index).padStart(4, '0')}`;
  return { id, uid: `uid-${index}`, user: 'ada', repository: `https://r/${index}`, createdAt: index, ...change };
}

function aSlot(build: WaitingBuild, executor = 'cluster'): BuildSlot {
  const { id, uid, user, repository } = build;
  return { id, uid, user, repository, executor, at: 0 };
}

const WIDE: QueueBounds = { running: 1_000, perUser: 1_000, perRepository: 1_000 };
const CLUSTER: readonly Place[] = [{ name: 'cluster', capacity: Infinity }];

/** Builds of few users and repositories, so that they meet. */
const builds = (maxLength: number) =>
  fc
    .array(
      fc.record({
        user: fc.constantFrom('ada', 'bob', 'eve', 'dan'),
        repository: fc.constantFrom('https://r/1', 'https://r/2', 'https://r/3'),
        createdAt: fc.nat(20),
      }),
      { maxLength },
    )
    .map((all) => all.map((each, index) => aBuild(index, each)));
const few = fc.integer({ min: 1, max: 6 });
const bounds = fc.record({ running: few, perUser: few, perRepository: few });
const places = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('here', 'there', 'engine'), capacity: fc.constantFrom(0, 1, 2, Infinity) }),
  { selector: ({ name }) => name },
);

function most(slots: readonly BuildSlot[], key: (slot: BuildSlot) => string): number {
  const counts = new Map<string, number>();
  for (const slot of slots) counts.set(key(slot), (counts.get(key(slot)) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}

describe('whose turn it is', () => {
  it('never exceeds a bound or a capacity, and gives nobody two places', () => {
    fc.assert(
      fc.property(builds(40), bounds, places, (all, limits, where) => {
        let slots: BuildSlot[] = [];
        let waiting = all;
        // Builds end one after the other, until nobody gets a turn any more.
        for (let round = 0; round < 100; round += 1) {
          const admitted = admit(waiting, slots, limits, where, NOW);
          slots = [...slots, ...admitted];
          expect(slots.length).toBeLessThanOrEqual(limits.running);
          expect(most(slots, ({ user }) => user)).toBeLessThanOrEqual(limits.perUser);
          expect(most(slots, ({ repository }) => repository)).toBeLessThanOrEqual(limits.perRepository);
          for (const { name, capacity } of where) {
            expect(slots.filter(({ executor }) => executor === name).length).toBeLessThanOrEqual(capacity);
          }
          expect(new Set(slots.map(({ uid }) => uid)).size).toBe(slots.length);
          const taken = new Set(admitted.map(({ uid }) => uid));
          waiting = waiting.filter(({ uid }) => !taken.has(uid));
          if (slots.length === 0) break;
          slots = slots.slice(1);
        }
        const isRoom = where.some(({ capacity }) => capacity > 0);
        expect(waiting).toHaveLength(isRoom ? 0 : all.length);
      }),
    );
  });

  it('leaves no place empty that somebody who waits could have', () => {
    fc.assert(
      fc.property(builds(40), builds(6), bounds, (waiting, running, limits) => {
        const slots = running.map((build, index) => aSlot({ ...build, id: `r${index}`, uid: `r${index}` }));
        const admitted = admit(waiting, slots, limits, CLUSTER, NOW);
        const after = [...slots, ...admitted];
        const left = waiting.filter(({ uid }) => !admitted.some((slot) => slot.uid === uid));
        for (const build of left) {
          const isFull =
            after.length >= limits.running ||
            after.filter(({ user }) => user === build.user).length >= limits.perUser ||
            after.filter(({ repository }) => repository === build.repository).length >= limits.perRepository;
          expect(isFull).toBe(true);
        }
      }),
    );
  });

  it('tries executors in their order, and passes over what is full', () => {
    const all = [0, 1, 2, 3].map((index) => aBuild(index));
    const where = [
      { name: 'here', capacity: 1 },
      { name: 'there', capacity: 2 },
    ];
    expect(admit(all, [], WIDE, where, NOW).map(({ executor }) => executor)).toEqual(['here', 'there', 'there']);
    expect(admit(all, [], WIDE, [], NOW)).toEqual([]);
  });

  it('lets others pass a build that waits for its own user or repository', () => {
    const first = aBuild(1);
    const second = aBuild(2);
    const other = aBuild(3, { user: 'bob' });
    const limits = { running: 3, perUser: 1, perRepository: 1 };
    expect(admit([first, second, other], [], limits, CLUSTER, NOW).map(({ id }) => id)).toEqual([first.id, other.id]);
    const same = aBuild(4, { user: 'eve', repository: first.repository });
    expect(admit([same, other], [aSlot(first)], limits, CLUSTER, NOW).map(({ id }) => id)).toEqual([other.id]);
  });
});

describe('the order of turns', () => {
  it('has everybody who waits in it once', () => {
    fc.assert(
      fc.property(builds(40), builds(6), (waiting, running) => {
        const order = fairOrder(
          waiting,
          running.map((build) => aSlot(build)),
        );
        expect(order.map(({ id }) => id).sort()).toEqual(waiting.map(({ id }) => id).sort());
      }),
    );
  });

  it('does not hold up the one of another behind a hundred of one', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => aBuild(index));
    const late = aBuild(500, { user: 'bob' });
    expect(fairOrder([...hundred, late], []).indexOf(late)).toBe(1);
    const running = hundred.slice(0, 3).map((build) => aSlot(build));
    expect(fairOrder([...hundred.slice(3), late], running)[0]).toBe(late);
  });

  it('is by age among the builds of one user, and does not depend on how they are given', () => {
    fc.assert(
      fc.property(builds(30), fc.array(fc.nat(), { minLength: 30, maxLength: 30 }), (all, random) => {
        const order = fairOrder(all, []);
        const mixed = all.toSorted((a, b) => (random[all.indexOf(a)] ?? 0) - (random[all.indexOf(b)] ?? 0));
        expect(fairOrder(mixed, [])).toEqual(order);
        for (const user of new Set(all.map((build) => build.user))) {
          const ages = order.filter((build) => build.user === user).map(({ createdAt }) => createdAt);
          expect(ages).toEqual(ages.toSorted((a, b) => a - b));
        }
      }),
    );
  });

  it('gives nobody a later place when slots are given, but a build whose younger sibling was let pass', () => {
    fc.assert(
      fc.property(builds(30), bounds, (all, limits) => {
        const before = fairOrder(all, []);
        const slots = admit(all, [], limits, CLUSTER, NOW);
        const taken = new Set(slots.map(({ uid }) => uid));
        const after = fairOrder(
          all.filter(({ uid }) => !taken.has(uid)),
          slots,
        );
        for (const [index, build] of after.entries()) {
          const siblings = fairOrder(all, []).filter(({ user }) => user === build.user);
          const younger = siblings.slice(siblings.indexOf(build) + 1);
          if (younger.some(({ uid }) => taken.has(uid))) continue;
          expect(index).toBeLessThanOrEqual(before.findIndex(({ uid }) => uid === build.uid));
        }
      }),
      // Given every time, since chance finds it once in many runs.
      { examples: [[OVERTAKEN, { running: 2, perUser: 1, perRepository: 1 }]] },
    );
  });

  it('counts a younger build that was let pass, so that its user does not get two turns before others have one', () => {
    const limits = { running: 2, perUser: 1, perRepository: 1 };
    const slots = admit(OVERTAKEN, [], limits, CLUSTER, NOW);
    // The older build of eve waits for its repository, and her younger one is let pass.
    expect(slots.map(({ id }) => id)).toEqual(['build-0000', 'build-0001']);
    const left = OVERTAKEN.filter(({ uid }) => !slots.some((slot) => slot.uid === uid));
    const idsOf = (order: readonly WaitingBuild[]) => order.map(({ id }) => id);
    expect(idsOf(fairOrder(OVERTAKEN, []))).toEqual([0, 2, 3, 4, 5, 1].map((index) => `build-000${index}`));
    // Bob has no build running; both of his are before the second of eve.
    expect(idsOf(fairOrder(left, slots))).toEqual([2, 4, 5, 3].map((index) => `build-000${index}`));
  });
});

/** Found by fast-check: eve's older build (3) waits for a repository that ada's uses, her younger one (1) does not. */
const OVERTAKEN: WaitingBuild[] = [
  aBuild(0, { user: 'ada', repository: 'https://r/2', createdAt: 0 }),
  aBuild(1, { user: 'eve', repository: 'https://r/1', createdAt: 2 }),
  aBuild(2, { user: 'bob', repository: 'https://r/2', createdAt: 0 }),
  aBuild(3, { user: 'eve', repository: 'https://r/2', createdAt: 1 }),
  aBuild(4, { user: 'bob', repository: 'https://r/2', createdAt: 0 }),
  aBuild(5, { user: 'ada', repository: 'https://r/1', createdAt: 0 }),
];
