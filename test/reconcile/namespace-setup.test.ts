import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { BuildPodBuilder } from '../../src/builder/build/build-pod-builder.ts';
import { AlwaysLeader } from '../../src/reconcile/leader.ts';
import { Manager } from '../../src/reconcile/manager.ts';
import { NamespaceSetup } from '../../src/reconcile/namespace-setup.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, NetworkPolicies, ServiceAccounts } from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { until } from './support/until.ts';
import { buildsConfig } from './builds/docker-executor-support.ts';

let cluster: TestCluster;
const closing: (() => Promise<void>)[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  cluster.proxy.onCall = () => 'pass';
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await cluster.close();
});

/** One of a replica that is not the leader. */
function aFollower(namespace: string): NamespaceSetup {
  const logger = pino({ level: 'silent' });
  const builder = new BuildPodBuilder(buildsConfig(), { controller: 'hub', namespace });
  const client = new KubeClient({ connection: cluster.connection() });
  const objects = () => builder.buildNamespaceObjects();
  const provided = new NamespaceSetup({ name: 'build-namespace', client, objects, logger, maxDelayMs: 50 });
  const stop = new AbortController();
  const election = Object.assign(new AlwaysLeader(), { run: () => Promise.resolve() });
  const running = new Manager({ logger, election }).addController(provided.controller).run(stop.signal);
  closing.push(() => {
    stop.abort();
    return running;
  });
  return provided;
}

it('is provided by a replica that does not lead, after what failed, and again when it was found missing', async () => {
  const name = cluster.uniqueName('builds');
  let refused = 0;
  cluster.proxy.onCall = (_n, { resource }) => {
    if (resource !== 'networkpolicies' || refused === 2) return 'pass';
    refused += 1;
    return { status: 500, message: 'no' };
  };
  const provided = aFollower(name);
  expect(provided.isProvisioned).toBe(false);
  await provided.provisioned;
  expect(refused).toBe(2);
  const { client } = cluster;
  expect(await client.get(ServiceAccounts, { namespace: name, name: 'labwright-build' })).toBeDefined();
  const policies = await client.list(NetworkPolicies, { namespace: name });
  const [policy] = policies.items;
  await client.delete(NetworkPolicies, { namespace: name, name: policy?.metadata?.name ?? '' });
  provided.applyAgain();
  expect(provided.isProvisioned).toBe(false);
  await until('it is provided again', () => provided.isProvisioned);
  expect((await client.list(NetworkPolicies, { namespace: name })).items).toHaveLength(1);
});

it('is left as it is where there is no right to make it', async () => {
  const name = cluster.uniqueName('builds');
  await cluster.client.create(Namespaces, { metadata: { name } });
  cluster.proxy.onCall = (_n, { resource }) =>
    resource === 'namespaces' ? { status: 403, reason: 'Forbidden', message: 'no' } : 'pass';
  const provided = aFollower(name);
  await provided.provisioned;
  expect(await cluster.client.get(ServiceAccounts, { namespace: name, name: 'labwright-build' })).toBeDefined();
});
