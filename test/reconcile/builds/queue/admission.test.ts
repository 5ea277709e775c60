import { expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import { Admission, type AdmissionOptions } from '../../../../src/reconcile/builds/queue/admission.ts';

const BOUNDS = { running: 1, perUser: 1, perRepository: 1 };

function aBuild(index: number): ObservedBuild {
  const id = `b${index}`;
  const repository = { provider: 'gh', url: 'https://github.com/ada/lab', ref: 'main', commit: '', binderSlug: '' };
  return {
    spec: { id, key: id, image: id, path: '', requestedBy: `u${index}`, detached: false, createdAt: index, repository },
    ...{ name: id, uid: id, resourceVersion: '1', suspended: true, finished: null, terminating: false },
    ...{ wantedUntil: 0, cancel: null, result: null },
  } as ObservedBuild;
}

it('orders the queue once after a change, however many ask for their places meanwhile', () => {
  const builds = Array.from({ length: 100 }, (_, index) => aBuild(index));
  let looks = 0;
  const never = Promise.withResolvers<undefined>().promise;
  const admission = new Admission({
    watches: {
      jobs: () => {
        looks += 1;
        return builds;
      },
    },
    slotStore: { slots: [], change: () => never },
    pool: { all: () => [], places: () => [], nextReturn: () => undefined },
    bounds: BOUNDS,
    onError: () => undefined,
  } as unknown as AdmissionOptions);
  for (const [index, { spec }] of builds.entries()) {
    expect(admission.positionOf(spec.id)).toBe(index + 1);
    // As each of them does when it is looked at.
    admission.request();
  }
  expect(looks).toBe(1);
  builds.shift();
  admission.changed();
  expect(admission.positionOf('b1')).toBe(1);
  expect(admission.positionOf('b0')).toBeNull();
});
