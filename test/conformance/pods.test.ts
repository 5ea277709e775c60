import { describe, expect, it } from 'vitest';
import { aPod, eventually, refusal, useApi } from './api.ts';

const api = useApi();

/** A pod on a node, as the scheduler leaves it. */
async function aBoundPod(spec: object = {}): Promise<{ path: string; pod: string; name: string }> {
  const { name, path } = await api.namespace();
  const pod = `${path}/pods/lab`;
  // Neither is what the test is about: where one has failed, what follows would say something else.
  expect(await api.post(`${path}/pods`, aPod('lab', spec))).toMatchObject({ status: 201 });
  const binding = { metadata: { name: 'lab' }, target: { kind: 'Node', name: 'node-1' } };
  expect(await api.post(`${pod}/binding`, binding)).toMatchObject({ status: 201 });
  return { path, pod, name };
}

describe('a new pod', () => {
  it('is pending, with the defaults that Kubernetes gives it', async () => {
    const { path } = await api.namespace();
    const containers = [
      { name: 'a', image: 'x:1', ports: [{ containerPort: 8888 }], resources: { limits: { cpu: '1', memory: '1Gi' } } },
      { name: 'b', image: 'x' },
      { name: 'c', image: 'reg:5000/x@sha256:61a235ed6ff160be83a3b104feec6ac53299abdd68554e7fa3307b952de4bbb0' },
    ];
    const { status, body } = await api.post(`${path}/pods`, aPod('lab', { containers }));
    expect(status).toBe(201);
    expect(body.metadata.generation).toBe(1);
    expect(body.status).toEqual({ phase: 'Pending', qosClass: 'Burstable' });
    expect(body.spec).toMatchObject({
      ...{ restartPolicy: 'Never', terminationGracePeriodSeconds: 30, dnsPolicy: 'ClusterFirst' },
      ...{ serviceAccountName: 'lab', serviceAccount: 'lab', automountServiceAccountToken: false },
      ...{ securityContext: {}, schedulerName: 'default-scheduler', priority: 0, enableServiceLinks: true },
      preemptionPolicy: 'PreemptLowerPriority',
    });
    expect(body.spec.volumes).toBeUndefined();
    expect(body.spec.nodeName).toBeUndefined();
    expect(body.spec.tolerations.map(({ key }) => key)).toEqual([
      'node.kubernetes.io/not-ready',
      'node.kubernetes.io/unreachable',
    ]);
    const [a, b, c] = body.spec.containers;
    expect(a).toMatchObject({
      resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1', memory: '1Gi' } },
      ports: [{ containerPort: 8888, protocol: 'TCP' }],
      ...{
        imagePullPolicy: 'IfNotPresent',
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
      },
    });
    expect(b?.imagePullPolicy).toBe('Always');
    expect(c?.imagePullPolicy).toBe('IfNotPresent');
  });

  it('gets the token of its service account mounted unless it does not want it', async () => {
    const { path } = await api.namespace();
    const { body } = await api.post(`${path}/pods`, aPod('lab', { automountServiceAccountToken: undefined }));
    expect(body.spec.volumes).toMatchObject([{ projected: { defaultMode: 420 } }]);
    expect(body.spec.containers[0]?.volumeMounts).toMatchObject([
      { readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ]);
    await api.merge(`${path}/serviceaccounts/lab`, { automountServiceAccountToken: false });
    // Admission sees a changed account a moment later.
    const another = { metadata: { generateName: 'other-' }, spec: { automountServiceAccountToken: undefined } };
    await eventually(
      () => api.post(`${path}/pods`, aPod('', another.spec, another.metadata)),
      ({ status, body: { spec } }) => status === 201 && (spec.volumes as unknown) === undefined,
    );
  });

  it.each([
    ['Guaranteed', { limits: { cpu: '1', memory: '1Gi' } }],
    ['Burstable', { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } }],
    ['Burstable', { requests: { memory: '1Gi' } }],
    ['BestEffort', {}],
  ])('is of class %s', async (expected, resources) => {
    const { path } = await api.namespace();
    const { body } = await api.post(
      `${path}/pods`,
      aPod('lab', { containers: [{ name: 'a', image: 'x:1', resources }] }),
    );
    expect(body.status.qosClass).toBe(expected);
  });
});

describe('binding a pod', () => {
  it('puts it on the node and says that it is scheduled', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/pods`, aPod());
    const answer = await api.post(`${path}/pods/lab/binding`, {
      metadata: { name: 'lab' },
      target: { kind: 'Node', name: 'node-1' },
    });
    expect(answer).toMatchObject({ status: 201, body: { kind: 'Status', status: 'Success' } });
    const { body } = await api.get(`${path}/pods/lab`);
    expect(body.spec.nodeName).toBe('node-1');
    expect(body.status.conditions).toMatchObject([{ type: 'PodScheduled', status: 'True', lastProbeTime: null }]);
    const selected = await api.get(`${path}/pods?fieldSelector=spec.nodeName%3Dnode-1,status.phase%3DPending`);
    expect(selected.body.items).toHaveLength(1);
    expect((await api.get(`${path}/pods?fieldSelector=spec.nodeName%3D`)).body.items).toHaveLength(0);
  });

  it('is refused twice, for another pod, and for none', async () => {
    const { pod, path } = await aBoundPod();
    const target = { kind: 'Node', name: 'node-2' };
    expect(await api.post(`${pod}/binding`, { metadata: { name: 'lab' }, target })).toMatchObject(
      refusal(
        409,
        'Conflict',
        'Operation cannot be fulfilled on pods/binding "lab": pod lab is already assigned to node "node-1"',
        {
          name: 'lab',
          kind: 'pods/binding',
        },
      ),
    );
    expect(await api.post(`${pod}/binding`, { target })).toMatchObject(
      refusal(400, 'BadRequest', 'name in URL does not match name in Binding object'),
    );
    expect(await api.post(`${path}/pods/x/binding`, { metadata: { name: 'x' }, target })).toMatchObject(
      refusal(404, 'NotFound', 'pods "x" not found'),
    );
  });
});

describe('the status of a pod', () => {
  it('is written apart from the rest', async () => {
    const { pod } = await aBoundPod();
    expect(
      (await api.merge(pod, { metadata: { labels: { x: '1' } }, status: { phase: 'Running' } })).body.status.phase,
    ).toBe('Pending');
    const { body } = await api.merge(`${pod}/status`, {
      metadata: { labels: { y: '2' } },
      spec: { restartPolicy: 'Always' },
      status: { phase: 'Running' },
    });
    expect(body.status.phase).toBe('Running');
    expect(body.spec.restartPolicy).toBe('Never');
    expect(body.metadata.labels).toEqual({ x: '1', y: '2' });
    expect((await api.get(`${pod}/status`)).body.status.phase).toBe('Running');
  });
});

describe('the spec of a pod', () => {
  it('cannot be changed but for the image', async () => {
    const { pod } = await aBoundPod();
    const { status, body } = await api.merge(pod, { spec: { restartPolicy: 'Always' } });
    expect(status).toBe(422);
    expect(body).toMatchObject({
      reason: 'Invalid',
      details: { name: 'lab', kind: 'Pod', causes: [{ reason: 'FieldValueForbidden', field: 'spec' }] },
    });
    expect(body.message).toMatch(
      /^Pod "lab" is invalid: spec: Forbidden: pod updates may not change fields other than /,
    );
    const image = await api.merge(pod, { spec: { containers: [{ name: 'notebook', image: 'x:2' }] } });
    expect(image).toMatchObject({ status: 200 });
    expect(image.body.spec.containers[0]?.image).toBe('x:2');
  });
});

describe('deleting a pod', () => {
  it('on no node removes it at once and answers with it, its grace 0', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/pods`, aPod());
    const { status, body } = await api.delete(`${path}/pods/lab`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ kind: 'Pod', metadata: { name: 'lab', deletionGracePeriodSeconds: 0 } });
    expect(body.metadata.deletionTimestamp).toBeDefined();
    expect(await api.get(`${path}/pods/lab`)).toMatchObject({ status: 404 });
  });

  it('on a node marks it, and the kubelet removes it with grace 0', async () => {
    const { pod } = await aBoundPod({ terminationGracePeriodSeconds: 7 });
    const { body } = await api.delete(pod);
    expect(body.metadata).toMatchObject({ deletionGracePeriodSeconds: 7, generation: 2 });
    const ahead = Date.parse(body.metadata.deletionTimestamp) - Date.now();
    expect(ahead).toBeGreaterThan(4_000);
    expect(ahead).toBeLessThan(8_000);
    expect((await api.get(pod)).body.metadata.deletionTimestamp).toBe(body.metadata.deletionTimestamp);
    expect(await api.delete(pod, { gracePeriodSeconds: 0 })).toMatchObject({ status: 200 });
    expect(await api.get(pod)).toMatchObject({ status: 404 });
  });

  it('again can shorten the grace and not lengthen it', async () => {
    const { pod } = await aBoundPod({ terminationGracePeriodSeconds: 20 });
    const grace = async (seconds?: number) =>
      (await api.delete(pod, seconds === undefined ? undefined : { gracePeriodSeconds: seconds })).body.metadata;
    const first = await grace();
    expect(await grace()).toMatchObject({ resourceVersion: first.resourceVersion, deletionGracePeriodSeconds: 20 });
    expect(await grace(50)).toMatchObject({ resourceVersion: first.resourceVersion, deletionGracePeriodSeconds: 20 });
    const shorter = await grace(5);
    expect(shorter.deletionGracePeriodSeconds).toBe(5);
    expect(Date.parse(first.deletionTimestamp) - Date.parse(shorter.deletionTimestamp)).toBe(15_000);
  });

  it('that has ended removes it at once', async () => {
    for (const phase of ['Failed', 'Succeeded']) {
      const { pod } = await aBoundPod();
      await api.merge(`${pod}/status`, { status: { phase } });
      await api.delete(pod);
      expect(await api.get(pod)).toMatchObject({ status: 404 });
    }
  });

  it('with the grace in the query works as in the body', async () => {
    const { pod } = await aBoundPod();
    expect((await api.delete(`${pod}?gracePeriodSeconds=3`)).body.metadata.deletionGracePeriodSeconds).toBe(3);
  });

  it('that is being deleted can still get a status', async () => {
    const { pod } = await aBoundPod();
    const { uid } = (await api.delete(pod)).body.metadata;
    const { status, body } = await api.merge(`${pod}/status`, { status: { phase: 'Failed' } });
    expect(status).toBe(200);
    expect(body.metadata.deletionTimestamp).toBeDefined();
    await api.delete(pod, { gracePeriodSeconds: 0, preconditions: { uid } });
    expect(await api.get(pod)).toMatchObject({ status: 404 });
  });

  it('is seen by a watch as two changes and an end', async () => {
    const { path, pod } = await aBoundPod();
    const since = (await api.get(`${path}/pods`)).body.metadata.resourceVersion;
    await api.delete(pod);
    await api.delete(pod, { gracePeriodSeconds: 0 });
    const events = await api.watch(`${path}/pods?watch=true&resourceVersion=${since}&timeoutSeconds=2`);
    expect(events.map(({ type, object }) => [type, object.metadata.deletionGracePeriodSeconds])).toEqual([
      ['MODIFIED', 30],
      ['MODIFIED', 0],
      ['DELETED', 0],
    ]);
  });
});
