import type { CoreV1Event, V1Pod } from '@kubernetes/client-node';
import { afterEach, describe, expect, it } from 'vitest';
import type { Fault, Kubelet } from '../../sandbox/index.ts';
import { Events, Pods } from '../../src/storage/kubernetes/resources.ts';
import type { TestKubeletOptions } from '../support/cluster.ts';
import { aPod, eventually, useApi } from './api.ts';

/** The simulated kubelet is a client like any other: here it runs pods on either server. */
const api = useApi();
const kubelets: Kubelet[] = [];

afterEach(async () => {
  await Promise.all(kubelets.splice(0).map((kubelet) => kubelet.close()));
});

async function aKubeletFor(namespace: string, options: TestKubeletOptions = {}): Promise<Kubelet> {
  const kubelet = await api.cluster.startKubelet({ namespacePrefix: namespace, node: 'sandbox-node', ...options });
  kubelets.push(kubelet);
  return kubelet;
}

/** Makes a pod and waits until it is as wanted. */
async function runPod(namespace: string, isWanted: (pod: V1Pod) => boolean, spec: object = {}): Promise<V1Pod> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  expect(await api.post(path, aPod('lab', spec))).toMatchObject({ status: 201 });
  return podThat(namespace, isWanted);
}

async function podThat(namespace: string, isWanted: (pod: V1Pod) => boolean): Promise<V1Pod> {
  const found = await eventually(
    () => api.cluster.client.get(Pods, { namespace, name: 'lab' }),
    (pod) => pod !== undefined && isWanted(pod),
  );
  if (found === undefined) throw new Error('There is no pod');
  return found;
}

const conditionOf = (pod: V1Pod, type: string) => pod.status?.conditions?.find((condition) => condition.type === type);
const isReady = (pod: V1Pod) => conditionOf(pod, 'Ready')?.status === 'True';
const isFailed = (pod: V1Pod) => pod.status?.phase === 'Failed';
const stateOf = (pod: V1Pod) => pod.status?.containerStatuses?.[0]?.state;
const waitingFor = (reason: string) => (pod: V1Pod) => stateOf(pod)?.waiting?.reason === reason;
const slowly = { schedule: 1, init: 1, pull: 1, start: 1, ready: 1, build: 1, stop: 1 };

async function eventsThat(namespace: string, isWanted: (events: CoreV1Event[]) => boolean): Promise<CoreV1Event[]> {
  const { items } = await eventually(
    () =>
      api.cluster.client.list(Events, { namespace, fieldSelector: 'involvedObject.kind=Pod,involvedObject.name=lab' }),
    ({ items }) => isWanted(items),
  );
  return items;
}

describe('the simulated kubelet', () => {
  it('without delays binds a pod and makes it ready', async () => {
    const { name } = await api.namespace();
    await aKubeletFor(name);
    const pod = await runPod(name, isReady);
    expect(pod.spec?.nodeName).toBe('sandbox-node');
    expect(pod.status).toMatchObject({
      phase: 'Running',
      hostIP: '127.0.0.1',
      podIP: expect.stringMatching(/^127\./) as string,
    });
    expect(pod.status?.containerStatuses).toMatchObject([
      { name: 'notebook', ready: true, started: true, restartCount: 0, image: 'registry.example/lab:1' },
    ]);
    expect(pod.status?.containerStatuses?.[0]?.imageID).toMatch(/^registry\.example\/lab@sha256:[0-9a-f]{64}$/);
    expect(pod.status?.conditions?.map(({ type, status }) => `${type} ${status}`).sort()).toEqual([
      ...[
        'ContainersReady True',
        'Initialized True',
        'PodReadyToStartContainers True',
        'PodScheduled True',
        'Ready True',
      ],
    ]);
  });

  it('with delays goes through every stage and says so in events', async () => {
    const { name, path } = await api.namespace();
    const { body } = await api.get(`${path}/pods`);
    const watching = api.watch(
      `${path}/pods?watch=true&resourceVersion=${body.metadata.resourceVersion}&timeoutSeconds=20`,
      { until: ({ object }) => isReady(object as unknown as V1Pod) },
    );
    await aKubeletFor(name, { delays: slowly });
    await runPod(name, isReady, { initContainers: [{ name: 'prepare', image: 'x:1' }] });
    const stages = (await watching).map(({ object }) => {
      const pod = object as unknown as V1Pod;
      const main = Object.keys(stateOf(pod) ?? {}).join();
      const init = Object.keys(pod.status?.initContainerStatuses?.[0]?.state ?? {}).join();
      return `${pod.status?.phase ?? ''} ${init} ${main} ${isReady(pod) ? 'ready' : ''}`.replaceAll(/ +/g, ' ').trim();
    });
    expect([...new Set(stages)]).toEqual([
      'Pending',
      'Pending waiting waiting',
      'Pending running waiting',
      'Running terminated running',
      'Running terminated running ready',
    ]);
    const events = await eventsThat(name, (all) => all.filter(({ reason }) => reason === 'Started').length === 2);
    expect(events.map(({ reason }) => reason).sort()).toEqual([
      ...['Created', 'Created', 'Pulled', 'Pulled', 'Pulling', 'Scheduled', 'Started', 'Started'],
    ]);
    expect(events.find(({ reason }) => reason === 'Scheduled')).toMatchObject({
      type: 'Normal',
      message: `Successfully assigned ${name}/lab to sandbox-node`,
      reportingComponent: 'default-scheduler',
      action: 'Binding',
    });
    expect(events.find(({ reason }) => reason === 'Pulling')).toMatchObject({
      type: 'Normal',
      message: 'Pulling image "registry.example/lab:1"',
      involvedObject: { kind: 'Pod', name: 'lab', fieldPath: 'spec.containers{notebook}' },
      source: { component: 'kubelet', host: 'sandbox-node' },
      count: 1,
    });
  });

  it.each([
    ['without delays', {}],
    ['with delays', { delays: slowly }],
  ])('%s finishes the deletion of a pod', async (_how, options) => {
    const { name, path } = await api.namespace();
    await aKubeletFor(name, options);
    await runPod(name, isReady);
    expect(await api.delete(`${path}/pods/lab`)).toMatchObject({ status: 200 });
    await eventually(
      () => api.get(`${path}/pods/lab`),
      ({ status }) => status === 404,
    );
  });

  it('goes on with the pods that it finds when it starts', async () => {
    const { name } = await api.namespace();
    await api.post(`/api/v1/namespaces/${name}/pods`, aPod());
    await aKubeletFor(name);
    await podThat(name, isReady);
  });

  it('leaves pods of other namespaces alone', async () => {
    const [mine, other] = [await api.namespace(), await api.namespace()];
    await aKubeletFor(mine.name);
    await api.post(`${other.path}/pods`, aPod());
    await runPod(mine.name, isReady);
    expect((await api.get(`${other.path}/pods/lab`)).body.spec.nodeName).toBeUndefined();
  });
});

describe('a fault', () => {
  const terminated = (exitCode: number, reason: string) => ({
    containerStatuses: [{ ready: false, state: { terminated: { exitCode, reason } } }],
  });
  const waiting = (reason: string) => ({ phase: 'Pending', containerStatuses: [{ state: { waiting: { reason } } }] });
  const cases: [Fault, (pod: V1Pod) => boolean, object, [type: string, reason: string][]][] = [
    [
      { fault: 'unschedulable' },
      (pod) => conditionOf(pod, 'PodScheduled')?.reason === 'Unschedulable',
      { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False' }] },
      [['Warning', 'FailedScheduling']],
    ],
    [
      { fault: 'imagePull' },
      waitingFor('ImagePullBackOff'),
      waiting('ImagePullBackOff'),
      [
        ['Normal', 'Pulling'],
        ['Warning', 'Failed'],
        ['Normal', 'BackOff'],
      ],
    ],
    [
      { fault: 'invalidImageName' },
      waitingFor('InvalidImageName'),
      waiting('InvalidImageName'),
      [
        ['Warning', 'InspectFailed'],
        ['Warning', 'Failed'],
      ],
    ],
    [
      { fault: 'containerConfig' },
      waitingFor('CreateContainerConfigError'),
      waiting('CreateContainerConfigError'),
      [['Warning', 'Failed']],
    ],
    [{ fault: 'mount' }, waitingFor('ContainerCreating'), waiting('ContainerCreating'), [['Warning', 'FailedMount']]],
    [{ fault: 'containerStart' }, isFailed, { phase: 'Failed', ...terminated(128, 'StartError') }, []],
    [
      { fault: 'crash', exitCode: 3 },
      isFailed,
      { phase: 'Failed', ...terminated(3, 'Error') },
      [['Normal', 'Started']],
    ],
    [{ fault: 'oom' }, isFailed, { phase: 'Failed', ...terminated(137, 'OOMKilled') }, []],
    [{ fault: 'evict' }, isFailed, { phase: 'Failed', reason: 'Evicted' }, [['Warning', 'Evicted']]],
    [{ fault: 'fail' }, isFailed, { phase: 'Failed', ...terminated(1, 'Error') }, []],
    [{ fault: 'succeed' }, (pod) => pod.status?.phase === 'Succeeded', terminated(0, 'Completed'), []],
    // As seen of a node of which nobody hears any more, with kube-controller-manager 1.34.
    [
      { fault: 'nodeLost' },
      ({ metadata }) => metadata?.deletionTimestamp !== undefined,
      { phase: 'Running', containerStatuses: [{ ready: true, started: true }] },
      [],
    ],
    [
      { fault: 'neverReady' },
      (pod) => stateOf(pod)?.running !== undefined,
      { phase: 'Running', containerStatuses: [{ ready: false, started: false }] },
      [['Warning', 'Unhealthy']],
    ],
    [{ fault: 'slow', seconds: 0 }, isReady, { phase: 'Running' }, [['Normal', 'Started']]],
    [{ fault: 'imagePull', reason: 'transient', attempts: 1 }, isReady, { phase: 'Running' }, [['Warning', 'Failed']]],
  ];

  it.each(cases)('$fault', async (fault, isWanted, status, wantedEvents) => {
    const { name } = await api.namespace();
    await aKubeletFor(name, { faults: [fault] });
    const pod = await runPod(name, isWanted);
    expect(pod.status).toMatchObject(status);
    const has = (events: CoreV1Event[], [type, reason]: [string, string]) =>
      events.some((event) => event.type === type && event.reason === reason);
    await eventsThat(name, (events) => wantedEvents.every((wanted) => has(events, wanted)));
  });

  it('initContainer', async () => {
    const { name } = await api.namespace();
    await aKubeletFor(name, { faults: [{ fault: 'initContainer', exitCode: 4 }] });
    const pod = await runPod(name, isFailed, { initContainers: [{ name: 'prepare', image: 'x:1' }] });
    expect(pod.status?.initContainerStatuses).toMatchObject([
      { state: { terminated: { exitCode: 4, reason: 'Error' } } },
    ]);
    expect(stateOf(pod)?.waiting?.reason).toBe('PodInitializing');
    expect(conditionOf(pod, 'Initialized')).toMatchObject({ status: 'False', reason: 'ContainersNotInitialized' });
  });

  it('vanish', async () => {
    const { name, path } = await api.namespace();
    await aKubeletFor(name, { faults: [{ fault: 'vanish' }] });
    await api.post(`${path}/pods`, aPod());
    await eventually(
      () => api.get(`${path}/pods/lab`),
      ({ status }) => status === 404,
    );
  });

  it('stuckTerminating', async () => {
    const { name, path } = await api.namespace();
    await aKubeletFor(name, { faults: [{ fault: 'stuckTerminating' }] });
    await runPod(name, isReady);
    await api.delete(`${path}/pods/lab`, { gracePeriodSeconds: 1 });
    // Another pod comes and goes meanwhile: the kubelet is not slow, it does not want to.
    await api.post(`${path}/pods`, aPod('other'));
    await eventually(
      () => api.get(`${path}/pods/other`),
      ({ body }) => body.status.phase === 'Running',
    );
    expect((await api.get(`${path}/pods/lab`)).body.metadata.deletionTimestamp).toBeDefined();
    for (const pod of ['lab', 'other']) await api.delete(`${path}/pods/${pod}`, { gracePeriodSeconds: 0 });
  });

  it('hits only the pods that it matches', async () => {
    const { name, path } = await api.namespace();
    const fault: Fault = { fault: 'fail', match: { username: 'ad*', image: 'registry.example/*' } };
    await aKubeletFor(name, { faults: [fault] });
    const annotations = (username: string) => ({ annotations: { 'labwright.dev/username': username } });
    await api.post(`${path}/pods`, aPod('ada', {}, annotations('ada')));
    await api.post(`${path}/pods`, aPod('bob', {}, annotations('bob')));
    for (const [pod, phase] of [
      ['ada', 'Failed'],
      ['bob', 'Running'],
    ]) {
      await eventually(
        () => api.get(`${path}/pods/${pod ?? ''}`),
        ({ body }) => body.status.phase === phase,
      );
    }
  });
});

describe('a fault by hand', () => {
  it.each([
    ['evict', (k: Kubelet, pod: { namespace: string; name: string }) => k.evict(pod), { reason: 'Evicted' }],
    ['oom', (k: Kubelet, pod: { namespace: string; name: string }) => k.oom(pod), {}],
    ['crash', (k: Kubelet, pod: { namespace: string; name: string }) => k.crash(pod, 2), {}],
  ])('%s', async (_name, act, status) => {
    const { name } = await api.namespace();
    const kubelet = await aKubeletFor(name);
    await runPod(name, isReady);
    await act(kubelet, { namespace: name, name: 'lab' });
    expect((await podThat(name, isFailed)).status).toMatchObject(status);
  });

  it('remove', async () => {
    const { name, path } = await api.namespace();
    const kubelet = await aKubeletFor(name);
    await runPod(name, isReady);
    await kubelet.remove({ namespace: name, name: 'lab' });
    expect(await api.get(`${path}/pods/lab`)).toMatchObject({ status: 404 });
  });

  it('is refused for a pod that is not there', async () => {
    const kubelet = await aKubeletFor('nowhere');
    await expect(kubelet.evict({ namespace: 'nowhere', name: 'lab' })).rejects.toThrow('knows no pod nowhere/lab');
  });
});
