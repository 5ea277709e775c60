import { afterEach, describe, expect } from 'vitest';
import type { Kubelet } from '../../sandbox/index.ts';
import type { TestKubeletOptions } from '../support/cluster.ts';
import { itNeedsControllers as it } from '../support/cluster-needs.ts';
import { type Answer, eventually, useApi, type Wire } from './api.ts';

/** What the Job controller of a real controller manager was seen to do, on either server. */
const api = useApi();
const kubelets: Kubelet[] = [];

afterEach(async () => {
  await Promise.all(kubelets.splice(0).map((kubelet) => kubelet.close()));
});

interface Place {
  readonly name: string;
  readonly jobs: string;
  readonly path: string;
}

async function aPlace(options?: TestKubeletOptions): Promise<Place> {
  const { name, path } = await api.namespace();
  if (options !== undefined) {
    kubelets.push(await api.cluster.startKubelet({ namespacePrefix: name, ...options }));
  }
  return { name, path, jobs: `/apis/batch/v1/namespaces/${name}/jobs` };
}

interface JobStatus {
  readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  readonly startTime?: string;
  readonly [field: string]: unknown;
}

const statusOf = ({ body }: Answer) => body.status as unknown as JobStatus;
const conditionsOf = (answer: Answer) =>
  (statusOf(answer).conditions ?? []).map(({ type, status, reason }) => `${type} ${status} ${reason}`);

function aJob(name = 'build', spec: object = {}, pod: object = {}): object {
  const containers = [{ name: 'builder', image: 'registry.example/builder:1' }];
  const template = {
    metadata: { labels: { 'labwright.dev/kind': 'build' } },
    spec: {
      restartPolicy: 'Never',
      serviceAccountName: 'lab',
      automountServiceAccountToken: false,
      containers,
      ...pod,
    },
  };
  return { metadata: { name }, spec: { backoffLimit: 0, template, ...spec } };
}

/** Waits until the Job is as wanted. */
function jobThat({ jobs }: Place, isWanted: (answer: Answer) => boolean, name = 'build'): Promise<Answer> {
  return eventually(() => api.get(`${jobs}/${name}`), isWanted);
}

const isOver = (answer: Answer) =>
  conditionsOf(answer).some((text) => text.startsWith('Complete True') || text.startsWith('Failed True'));

async function podsOf({ path }: Place, job = 'build'): Promise<readonly Wire[]> {
  const { body } = await api.get(`${path}/pods?labelSelector=job-name%3D${job}`);
  return body.items;
}

function podsThat(place: Place, isWanted: (pods: readonly Wire[]) => boolean, job = 'build') {
  return eventually(() => podsOf(place, job), isWanted);
}

const isRunning = (pods: readonly Wire[]) => pods[0]?.status.phase === 'Running';
const hangs: TestKubeletOptions = { builds: () => ({ hang: true }) };
const succeeds: TestKubeletOptions = { builds: () => ({ push: false }) };
const fails: TestKubeletOptions = { builds: () => ({ exitCode: 3 }) };

describe('a new Job', () => {
  it('gets defaults, a selector of its own and the labels of its pods', async () => {
    const { jobs } = await aPlace();
    const { status, body } = await api.post(jobs, aJob('build', { suspend: true, backoffLimit: undefined }));
    expect(status).toBe(201);
    const { uid } = body.metadata;
    expect(body.metadata.generation).toBe(1);
    expect(body.metadata.labels).toMatchObject({ 'labwright.dev/kind': 'build', 'job-name': 'build' });
    expect(body.status).toEqual({});
    expect(body.spec).toMatchObject({
      ...{ parallelism: 1, completions: 1, backoffLimit: 6, completionMode: 'NonIndexed', manualSelector: false },
      ...{ suspend: true, podReplacementPolicy: 'TerminatingOrFailed' },
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } },
      template: {
        metadata: {
          labels: {
            ...{ 'batch.kubernetes.io/controller-uid': uid, 'batch.kubernetes.io/job-name': 'build' },
            ...{ 'controller-uid': uid, 'job-name': 'build', 'labwright.dev/kind': 'build' },
          },
        },
        spec: {
          ...{ restartPolicy: 'Never', dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler' },
          ...{ terminationGracePeriodSeconds: 30, securityContext: {} },
          containers: [{ imagePullPolicy: 'IfNotPresent', resources: {} }],
        },
      },
    });
  });

  const field = (message: string, name: string) => ({ message, field: name });
  const least = 'Invalid value: -1: must be greater than or equal to 0';
  it.each<[string, object, object[]]>([
    [
      'without a template',
      { template: undefined },
      [
        field('Required value', 'spec.template.spec.containers'),
        field('Required value: valid values: "OnFailure", "Never"', 'spec.template.spec.restartPolicy'),
      ],
    ],
    [
      'with numbers below zero',
      { parallelism: -1, completions: -1, activeDeadlineSeconds: -1, backoffLimit: -1, ttlSecondsAfterFinished: -1 },
      ['parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished'].map((name) =>
        field(least, `spec.${name}`),
      ),
    ],
    [
      'with words that it does not know',
      { podReplacementPolicy: 'x', completionMode: 'y' },
      [
        field('Unsupported value: "y": supported values: "NonIndexed", "Indexed"', 'spec.completionMode'),
        field('Unsupported value: "x": supported values: "Failed", "TerminatingOrFailed"', 'spec.podReplacementPolicy'),
      ],
    ],
  ])('%s is refused', async (_how, spec, causes) => {
    const { jobs } = await aPlace();
    const { status, body } = await api.post(jobs, aJob('build', spec));
    expect(status).toBe(422);
    expect(body.details.causes).toMatchObject(causes);
  });

  it('whose name is no label is refused', async () => {
    const { jobs } = await aPlace();
    const { status, body } = await api.post(jobs, aJob('a'.repeat(64)));
    expect(status).toBe(422);
    const message = `Invalid value: "${'a'.repeat(64)}": must be no more than 63 characters`;
    expect(body.details.causes).toMatchObject(
      ['metadata.labels', 'metadata.labels', 'spec.template.labels', 'spec.template.labels'].map((name) =>
        field(message, name),
      ),
    );
  });
});

describe('a suspended Job', () => {
  it('says so and has no pod', async () => {
    const place = await aPlace(succeeds);
    await api.post(place.jobs, aJob('build', { suspend: true }));
    const suspended = await jobThat(place, (answer) => conditionsOf(answer).length > 0);
    expect(conditionsOf(suspended)).toEqual(['Suspended True JobSuspended']);
    expect(statusOf(suspended)).toMatchObject({ ready: 0, terminating: 0, uncountedTerminatedPods: {} });
    expect(statusOf(suspended)).not.toHaveProperty('startTime');
    expect(statusOf(suspended)).not.toHaveProperty('active');
    expect(await podsOf(place)).toEqual([]);
  });

  it('runs when it is resumed', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob('build', { suspend: true }));
    await jobThat(place, (answer) => conditionsOf(answer).length > 0);
    const resumed = await api.merge(`${place.jobs}/build`, { spec: { suspend: false } });
    expect(resumed.body.metadata.generation).toBe(2);
    const [pod] = await podsThat(place, isRunning);
    expect(pod?.metadata).toMatchObject({
      name: expect.stringMatching(/^build-[a-z0-9]{5}$/) as string,
      generateName: 'build-',
      finalizers: ['batch.kubernetes.io/job-tracking'],
      labels: { 'labwright.dev/kind': 'build', 'job-name': 'build' },
      ownerReferences: [
        {
          ...{ apiVersion: 'batch/v1', kind: 'Job', name: 'build', uid: resumed.body.metadata.uid },
          ...{ controller: true, blockOwnerDeletion: true },
        },
      ],
    });
    const running = await jobThat(place, (answer) => statusOf(answer)['ready'] === 1);
    expect(conditionsOf(running)).toEqual(['Suspended False JobResumed']);
    expect(statusOf(running)).toMatchObject({ active: 1, ready: 1, terminating: 0 });
    expect(statusOf(running).startTime).toMatch(/Z$/);
  });

  it('can be placed elsewhere until it has run, and keeps the rest', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob('build', { suspend: true }));
    const at = `${place.jobs}/build`;
    const placed = { spec: { template: { spec: { nodeSelector: { disk: 'fast' } } } } };
    expect(await api.merge(at, placed)).toMatchObject({ status: 200 });
    const immutable = { reason: 'FieldValueInvalid', message: expect.stringContaining('immutable') as string };
    const image = [{ name: 'builder', image: 'registry.example/builder:2' }];
    for (const [change, causes] of [
      [{ template: { spec: { containers: image } } }, [{ ...immutable, field: 'spec.template' }]],
      [{ completions: 2 }, [{ ...immutable, field: 'spec.completions' }]],
    ] as const) {
      const { status, body } = await api.merge(at, { spec: change });
      expect([status, body.details.causes]).toMatchObject([422, causes]);
    }
    await api.merge(at, { spec: { suspend: false } });
    await jobThat(place, (answer) => statusOf(answer)['active'] === 1);
    const moved = await api.merge(at, { spec: { template: { spec: { nodeSelector: { disk: 'slow' } } } } });
    expect([moved.status, moved.body.details.causes]).toMatchObject([422, [{ field: 'spec.template' }]]);
    expect(await api.merge(at, { spec: { activeDeadlineSeconds: 100 } })).toMatchObject({ status: 200 });
  });

  it('that ran loses its pod, does not count it, and begins anew', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob());
    const [first] = await podsThat(place, isRunning);
    await api.merge(`${place.jobs}/build`, { spec: { suspend: true } });
    await podsThat(place, (pods) => pods.length === 0);
    const suspended = await jobThat(place, (answer) => statusOf(answer)['terminating'] === 0);
    expect(conditionsOf(suspended)).toEqual(['Suspended True JobSuspended']);
    expect(statusOf(suspended)).not.toHaveProperty('failed');
    await api.merge(`${place.jobs}/build`, { spec: { suspend: false } });
    const [second] = await podsThat(place, isRunning);
    expect(second?.metadata.uid).not.toBe(first?.metadata.uid);
    const resumed = await jobThat(place, (answer) => statusOf(answer)['ready'] === 1);
    expect(conditionsOf(resumed)).toEqual(['Suspended False JobResumed']);
  });
});

/** The types of conditions, in the order in which a watch has first seen them true. */
async function conditionsUntilOver({ jobs }: Place, job: object): Promise<string[]> {
  const { body } = await api.get(jobs);
  const watching = api.watch(`${jobs}?watch=true&resourceVersion=${body.metadata.resourceVersion}&timeoutSeconds=30`, {
    until: ({ object }) => isOver({ body: object } as Answer),
  });
  await api.post(jobs, job);
  const seen = (await watching).flatMap(({ object }) => conditionsOf({ body: object } as Answer));
  return [...new Set(seen)];
}

describe('a Job ends', () => {
  it('as Complete when its pod has succeeded', async () => {
    const place = await aPlace(succeeds);
    expect(await conditionsUntilOver(place, aJob())).toEqual([
      'SuccessCriteriaMet True CompletionsReached',
      'Complete True CompletionsReached',
    ]);
    const { status } = (await api.get(`${place.jobs}/build`)).body;
    expect(status).toMatchObject({ succeeded: 1, ready: 0, terminating: 0, uncountedTerminatedPods: {} });
    expect(status).toHaveProperty('completionTime');
    expect(status).not.toHaveProperty('active');
    const [pod] = await podsOf(place);
    expect(pod?.status.phase).toBe('Succeeded');
    expect(pod?.metadata).not.toHaveProperty('finalizers');
  });

  it('as Failed when its pod has failed', async () => {
    const place = await aPlace(fails);
    expect(await conditionsUntilOver(place, aJob())).toEqual([
      'FailureTarget True BackoffLimitExceeded',
      'Failed True BackoffLimitExceeded',
    ]);
    const { status } = (await api.get(`${place.jobs}/build`)).body;
    expect(status).toMatchObject({ failed: 1, ready: 0, terminating: 0 });
    expect(status).not.toHaveProperty('completionTime');
    expect((await podsOf(place))[0]?.status.phase).toBe('Failed');
  });

  it('as Failed when its pod is deleted, once the pod is gone', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob());
    const [pod] = await podsThat(place, isRunning);
    await api.delete(`${place.path}/pods/${pod?.metadata.name ?? ''}`);
    const over = await jobThat(place, isOver);
    expect(conditionsOf(over)).toEqual(['FailureTarget True BackoffLimitExceeded', 'Failed True BackoffLimitExceeded']);
    expect(statusOf(over)).toMatchObject({ failed: 1, terminating: 0 });
    expect(await podsOf(place)).toEqual([]);
  });

  it('as Failed when its pod has failed by being deleted, where it waits for that', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob('build', { podReplacementPolicy: 'Failed' }));
    const [pod] = await podsThat(place, isRunning);
    await api.delete(`${place.path}/pods/${pod?.metadata.name ?? ''}`);
    const over = await jobThat(place, isOver);
    expect(conditionsOf(over)).toEqual(['FailureTarget True BackoffLimitExceeded', 'Failed True BackoffLimitExceeded']);
    await podsThat(place, (pods) => pods.length === 0);
  });

  it('as Failed when its pod vanishes', async () => {
    const place = await aPlace({ faults: [{ fault: 'vanish' }] });
    await api.post(place.jobs, aJob('build', { podReplacementPolicy: 'Failed' }));
    const over = await jobThat(place, isOver);
    expect(conditionsOf(over)).toEqual(['FailureTarget True BackoffLimitExceeded', 'Failed True BackoffLimitExceeded']);
    await podsThat(place, (pods) => pods.length === 0);
  });

  it('with its namespace', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob());
    await podsThat(place, isRunning);
    await api.delete(place.path);
    await eventually(
      () => api.get(place.path),
      ({ status }) => status === 404,
    );
  });

  it('as Failed when it has run for too long, and its pod is deleted', async () => {
    const place = await aPlace(hangs);
    await api.post(place.jobs, aJob('build', { activeDeadlineSeconds: 1 }));
    const over = await jobThat(place, isOver);
    expect(conditionsOf(over)).toEqual(['FailureTarget True DeadlineExceeded', 'Failed True DeadlineExceeded']);
    expect(statusOf(over)).toMatchObject({ failed: 1, ready: 0, terminating: 0 });
    expect(await podsOf(place)).toEqual([]);
  });

  it('as Failed also when its pod is on no node', async () => {
    const place = await aPlace();
    await api.post(place.jobs, aJob('build', { activeDeadlineSeconds: 1 }));
    const over = await jobThat(place, isOver);
    expect(conditionsOf(over)).toEqual(['FailureTarget True DeadlineExceeded', 'Failed True DeadlineExceeded']);
    expect(await podsOf(place)).toEqual([]);
  });

  it('and is removed with its pod after a while', async () => {
    const place = await aPlace(succeeds);
    await api.post(place.jobs, aJob('build', { ttlSecondsAfterFinished: 1 }));
    await jobThat(place, ({ status }) => status === 404);
    await podsThat(place, (pods) => pods.length === 0);
  });
});

describe('a Job whose pod is refused', () => {
  it('says so in an event and tries again', async () => {
    const place = await aPlace(succeeds);
    await api.post(`${place.path}/resourcequotas`, { metadata: { name: 'none' }, spec: { hard: { pods: '0' } } });
    await eventually(
      () => api.get(`${place.path}/resourcequotas/none`),
      ({ body }) => body.status.used?.['pods'] === '0',
    );
    // Admission reads quotas from a cache, which may be a moment behind.
    const pod = {
      metadata: { name: 'none' },
      spec: { containers: [{ name: 'none', image: 'registry.example/none:1' }] },
    };
    await eventually(
      () => api.post(`${place.path}/pods?dryRun=All`, pod),
      ({ status, body }) => status === 403 && String(body.message).includes('exceeded quota'),
    );
    await api.post(place.jobs, aJob());
    const { body } = await eventually(
      () => api.get(`${place.path}/events?fieldSelector=reason%3DFailedCreate`),
      ({ body: { items } }) => items.length > 0,
    );
    expect(body.items[0]).toMatchObject({
      ...{ type: 'Warning', reportingComponent: 'job-controller', source: { component: 'job-controller' } },
      involvedObject: { kind: 'Job', name: 'build', apiVersion: 'batch/v1' },
      message: expect.stringMatching(
        /^Error creating: pods "build-[a-z0-9]{5}" is forbidden: exceeded quota/,
      ) as string,
    });
    await api.delete(`${place.path}/resourcequotas/none`);
    await jobThat(place, isOver);
  });
});

describe('what a Job owns', () => {
  async function aRunningJob(): Promise<Place & { pod: string }> {
    const place = await aPlace(hangs);
    const { body } = await api.post(place.jobs, aJob());
    const owner = { apiVersion: 'batch/v1', kind: 'Job', name: 'build', uid: body.metadata.uid };
    await api.post(`${place.path}/secrets`, { metadata: { name: 'build', ownerReferences: [owner] } });
    const [pod] = await podsThat(place, isRunning);
    return { ...place, pod: `${place.path}/pods/${pod?.metadata.name ?? ''}` };
  }

  const isGone = ({ status }: Answer) => status === 404;

  it('stays behind when the Job is deleted without a word', async () => {
    const { jobs, pod, path } = await aRunningJob();
    const { status, body } = await api.delete(`${jobs}/build`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ kind: 'Job', metadata: { finalizers: ['orphan'], deletionGracePeriodSeconds: 0 } });
    await eventually(() => api.get(`${jobs}/build`), isGone);
    const orphan = await api.get(pod);
    expect(orphan.body.status.phase).toBe('Running');
    expect(orphan.body.metadata).not.toHaveProperty('ownerReferences');
    expect(orphan.body.metadata).not.toHaveProperty('finalizers');
    expect((await api.get(`${path}/secrets/build`)).body.metadata).not.toHaveProperty('ownerReferences');
  });

  it('goes after the Job with Background', async () => {
    const { jobs, pod, path } = await aRunningJob();
    const { body } = await api.delete(`${jobs}/build`, { propagationPolicy: 'Background' });
    expect(body).toMatchObject({
      ...{ kind: 'Status', status: 'Success' },
      details: { name: 'build', group: 'batch', kind: 'jobs' },
    });
    expect(await api.get(`${jobs}/build`)).toMatchObject({ status: 404 });
    await eventually(() => api.get(pod), isGone);
    await eventually(() => api.get(`${path}/secrets/build`), isGone);
  });

  it('goes before the Job with Foreground', async () => {
    const { jobs, pod, path } = await aRunningJob();
    const { body } = await api.delete(`${jobs}/build?propagationPolicy=Foreground`);
    expect(body).toMatchObject({ kind: 'Job', metadata: { finalizers: ['foregroundDeletion'] } });
    await eventually(() => api.get(`${jobs}/build`), isGone);
    expect(await api.get(pod)).toMatchObject({ status: 404 });
    await eventually(() => api.get(`${path}/secrets/build`), isGone);
  });

  it('and belongs to nobody any more when another Job has the name goes too', async () => {
    const place = await aPlace();
    const owner = { apiVersion: 'batch/v1', kind: 'Job', name: 'build', uid: 'f3b1a5f6-0000-4000-8000-000000000000' };
    await api.post(place.jobs, aJob('build', { suspend: true }));
    await api.post(`${place.path}/secrets`, { metadata: { name: 'left', ownerReferences: [owner] } });
    await eventually(() => api.get(`${place.path}/secrets/left`), isGone);
  });

  it('a word about it that is not known is refused', async () => {
    const { jobs } = await aPlace();
    await api.post(jobs, aJob('build', { suspend: true }));
    expect(await api.delete(`${jobs}/build`, { propagationPolicy: 'Sideways' })).toMatchObject({ status: 422 });
  });
});
