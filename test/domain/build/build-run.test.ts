import { expect, it } from 'vitest';
import { runOfPod } from '../../../src/domain/build/build-run.ts';
import type { PodFacts } from '../../../src/domain/lab/pod.ts';

/** A pod whose container has ended so. */
function ended(exitCode: number, terminating: boolean, reason = 'Error'): PodFacts {
  const container = { name: 'builder', init: false, restarts: 0, waiting: null, runningSince: null, imageDigest: null };
  return {
    ...{ phase: 'Failed', ready: false, terminating, node: 'n', podIp: null, reason: null, message: null },
    ...{ unschedulable: null, disruption: null, goneBy: null, finalizers: [] },
    containers: [{ ...container, terminated: { reason, exitCode, message: '', finishedAt: 1 } }],
  };
}

it.each([
  ['fails by itself', ended(1, false), 'BuildFailed'],
  ['fails by itself, and is deleted then', ended(1, true), 'BuildFailed'],
  ['is killed because somebody deletes its pod', ended(137, true), 'DeletedExternally'],
  ['ends at the signal that comes with the deletion', ended(143, true), 'DeletedExternally'],
  ['is killed by something in it', ended(137, false), 'BuildFailed'],
  ['needs more memory than it may have', ended(137, true, 'OOMKilled'), 'OOMKilled'],
  ['does what it should, and is deleted then', ended(0, true, 'Completed'), undefined],
])('tells why a build has ended that %s', (_what, pod, reason) => {
  const run = runOfPod(pod);
  expect([run.stage, run.end?.reason]).toEqual(['ended', reason]);
});

it('is over when the node controller gives its machine up, whatever its pod still says', () => {
  const container = { name: 'builder', init: false, restarts: 0, waiting: null, terminated: null, imageDigest: null };
  const run = runOfPod({
    ...ended(0, true),
    ...{ phase: 'Running', disruption: 'DeletionByTaintManager' },
    containers: [{ ...container, runningSince: 1 }],
  });
  expect([run.stage, run.end?.reason]).toEqual(['ended', 'NodeLost']);
});

it.each(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull'])(
  'says of %s that it is the image of the builder, and no matter of whoever asked',
  (reason) => {
    const container = { name: 'builder', init: false, restarts: 0, runningSince: null, imageDigest: null };
    const { trouble } = runOfPod({
      ...ended(0, false),
      phase: 'Pending',
      containers: [{ ...container, terminated: null, waiting: { reason, message: 'manifest unknown' } }],
    });
    expect(trouble).toMatchObject({ reason: 'BuilderImageUnavailable' });
    expect(trouble?.message).toMatch(/^The image that builds run in .* Tell an administrator\.$/);
    expect(trouble?.message).not.toContain('name and tag');
  },
);
