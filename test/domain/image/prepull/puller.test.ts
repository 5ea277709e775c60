import type { V1ContainerStatus } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { buildPullerPod } from '../../../../src/builder/prepull/puller-pod.ts';
import { observePuller } from '../../../../src/domain/image/prepull/puller.ts';
import { anImage, digestOf } from './situations.ts';

const START = '2026-11-30T17:21:52Z';
const at = (seconds: number) => `2026-11-30T17:21:${String(52 + seconds)}Z`;
type State = { readonly imageID?: string; readonly state: object };
const PULLED = 'registry.example/lab@sha256:1';
const completed = (seconds: number): State => ({
  imageID: PULLED,
  state: { terminated: { exitCode: 0, reason: 'Completed', startedAt: at(seconds), finishedAt: at(seconds) } },
});
/** As containerd and a 1.34 kubelet say it of an image without /bin/true. */
const notStarted = (seconds: number): State => ({
  imageID: PULLED,
  state: {
    terminated: { exitCode: 128, reason: 'StartError', startedAt: '1970-01-01T00:00:00Z', finishedAt: at(seconds) },
  },
});
const waiting = (reason: string, message = ''): State => ({ state: { waiting: { reason, message } } });

function observed(states: readonly State[], status: object = { phase: 'Pending' }) {
  const images = states.map((_state, index) => anImage(index));
  const start = { node: 'node-1', registry: 'registry.example', images };
  const context = { controller: 'labwright', lab: { tolerations: [] }, prepull: { timeout: 60_000 }, owner: undefined };
  const pod = buildPullerPod(start, context);
  const containerStatuses = states.map(
    (each, index) => ({ name: `image-${String(index)}`, imageID: '', ...each }) as V1ContainerStatus,
  );
  // As JSON has it.
  const startTime = START as unknown as Date;
  return observePuller({ ...pod, status: { containerStatuses, startTime, ...status } })?.outcomes;
}

describe('what became of the images of a puller pod', () => {
  it('is not known while a container waits for its turn', () => {
    expect(observed([waiting('ContainerCreating'), waiting('ContainerCreating')])).toBeUndefined();
    expect(observed([completed(1), waiting('PodInitializing')])).toBeUndefined();
  });

  it('is that they are there, with the time that each took, also where the container could not run', () => {
    expect(observed([completed(1), notStarted(4), completed(5)])).toEqual([
      { digest: digestOf(0), tookMs: 1_000 },
      { digest: digestOf(1), tookMs: 3_000 },
      { digest: digestOf(2), tookMs: 1_000 },
    ]);
  });

  it.each(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull'])(
    'is a failure for %s',
    (reason) => {
      const found = observed([completed(1), waiting(reason, 'not found')]);
      expect(found?.[1]).toEqual({ digest: digestOf(1), failure: { reason, message: 'not found' } });
    },
  );

  it.each(['CreateContainerError', 'CreateContainerConfigError', 'RunContainerError'])(
    'is that it is there where the kubelet has gone on to %s',
    (reason) => {
      expect(observed([waiting(reason)])).toEqual([{ digest: digestOf(0) }]);
    },
  );

  it('is a failure of what the deadline has cut off', () => {
    const unknown: State = { state: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } } };
    const status = { phase: 'Failed', reason: 'DeadlineExceeded', message: 'too long' };
    expect(observed([completed(1), unknown], status)).toEqual([
      { digest: digestOf(0) },
      { digest: digestOf(1), failure: { reason: 'DeadlineExceeded', message: 'too long' } },
    ]);
  });

  it('is a failure of the node where that did not take the pod', () => {
    const status = { phase: 'Failed', reason: 'OutOfpods', message: 'no room', containerStatuses: undefined };
    expect(observed([waiting('')], status)).toEqual([
      { digest: '', failure: { reason: 'OutOfpods', message: 'no room' } },
    ]);
  });
});
