import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BuildPodBuilder } from '../../../../../src/builder/build/build-pod-builder.ts';
import { BUILD_SERVICE_ACCOUNT } from '../../../../../src/domain/build/build-service-account.ts';
import type { BuildSpec } from '../../../../../src/domain/build/build.ts';
import { BuildCache } from '../../../../../src/reconcile/builds/executors/kubernetes/build-cache.ts';
import {
  KueueExecutor,
  LocalExecutor,
} from '../../../../../src/reconcile/builds/executors/kubernetes/local-executor.ts';
import type { Kubelet } from '../../../../../sandbox/index.ts';
import { KubeClient } from '../../../../../src/storage/kubernetes/kube-client.ts';
import { Jobs, Namespaces, Pods, Secrets, ServiceAccounts } from '../../../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../../../support/cluster.ts';
import { admitNoPods } from '../../../support/admit-no-pods.ts';
import { until } from '../../../support/until.ts';
import { buildsConfig, buildSpec, NO_SECRETS } from '../../docker-executor-support.ts';
import { Gate } from '../../gate.ts';

let cluster: TestCluster;
let kubelet: Kubelet;
let gate: Gate;
let client: KubeClient;
let namespace: string;
let cache: BuildCache;
let halt: AbortController;
let working: Promise<void>;
const config = buildsConfig();

beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster.close();
});
beforeEach(async () => {
  namespace = cluster.uniqueName('builds');
  gate = new Gate();
  client = new KubeClient({ connection: cluster.connection() });
  await client.create(Namespaces, { metadata: { name: namespace } });
  await client.create(ServiceAccounts, { metadata: { name: BUILD_SERVICE_ACCOUNT, namespace } });
  kubelet = await cluster.startKubelet({ namespacePrefix: namespace, builds: () => gate.script({ push: false }) });
  const logger = pino({ level: 'silent' });
  cache = new BuildCache({ client, controller: 'hub', namespace, logger, onChange: () => undefined });
  halt = new AbortController();
  working = cache.run(halt.signal);
  await cache.synced;
});
afterEach(async () => {
  gate.end();
  halt.abort();
  await working;
  await kubelet.close();
});

function anExecutor(Executor = LocalExecutor): LocalExecutor {
  const builder = new BuildPodBuilder(config, { controller: 'hub', namespace });
  const scope = { client, controller: 'hub', namespace, logger: pino({ level: 'silent' }) };
  return new Executor({ name: 'home', capacity: Infinity, scope, cache, builder });
}

/** The intent of a build, as a request has left it. */
async function anIntent(): Promise<BuildSpec> {
  const spec = buildSpec('notebooks');
  const builder = new BuildPodBuilder(config, { controller: 'hub', namespace });
  cache.observeJob(await client.create(Jobs, builder.buildJob(spec, { suspend: true, interestExpiresAt: 0 })));
  return spec;
}

const jobOf = ({ id }: BuildSpec) => client.get(Jobs, { namespace, name: `build-${id}` });
const secretOf = ({ id }: BuildSpec) => client.get(Secrets, { namespace, name: `build-${id}` });
const pods = async () => (await client.list(Pods, { namespace })).items;

async function untilStage(executor: LocalExecutor, { id }: BuildSpec, stage: string): Promise<void> {
  await until(`the build is ${stage}`, () => executor.observe(id)?.stage === stage);
}

describe('starting a build at home', () => {
  it('twice, also in the same moment, is starting it once', async () => {
    const [executor, spec] = [anExecutor(), await anIntent()];
    await Promise.allSettled([executor.start(spec, NO_SECRETS), executor.start(spec, NO_SECRETS)]);
    await untilStage(executor, spec, 'running');
    await executor.start(spec, NO_SECRETS);
    expect(await pods()).toHaveLength(1);
    expect((await client.list(Secrets, { namespace })).items).toHaveLength(1);
  });

  it('replaces the Secret of a Job before it, which is not there any more', async () => {
    const [executor, spec] = [anExecutor(), await anIntent()];
    const owner = { apiVersion: 'batch/v1', kind: 'Job', name: `build-${spec.id}`, uid: 'of-before' };
    await client.create(Secrets, {
      metadata: { name: `build-${spec.id}`, namespace, ownerReferences: [owner] },
      data: { 'config.json': 'b2xk' },
    });
    await executor.start(spec, { dockerConfig: '{}', git: {} });
    const secret = await secretOf(spec);
    expect(secret?.metadata?.ownerReferences?.[0]?.uid).toBe((await jobOf(spec))?.metadata?.uid);
    expect(secret?.data).toEqual({ 'config.json': Buffer.from('{}').toString('base64') });
  });

  it('leaves it to Kueue to release it, with its Secret there before', async () => {
    const [executor, spec] = [anExecutor(KueueExecutor), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    expect(await secretOf(spec)).toBeDefined();
    expect((await jobOf(spec))?.spec?.suspend).toBe(true);
    expect(executor.observe(spec.id)).toBeUndefined();
  });

  it('tells at once when the rules of the cluster do not admit its pod', async () => {
    await admitNoPods(client, namespace);
    const [executor, spec] = [anExecutor(), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    await until('it is said', () => executor.observe(spec.id)?.trouble?.reason === 'AdmissionDenied');
    expect(executor.observe(spec.id)).toMatchObject({ stage: 'waiting', end: null });
  });
});

describe('stopping a build at home', () => {
  it('that waits removes its Secret and leaves its Job', async () => {
    const [executor, spec] = [anExecutor(), await anIntent()];
    await executor.stop(spec);
    expect((await jobOf(spec))?.spec?.suspend).toBe(true);
    expect(await secretOf(spec)).toBeUndefined();
  });

  it('that runs ends its pod, and the Job makes no other', async () => {
    const [executor, spec] = [anExecutor(), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    await untilStage(executor, spec, 'running');
    await executor.stop(spec);
    await until('its pod is gone', async () => (await pods()).length === 0);
    expect((await jobOf(spec))?.spec?.suspend).toBe(true);
    expect(await secretOf(spec)).toBeUndefined();
    await executor.stop(spec);
  });

  it('that has ended removes its Secret and leaves the pod with its log', async () => {
    const [executor, spec] = [anExecutor(), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    gate.end();
    await untilStage(executor, spec, 'ended');
    await executor.stop(spec);
    expect(await pods()).toHaveLength(1);
    expect((await jobOf(spec))?.spec?.suspend).toBe(false);
    expect(await secretOf(spec)).toBeUndefined();
  });

  it('with Kueue before it is admitted removes its Job, since Kueue would release it', async () => {
    const [executor, spec] = [anExecutor(KueueExecutor), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    await executor.stop(spec);
    expect(await jobOf(spec)).toBeUndefined();
  });

  it('with Kueue while it runs ends its pod and does not touch what Kueue owns', async () => {
    const [executor, spec] = [anExecutor(KueueExecutor), await anIntent()];
    await executor.start(spec, NO_SECRETS);
    await client.patch(Jobs, { namespace, name: `build-${spec.id}` }, { spec: { suspend: false } });
    await untilStage(executor, spec, 'running');
    await executor.stop(spec);
    await until('its pod is gone', async () => (await pods()).length === 0);
    expect((await jobOf(spec))?.spec?.suspend).toBe(false);
  });
});

describe('a clean-up that comes late', () => {
  it('does not reach the next attempt at the same build', async () => {
    const [late, first] = [anExecutor(), await anIntent()];
    await late.start(first, NO_SECRETS);
    await untilStage(late, first, 'running');
    let isHeld = false;
    cluster.proxy.onCall = (_n, { verb, resource }) => {
      if (isHeld || verb !== 'patch' || resource !== 'jobs') return 'pass';
      isHeld = true;
      return 'hold-before';
    };
    const cleanUp = late.stop(first);
    const held = await cluster.proxy.nextHeld(10_000);
    // Meanwhile another replica cleans up, and the same is asked for again.
    const ref = { namespace, name: `build-${first.id}` };
    await cluster.client.delete(Jobs, ref, { propagationPolicy: 'Background' });
    await until('the first is gone', async () => (await jobOf(first)) === undefined && (await pods()).length === 0);
    await until('its Secret is gone', async () => (await secretOf(first)) === undefined);
    const second = { ...first, createdAt: first.createdAt + 1 };
    const builder = new BuildPodBuilder(config, { controller: 'hub', namespace });
    cache.observeJob(await client.create(Jobs, builder.buildJob(second, { suspend: true, interestExpiresAt: 0 })));
    const other = anExecutor();
    await other.start(second, NO_SECRETS);
    await untilStage(other, second, 'running');
    held.release();
    await cleanUp;
    await late.stop(first);
    expect((await jobOf(second))?.spec?.suspend).toBe(false);
    expect(await secretOf(second)).toBeDefined();
    expect((await pods()).filter(({ metadata }) => metadata?.deletionTimestamp === undefined)).toHaveLength(1);
    await other.stop(second);
    await until('its pod is gone', async () => (await pods()).length === 0);
  });
});
