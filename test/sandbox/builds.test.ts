import { randomBytes } from 'node:crypto';
import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Fault, Kubelet } from '../../sandbox/index.ts';
import { type SandboxRegistry, startRegistry } from '../../sandbox/registry/index.ts';
import { Namespaces, Pods, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { canary } from '../support/canary.ts';
import { startCluster, type TestCluster, type TestKubeletOptions } from '../support/cluster.ts';
import { askAgain } from '../support/wait-for.ts';

let cluster: TestCluster;
let registry: SandboxRegistry;
const user = 'builder';
const password = canary(randomBytes(12).toString('hex'));
const kubelets: Kubelet[] = [];

beforeAll(async () => {
  cluster = await startCluster();
  registry = await startRegistry({ access: { kind: 'basic', username: user, password } });
});
afterEach(async () => {
  await Promise.all(kubelets.splice(0).map((kubelet) => kubelet.close()));
});
afterAll(async () => {
  await registry.close();
  await cluster.close();
});

interface Build {
  /** Waits until the pod is over, or as wanted; undefined when it is gone. */
  pod(isWanted?: (pod: V1Pod | undefined) => boolean): Promise<V1Pod | undefined>;
  log(): Promise<string>;
  readonly image: string;
  /** What the registry has under the image's name. */
  digest(): string | undefined;
}

const isOver = (pod: V1Pod | undefined) => ['Failed', 'Succeeded'].includes(pod?.status?.phase ?? '');

/** A build in a namespace of its own, with credentials for the registry. */
async function aBuild(options: TestKubeletOptions & { deadline?: number } = {}): Promise<Build> {
  const { deadline, ...more } = options;
  const namespace = cluster.uniqueName('builds');
  const { client } = cluster;
  const ref = { namespace, name: 'build-1' };
  const image = `${registry.host}/labs/${namespace}:1`;
  await client.create(Namespaces, { metadata: { name: namespace } });
  const auth = Buffer.from(`${user}:${password}`).toString('base64');
  const config = Buffer.from(JSON.stringify({ auths: { [registry.host]: { auth } } })).toString('base64');
  await client.create(Secrets, { metadata: ref, data: { 'config.json': config } });
  kubelets.push(await cluster.startKubelet({ namespacePrefix: namespace, ...more }));
  const labels = { 'labwright.dev/kind': 'build', 'labwright.dev/build-id': namespace, 'labwright.dev/user': 'ada' };
  await client.create(Pods, {
    metadata: { ...ref, labels },
    spec: {
      restartPolicy: 'Never',
      ...(deadline === undefined ? {} : { activeDeadlineSeconds: deadline }),
      containers: [{ name: 'builder', image: 'builder:1', env: [{ name: 'LABWRIGHT_IMAGE', value: image }] }],
      volumes: [{ name: 'secrets', secret: { secretName: 'build-1' } }],
    },
  });
  return {
    image,
    digest: () => registry.digestOf(`labs/${namespace}`, '1'),
    pod: (isWanted = isOver) =>
      askAgain({
        ask: () => client.get(Pods, ref),
        isWanted,
        timeoutMs: 10_000,
        intervalMs: 5,
        complaint: (pod) => `The pod is ${pod?.status?.phase ?? 'gone'}`,
      }),
    async log() {
      const signal = AbortSignal.timeout(10_000);
      const log = await client.podLog(ref, { container: 'builder', follow: true, timestamps: false, signal });
      return Buffer.concat(await log.toArray()).toString();
    },
  };
}

const exitOf = (pod: V1Pod | undefined) => pod?.status?.containerStatuses?.[0]?.state?.terminated;

interface Line {
  readonly message: string;
  readonly phase?: string;
}

const linesOf = (log: string) =>
  log
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

describe('a build of the sandbox', () => {
  it('plays what repo2docker wrote, pushes with the credentials of its pod, and succeeds', async () => {
    const build = await aBuild();
    expect(exitOf(await build.pod())).toMatchObject({ exitCode: 0, reason: 'Completed' });
    const lines = linesOf(await build.log());
    expect([...new Set(lines.map(({ phase }) => phase))]).toEqual([undefined, 'fetching', 'building', 'pushing']);
    expect(lines.map(({ message }) => message)).toContain(`Successfully tagged ${build.image}\n`);
    expect(build.digest()).toMatch(/^sha256:/);
  });

  it.each<[Fault['fault'], object, RegExp]>([
    ['buildFails', { exitCode: 1, reason: 'Error' }, /No matching distribution found/],
    ['pushFails', { exitCode: 1, reason: 'Error' }, /authentication required/],
  ])('with the fault %s says why and fails', async (fault, exit, why) => {
    const build = await aBuild({ faults: [{ fault }] });
    const pod = await build.pod();
    expect(pod?.status?.phase).toBe('Failed');
    expect(exitOf(pod)).toMatchObject(exit);
    const lines = linesOf(await build.log());
    expect(lines.map(({ message }) => message).join('')).toMatch(why);
    expect(lines.at(-1)?.phase).toBe('failed');
    expect(build.digest()).toBeUndefined();
  });

  it.each<[Fault, object, number]>([
    [{ fault: 'oom' }, {}, 137],
    [{ fault: 'evict' }, { reason: 'Evicted' }, 137],
    [{ fault: 'crash', exitCode: 9 }, {}, 9],
  ])('with the fault $fault ends half-way', async (fault, status, exitCode) => {
    const build = await aBuild({ faults: [fault] });
    const pod = await build.pod();
    expect(pod?.status).toMatchObject({ phase: 'Failed', ...status });
    expect(exitOf(pod)?.exitCode).toBe(exitCode);
    expect(linesOf(await build.log()).at(-1)?.phase).toBe('building');
  });

  it('with the fault vanish is gone', async () => {
    const build = await aBuild({ faults: [{ fault: 'vanish' }] });
    expect(await build.pod((pod) => pod === undefined)).toBeUndefined();
  });

  it('with the fault silent runs and writes nothing, until its time is over', async () => {
    const build = await aBuild({ faults: [{ fault: 'silent' }], deadline: 1 });
    await build.pod((pod) => pod?.status?.phase === 'Running');
    expect(await build.log()).toBe('');
    const message = 'Pod was active on the node longer than the specified deadline';
    expect((await build.pod())?.status).toMatchObject({ phase: 'Failed', reason: 'DeadlineExceeded', message });
  });

  it('is hit by faults for builds of its user, and not by those for labs', async () => {
    const faults: Fault[] = [
      { fault: 'fail', match: { kind: 'lab' } },
      { fault: 'buildFails', match: { username: 'bob' } },
    ];
    const spared = await aBuild({ faults });
    expect((await spared.pod())?.status?.phase).toBe('Succeeded');
    const hit = await aBuild({ faults: [{ fault: 'buildFails', match: { username: 'ada', kind: 'build' } }] });
    expect((await hit.pod())?.status?.phase).toBe('Failed');
  });

  it('can be over before it was seen to run', async () => {
    const build = await aBuild({ builds: () => ({ lines: ['no'], exitCode: 2, exitBeforeRunning: true }) });
    const pod = await build.pod((seen) => seen?.status?.phase !== 'Pending');
    expect(pod?.status?.phase).toBe('Failed');
    expect(await build.log()).toBe('no\n');
  });
});
