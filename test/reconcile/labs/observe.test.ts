import type { V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import {
  isOurs,
  labSelector,
  observeNamespace,
  observePod,
  oneLabSelector,
} from '../../../src/reconcile/labs/observe.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const LABELS = {
  'app.kubernetes.io/managed-by': 'labwright',
  'labwright.dev/controller': 'hub',
  'labwright.dev/kind': 'lab',
  'labwright.dev/lab': 'rachel',
};

/** A pod as JSON has it: times are text, and what the kubelet does not know is null. */
function pod(status: object, metadata: object = {}): V1Pod {
  return {
    metadata: {
      namespace: 'lab-rachel',
      name: 'lab',
      uid: 'u',
      resourceVersion: '7',
      labels: { ...LABELS, 'labwright.dev/spawn': 's' },
      ...metadata,
    },
    spec: { nodeName: 'node-1' },
    status,
  } as unknown as V1Pod;
}

describe('what is kept of a pod', () => {
  it('that has just been made', () => {
    expect(observePod({ ...pod({}), spec: { containers: [] } })).toEqual({
      namespace: 'lab-rachel',
      name: 'lab',
      uid: 'u',
      resourceVersion: '7',
      slug: 'rachel',
      spawnId: 's',
      phase: 'Pending',
      ready: false,
      started: false,
      terminating: false,
      goneBy: null,
      finalizers: [],
      node: null,
      podIp: null,
      serviceIp: null,
      addressing: {},
      reason: null,
      message: null,
      unschedulable: null,
      disruption: null,
      containers: [],
    });
  });

  it('that finds no place', () => {
    const message = '0/3 nodes are available: 3 Insufficient memory.';
    const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }];
    expect(observePod(pod({ phase: 'Pending', conditions }))).toMatchObject({ unschedulable: message });
    const gated = [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }];
    expect(observePod(pod({ phase: 'Pending', conditions: gated }))).toMatchObject({ unschedulable: null });
  });

  it('with a sidecar among its init containers, which is not one that has to end', () => {
    const status = (name: string) => ({ name, restartCount: 0, imageID: '', image: '', ready: true, state: {} });
    const observed = observePod({
      ...pod({ phase: 'Pending', initContainerStatuses: [status('prepare'), status('istio-proxy')] }),
      spec: { initContainers: [{ name: 'prepare' }, { name: 'istio-proxy', restartPolicy: 'Always' }], containers: [] },
    });
    expect(observed?.containers.map(({ name, init }) => [name, init])).toEqual([
      ['prepare', true],
      ['istio-proxy', false],
    ]);
  });

  it('from before pods said how they are reached, by what else it says', () => {
    const containers = [{ name: 'istio-proxy' }, { name: 'notebook', ports: [{ containerPort: 9999 }] }];
    const { metadata = {} } = pod({});
    const annotations = { 'labwright.dev/service-ip': '10.96.0.7' };
    const made = { metadata: { ...metadata, annotations }, spec: { containers }, status: {} };
    expect(observePod(made)?.addressing).toEqual({ port: 9999, mode: 'serviceIp' });
    expect(observePod({ ...made, metadata })?.addressing).toEqual({ port: 9999 });
  });

  it('that waits for its image', () => {
    const waiting = { reason: 'ImagePullBackOff', message: 'Back-off pulling image "example.org/lab:1"' };
    const containerStatuses = [{ name: 'notebook', restartCount: 0, imageID: '', started: false, state: { waiting } }];
    expect(observePod(pod({ phase: 'Pending', containerStatuses }))).toMatchObject({
      started: false,
      containers: [{ name: 'notebook', init: false, waiting, terminated: null, imageDigest: null }],
    });
  });

  it('that runs', () => {
    const startedAt = '2026-11-21T12:00:00Z';
    const status = {
      phase: 'Running',
      podIP: '10.88.0.7',
      conditions: [{ type: 'Ready', status: 'True' }],
      initContainerStatuses: [
        { name: 'home', restartCount: 0, imageID: '', state: { terminated: { exitCode: 0, finishedAt: startedAt } } },
      ],
      containerStatuses: [
        {
          name: 'notebook',
          restartCount: 2,
          started: true,
          imageID: `example.org/lab@${DIGEST}`,
          state: { running: { startedAt } },
        },
      ],
    };
    const annotations = { 'labwright.dev/service-ip': '10.96.0.7' };
    expect(observePod(pod(status, { annotations }))).toMatchObject({
      phase: 'Running',
      ready: true,
      started: true,
      node: 'node-1',
      podIp: '10.88.0.7',
      serviceIp: '10.96.0.7',
      containers: [
        { name: 'home', init: true, terminated: { exitCode: 0, finishedAt: Date.parse(startedAt) } },
        { name: 'notebook', restarts: 2, imageDigest: DIGEST, runningSince: Date.parse(startedAt) },
      ],
    });
  });

  it('that was evicted, and whose container the kubelet has lost sight of', () => {
    const status = {
      phase: 'Failed',
      reason: 'Evicted',
      message: 'The node was low on resource: memory.',
      conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }],
      containerStatuses: [
        {
          name: 'notebook',
          restartCount: 0,
          imageID: '',
          started: false,
          state: {
            terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', startedAt: null, finishedAt: null },
          },
        },
      ],
    };
    expect(observePod(pod(status))).toMatchObject({
      phase: 'Failed',
      reason: 'Evicted',
      disruption: 'TerminationByKubelet',
      containers: [{ terminated: { exitCode: 137, reason: 'ContainerStatusUnknown', finishedAt: null } }],
    });
  });

  it('that is on its way out', () => {
    const finalizers = ['example.org/hold'];
    const deleted = pod({ phase: 'Running' }, { deletionTimestamp: '2026-11-21T12:00:00Z', finalizers });
    const goneBy = Date.parse('2026-11-21T12:00:00Z');
    expect(observePod(deleted)).toMatchObject({ terminating: true, goneBy, finalizers });
  });

  it('is nothing when it belongs to no lab', () => {
    expect(observePod(pod({}, { labels: {} }))).toBeUndefined();
    expect(observePod({})).toBeUndefined();
  });
});

describe('what is kept of a namespace', () => {
  const annotations = {
    'labwright.dev/username': 'Rachel',
    'labwright.dev/servername': 'gpu',
    'labwright.dev/spec-hash': 'h',
    'labwright.dev/kept-since': '2026-11-21T12:00:00.000Z',
    'labwright.dev/permanent': 'true',
  };

  it('is who it is for and since when it is kept', () => {
    const metadata = { name: 'lab-rachel', uid: 'u', resourceVersion: '7', labels: LABELS, annotations };
    expect(observeNamespace({ metadata })).toEqual({
      slug: 'rachel',
      name: 'lab-rachel',
      uid: 'u',
      resourceVersion: '7',
      username: 'Rachel',
      servername: 'gpu',
      terminating: false,
      specHash: 'h',
      keptSince: Date.parse('2026-11-21T12:00:00Z'),
      permanent: true,
    });
  });

  it.each(['', 'yesterday'])('is not kept since %j', (since) => {
    const changed = { ...annotations, 'labwright.dev/kept-since': since };
    expect(observeNamespace({ metadata: { name: 'n', labels: LABELS, annotations: changed } })).toMatchObject({
      keptSince: null,
    });
  });

  it('is nothing when it belongs to no lab', () => {
    expect(observeNamespace({ metadata: { name: 'kube-system' } })).toBeUndefined();
  });
});

describe('an object', () => {
  it('is ours only with all of the labels of this lab and this controller', () => {
    expect(isOurs({ metadata: { labels: LABELS } }, 'hub', 'rachel')).toBe(true);
    for (const label of Object.keys(LABELS)) {
      expect(isOurs({ metadata: { labels: { ...LABELS, [label]: 'other' } } }, 'hub', 'rachel')).toBe(false);
    }
    expect(isOurs({}, 'hub', 'rachel')).toBe(false);
  });

  it('is selected by the same labels', () => {
    const given = Object.entries(LABELS).map(([label, value]) => `${label}=${value}`);
    expect(oneLabSelector('hub', 'rachel').split(',').sort()).toEqual(given.sort());
    expect(labSelector('hub', 'lab-intent')).toContain('labwright.dev/kind=lab-intent');
  });
});
