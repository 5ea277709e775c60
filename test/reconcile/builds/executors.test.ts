import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { connectAll } from '../../../src/app/build-executors.ts';
import type { BuildEvent } from '../../../src/domain/build/build.ts';
import {
  Jobs,
  Namespaces,
  NetworkPolicies,
  Secrets,
  ServiceAccounts,
} from '../../../src/storage/kubernetes/resources.ts';
import { canary } from '../../support/canary.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import type { Fault, OnCall } from '../../support/fault-proxy.ts';
import { until } from '../support/until.ts';
import { executorsOf, home, OtherCluster } from './executors-support.ts';
import { Gate, said } from './gate.ts';
import { aRepository, BuildSetting, type BuildSettingOptions } from './setting.ts';

let cluster: TestCluster;
let other: OtherCluster;
let setting: BuildSetting;
/** What builds do in the other cluster, and at home. */
let there: Gate;
let here: Gate;
let doesPush: boolean;

beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  there.end();
  here.end();
  other.comeBack();
  await setting.close();
  await other.close();
});
afterAll(async () => {
  await cluster.close();
});

/** The other cluster first, then this one. */
async function set(options: BuildSettingOptions & { sweepMs?: number; onCall?: OnCall } = {}): Promise<void> {
  there = new Gate();
  here = new Gate();
  doesPush = true;
  other = await OtherCluster.start(() => there.script({ push: doesPush }));
  other.cluster.proxy.onCall = options.onCall ?? (() => 'pass');
  setting = await BuildSetting.create(cluster, {
    executors: executorsOf(other.executor(Infinity, options.sweepMs), home()),
    scripts: () => here.script(),
    quarantineMs: 200,
    ...options,
  });
}

/** The other cluster is seen: builds go there first. */
async function untilReady(): Promise<void> {
  await until('the other cluster is ready', () => setting.nth(0).pool.places()[0]?.name === 'other');
}

function aPlugin(script: string) {
  return { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] };
}

function kubeconfig(user: object, server = 'http://127.0.0.1:1'): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'there',
    clusters: [{ name: 'there', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'me', user }],
    contexts: [{ name: 'there', context: { cluster: 'there', user: 'me' } }],
  });
}

/** What happens to the next call of this kind to the other cluster. */
function once(verb: string, resource: string, fault: Fault): void {
  let isOver = false;
  other.cluster.proxy.onCall = (_, request) => {
    if (isOver || request.verb !== verb || request.resource !== resource) return 'pass';
    isOver = true;
    return fault;
  };
}

function terminal(events: readonly BuildEvent[]): BuildEvent[] {
  return events.filter(({ type }) => type === 'ready' || type === 'failed' || type === 'cancelled');
}

function textOf(events: readonly BuildEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'log' ? [event.text] : []));
}

async function untilRuns(id: string): Promise<void> {
  await setting.untilPhase(id, 'fetching');
}

describe('a build in another cluster', () => {
  it('runs there with its Secret, is read from there, and leaves nothing there', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    const reading = setting.events(spec.id);
    await untilRuns(spec.id);
    const [secret] = await other.secrets();
    const [copy] = await other.jobs();
    expect(secret?.metadata?.ownerReferences?.[0]?.uid).toBe(copy?.metadata?.uid);
    expect(Object.keys(secret?.data ?? {})).toEqual(['config.json', 'git-credentials']);
    expect((await setting.jobs())[0]?.spec?.suspend).toBe(true);
    expect(
      await cluster.client.get(Secrets, { namespace: setting.namespace, name: `build-${spec.id}` }),
    ).toBeUndefined();
    there.write(said('far'), said('away'));
    there.end();
    const events = await reading;
    expect(textOf(events)).toEqual(['far\n', 'away\n']);
    expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
    await until('nothing is left there', () => other.isEmpty());
    expect(await setting.pods()).toEqual([]);
  });

  it('fails for the reason that it has there, where there is no other', async () => {
    await set({ executors: (each) => executorsOf(other.executor())(each) });
    await untilReady();
    await other.admitNoPods();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'failed', reason: 'AdmissionDenied' }]);
    await until('nothing is left there', () => other.isEmpty());
  });

  it('stands on the same ground as at home', async () => {
    await set();
    await untilReady();
    const { client } = other.cluster;
    const { namespace } = other;
    const found = await client.get(Namespaces, { name: namespace });
    expect(found?.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'baseline' });
    expect(await client.get(ServiceAccounts, { namespace, name: 'labwright-build' })).toBeDefined();
    expect((await client.list(NetworkPolicies, { namespace })).items).toHaveLength(1);
  });

  it('does not begin there before that ground is laid, and others carry on meanwhile', async () => {
    const refuse: OnCall = (_, { resource }) =>
      resource === 'networkpolicies' ? { status: 403, reason: 'Forbidden', message: 'no' } : 'pass';
    await set({ onCall: refuse });
    const message = 'its namespace of builds is not prepared yet';
    await until('it is said what is missing', () => setting.builds.outages()[0]?.message === message);
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    expect(await other.jobs()).toEqual([]);
  });

  it.each([
    ['a kubeconfig that is not there', undefined],
    ['a kubeconfig that is none', 'users: ['],
    ['a kubeconfig without a context', JSON.stringify({ clusters: [], users: [], contexts: [] })],
    ['a plugin that fails', kubeconfig({ exec: aPlugin(`echo ${canary('plugin')} >&2; exit 1`) })],
    ['a plugin that is not there', kubeconfig({ exec: { ...aPlugin(''), command: '/none/such' } })],
    ['a plugin that says nothing of use', kubeconfig({ exec: aPlugin(`echo ${canary('plugin')}`) })],
  ])('waits for its credentials, and all others carry on: %s', async (_what, text) => {
    const folder = await mkdtemp(join(tmpdir(), 'labwright-executors-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'kubeconfig');
    if (text !== undefined) await writeFile(file, text);
    const executor = { kind: 'kubernetes', name: 'other', kubeconfig: file, namespace: 'builds' } as const;
    const connection = connectAll([executor]).get('other');
    if (connection === undefined) throw new Error('there is no connection');
    onTestFinished(() => connection.close());
    await set({ executors: (each) => executorsOf(other.executor(Infinity, undefined, connection), home())(each) });
    const message = 'its credentials cannot be had';
    await until('it is said what is missing', () => setting.builds.outages()[0]?.message === message);
    await until('the log says so', () => setting.log.some((line) => /the kubeconfig .*will retry/i.test(line)));
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    await writeFile(file, kubeconfig({ token: other.cluster.token }, other.cluster.server));
    await untilReady();
    there.end();
    const repository = aRepository('ada/second');
    const { spec } = await setting.request({ repository });
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
    await until('nothing is left there', () => other.isEmpty());
    expect(await setting.pods()).toHaveLength(1);
  });

  it('that waits begins when the cluster is first seen', async () => {
    await set({ onCall: () => 'reset-before', executors: (each) => executorsOf(other.executor())(each) });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'queued');
    expect(setting.builds.outages()).toMatchObject([{ executor: 'other' }]);
    other.comeBack();
    there.end();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
    expect(setting.builds.outages()).toEqual([]);
  });
});

describe('a cluster that cannot start builds', () => {
  it('is left alone and said so, the next one takes them, and it comes back', async () => {
    await set();
    await untilReady();
    other.cutOff();
    const { spec } = await setting.request();
    await until('it is quarantined', () => setting.builds.outages()[0]?.executor === 'other');
    expect(setting.builds.outages()[0]?.message).toBe('other cannot start builds: its API does not answer');
    expect(setting.log.join('')).toContain('an executor cannot start builds');
    here.end();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
    other.comeBack();
    await untilReady();
    const again = await setting.request({ repository: aRepository('ada/again') });
    await untilRuns(again.spec.id);
    expect(await other.jobs()).toHaveLength(1);
    expect(setting.log.join('')).toContain('an executor starts builds again');
    there.end();
    expect(terminal(await setting.events(again.spec.id))).toMatchObject([{ type: 'ready' }]);
  });

  it('because it admits no such Job is passed over', async () => {
    await set();
    await untilReady();
    once('create', 'jobs', {
      status: 403,
      reason: 'Forbidden',
      message: 'jobs.batch is forbidden: exceeded quota: few',
    });
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    expect(await other.jobs()).toEqual([]);
  });

  it('because it admits no pod of it is passed over', async () => {
    await set();
    await untilReady();
    await other.admitNoPods();
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    await until('nothing is left there', () => other.isEmpty());
    expect(await setting.pods()).toHaveLength(1);
  });

  it('since its namespace was deleted gets it anew', async () => {
    await set();
    await untilReady();
    await other.cluster.client.delete(Namespaces, { name: other.namespace });
    await until('it is gone', async () => {
      return (await other.cluster.client.get(Namespaces, { name: other.namespace })) === undefined;
    });
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    await until('it is there again', async () => {
      return (await other.cluster.client.get(Namespaces, { name: other.namespace })) !== undefined;
    });
    await untilReady();
  });
});

describe('what was started in another cluster', () => {
  it('is found there again after a restart', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    await setting.restart();
    there.write(said('on'));
    there.end();
    const events = await setting.events(spec.id);
    expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
    expect(textOf(events)).toEqual(['on\n']);
    expect(await setting.pods()).toEqual([]);
  });

  it('is waited for when that cluster is away after a restart, and not begun twice', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    const [pod] = await other.pods();
    other.cutOff();
    await setting.restart();
    await setting.untilPhase(spec.id, 'starting');
    there.end();
    other.comeBack();
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'ready' }]);
    expect(setting.state(spec.id)).toMatchObject({ phase: 'ready' });
    expect(await setting.pods()).toEqual([]);
    expect(pod?.metadata?.name).toContain(spec.id);
  });

  it('goes on while that cluster is away', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    const reading = setting.events(spec.id);
    await untilRuns(spec.id);
    there.write(said('before'));
    other.cutOff();
    there.write(said('meanwhile'));
    there.end();
    await until('the Job is complete', async () => (await other.jobs())[0]?.status?.succeeded === 1);
    other.comeBack();
    const events = await reading;
    expect(textOf(events)).toEqual(['before\n', 'meanwhile\n']);
    expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
  });

  it('fails when somebody deletes its Job there, and is not begun again', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    await other.cluster.client.delete(Jobs, { namespace: other.namespace, name: `build-${spec.id}` });
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'failed', reason: 'DeletedExternally' }]);
    expect(await other.jobs()).toEqual([]);
    expect(await setting.pods()).toEqual([]);
  });

  it('is removed when that cluster is back, if it was cancelled meanwhile', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    other.cutOff();
    await setting.builds.cancel(spec.id, 'ada');
    expect(terminal(await setting.events(spec.id))).toMatchObject([{ type: 'cancelled' }]);
    expect(await other.jobs()).toHaveLength(1);
    other.comeBack();
    await until('nothing is left there', () => other.isEmpty());
  });

  it('gives its place back after a while, and is removed when that cluster is back', async () => {
    await set({ config: { queue: { running: 1 }, retention: '1s' } });
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    other.cutOff();
    await setting.builds.cancel(spec.id, 'ada');
    await setting.events(spec.id);
    const job = { namespace: setting.namespace, name: `build-${spec.id}` };
    // As if it had ended long ago.
    const result = JSON.stringify({ status: 'cancelled', reason: 'Cancelled', message: 'It was.', at: 0 });
    await cluster.client.patch(Jobs, job, { metadata: { annotations: { 'labwright.dev/result': result } } });
    await until('its Job is gone', async () => (await cluster.client.get(Jobs, job)) === undefined);
    here.end();
    expect(terminal(await setting.build({ repository: aRepository('ada/next') }))).toMatchObject([{ type: 'ready' }]);
    other.comeBack();
    await until('nothing is left there', () => other.isEmpty());
  });
});

describe('a build that was started although the call failed', () => {
  it('is ended there and runs elsewhere, once', async () => {
    await set({ quarantineMs: 60_000 });
    await untilReady();
    other.cluster.proxy.onCall = (_, { verb, resource }) =>
      verb === 'patch' && resource === 'jobs' ? 'reset-after' : 'pass';
    const { spec } = await setting.request();
    await until('it runs at home', async () => (await setting.pods()).length === 1);
    await until('nothing is left there', () => other.isEmpty());
    here.write(said('home'));
    here.end();
    const events = await setting.events(spec.id);
    expect(textOf(events)).toEqual(['home\n']);
    expect(terminal(events)).toMatchObject([{ type: 'ready' }]);
  });

  it('is not held up by what cannot be ended there', async () => {
    await set({ quarantineMs: 60_000 });
    await untilReady();
    let isReleased = false;
    other.cluster.proxy.onCall = (_, { verb, resource }) => {
      if (verb === 'patch' && resource === 'jobs') {
        isReleased = true;
        return 'reset-after';
      }
      return isReleased && verb === 'delete' ? 'reset-before' : 'pass';
    };
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    expect(await other.jobs()).toHaveLength(1);
    other.comeBack();
    await until('nothing is left there', () => other.isEmpty());
  });

  it('leaves nothing there when it was never released', async () => {
    await set({ sweepMs: 100, quarantineMs: 60_000 });
    await untilReady();
    once('create', 'secrets', { status: 500, message: 'no' });
    here.end();
    expect(terminal(await setting.build())).toMatchObject([{ type: 'ready' }]);
    await until('nothing is left there', () => other.isEmpty());
  });
});

describe('what others have in a shared cluster', () => {
  it('is neither taken for one’s own nor removed, whatever it is called', async () => {
    await set();
    await untilReady();
    const { spec } = await setting.request();
    await untilRuns(spec.id);
    const [copy] = await other.jobs();
    // Another installation of the same name, in a cluster of its own, builds the same.
    const labels = { ...copy?.metadata?.labels, 'labwright.dev/controller': `${setting.controllerNamespace}-0` };
    await setting.builds.cancel(spec.id, 'ada');
    await until('nothing is left there', () => other.isEmpty());
    const { name = '', namespace = '', annotations = {} } = copy?.metadata ?? {};
    const { spec: pod } = copy?.spec?.template ?? {};
    const template = pod === undefined ? {} : { spec: pod };
    const foreign = await other.cluster.client.create(Jobs, {
      metadata: { name, namespace, labels, annotations },
      spec: { suspend: true, template },
    });
    await until('the first is over', () => setting.builds.get(spec.id)?.phase === 'cancelled');
    const events = await setting.build();
    expect(terminal(events)).toMatchObject([{ type: 'failed', reason: 'NameTaken' }]);
    await setting.restart();
    await untilReady();
    expect((await other.jobs()).map(({ metadata }) => metadata?.uid)).toEqual([foreign.metadata?.uid]);
  });

  it('is nothing of an earlier attempt of the same build', async () => {
    await set({ quarantineMs: 50, executors: (each) => executorsOf(other.executor())(each) });
    await untilReady();
    doesPush = false;
    const first = await setting.request();
    await untilRuns(first.spec.id);
    // Its clean-up fails for long; what it has left there has ended well.
    other.cluster.proxy.onCall = (_, { verb }) => (verb === 'delete' ? { status: 500, message: 'no' } : 'pass');
    await setting.builds.cancel(first.spec.id, 'ada');
    await setting.events(first.spec.id);
    const job = { namespace: setting.namespace, name: `build-${first.spec.id}` };
    const result = JSON.stringify({ status: 'cancelled', reason: 'Cancelled', message: 'It was.', at: 0 });
    await cluster.client.patch(Jobs, job, { metadata: { annotations: { 'labwright.dev/result': result } } });
    there.end();
    await until('it has ended there', async () => (await other.jobs())[0]?.status?.succeeded === 1);
    const [before] = await other.jobs();
    [there, doesPush] = [new Gate(), true];
    const second = await setting.request();
    expect(second.spec.id).toBe(first.spec.id);
    other.comeBack();
    await until('another runs there', async () => {
      const [now] = await other.jobs();
      return now !== undefined && now.metadata?.uid !== before?.metadata?.uid;
    });
    there.write(said('second'));
    there.end();
    const events = await setting.events(second.spec.id);
    expect(textOf(events)).toEqual(['second\n']);
  });
});
