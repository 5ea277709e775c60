import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Installation } from '../../../../src/reconcile/builds/executors/installation.ts';
import { KubeClient } from '../../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../../support/cluster.ts';
import { until } from '../../support/until.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster.close();
});

function anInstallation(namespace: string): Installation {
  const client = new KubeClient({ connection: cluster.connection() });
  return new Installation({ client, controller: 'hub', namespace, logger: pino({ level: 'silent' }), firstRetryMs: 5 });
}

it('is asked for until the API server knows it, once for all who wait, and then known', async () => {
  const namespace = cluster.uniqueName('builds');
  const installation = anInstallation(namespace);
  const signal = new AbortController().signal;
  const reading = [installation.read(signal), installation.read(signal)];
  await until('it was asked for in vain', () => installation.lastError !== undefined);
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  const [name, same] = await Promise.all(reading);
  expect(name).toMatch(/^hub-[0-9a-f]{16}$/);
  expect(same).toBe(name);
  expect(installation.lastError).toBeUndefined();
  const since = performance.now();
  expect(await installation.read(signal)).toBe(name);
  expect(cluster.requests.calls(since)).toHaveLength(0);
});

it('does not keep anybody waiting who stops waiting', async () => {
  const installation = anInstallation(cluster.uniqueName('never'));
  const stop = new AbortController();
  const reading = installation.read(stop.signal);
  stop.abort();
  expect(await reading).toBeUndefined();
});
