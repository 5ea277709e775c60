import { expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import type { BuildSlot } from '../../../../src/domain/build/build-queue.ts';
import { QueueOrder } from '../../../../src/reconcile/builds/queue/queue-order.ts';

function aBuild(index: number): ObservedBuild {
  const id = `b${index}`;
  const repository = { provider: 'gh', url: 'https://github.com/ada/lab', ref: 'main', commit: '', binderSlug: '' };
  return {
    spec: { id, key: id, image: id, path: '', requestedBy: `u${index}`, detached: false, createdAt: index, repository },
    ...{ name: id, uid: id, resourceVersion: '1', suspended: true, finished: null, terminating: false },
    ...{ interestExpiresAt: 0, cancel: null, result: null },
  } as ObservedBuild;
}

it('is computed once after a change, however many ask for their positions meanwhile', () => {
  const builds = Array.from({ length: 100 }, (_, index) => aBuild(index));
  let looks = 0;
  const cache = {
    queueVersion: 1,
    jobs: () => {
      looks += 1;
      return builds;
    },
  };
  const slotStore: { slots: BuildSlot[]; version: number } = { slots: [], version: 1 };
  const order = new QueueOrder({ cache, slotStore });
  for (const [index, { spec }] of builds.entries()) {
    expect(order.positionOf(spec.id)).toBe(index + 1);
    expect(order.waitingBeside(slotStore.slots)).toHaveLength(100);
  }
  expect(looks).toBe(1);
  builds.shift();
  cache.queueVersion += 1;
  expect(order.positionOf('b1')).toBe(1);
  expect(order.positionOf('b0')).toBeNull();
  slotStore.slots = [{ id: 'b1', uid: 'b1', user: 'u1', repository: 'r', executor: 'cluster', at: 0 }];
  slotStore.version += 1;
  expect(order.positionOf('b1')).toBeNull();
  expect(order.positionOf('b2')).toBe(1);
  expect(looks).toBe(3);
});

it('does not take slots that are newer than the cache for those of the cache', () => {
  const order = new QueueOrder({
    cache: { queueVersion: 1, jobs: () => [aBuild(1), aBuild(2)] },
    slotStore: { slots: [], version: 1 },
  });
  expect(order.waiting.map(({ id }) => id)).toEqual(['b1', 'b2']);
  const newer = [{ id: 'b1', uid: 'b1', user: 'u1', repository: 'r', executor: 'cluster', at: 0 }];
  expect(order.waitingBeside(newer).map(({ id }) => id)).toEqual(['b2']);
  expect(order.positionOf('b1')).toBe(1);
});
