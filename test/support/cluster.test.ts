import { afterEach, beforeEach, expect, it } from 'vitest';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Pods, ServiceAccounts } from '../../src/storage/kubernetes/resources.ts';
import { waitFor } from './wait-for.ts';
import { startCluster, type TestCluster } from './cluster.ts';

let cluster: TestCluster;
let namespace: string;

beforeEach(async () => {
  cluster = await startCluster();
  namespace = cluster.uniqueName('cluster');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
});

afterEach(() => cluster.close());

it('a test cluster counts what its own connection asks, and not what the test asks', async () => {
  const client = new KubeClient({ connection: cluster.connection() });
  await client.get(Namespaces, { name: namespace });
  await cluster.client.get(Namespaces, { name: namespace });
  expect(cluster.requests.describe()).toBe(`get namespaces ${namespace}`);
});

it('a test cluster knows which watches are open', async () => {
  const client = new KubeClient({ connection: cluster.connection() });
  const { resourceVersion } = await client.list(Pods, { namespace });
  const abort = new AbortController();
  const watch = client.watch(Pods, { namespace, resourceVersion, signal: abort.signal });
  const ended = watch.next().catch(() => undefined);
  await waitFor('the watch to open', 10_000, () => (cluster.requests.openWatches.size === 1 ? true : undefined));
  abort.abort();
  await ended;
  await waitFor('the watch to close', 10_000, () => (cluster.requests.openWatches.size === 0 ? true : undefined));
});

it('a pod becomes ready under the test kubelet, on either kind of cluster', async () => {
  await cluster.startKubelet({ namespacePrefix: namespace });
  await cluster.client.create(ServiceAccounts, { metadata: { name: 'own', namespace } });
  await cluster.client.create(Pods, {
    metadata: { name: 'pod', namespace },
    spec: { serviceAccountName: 'own', containers: [{ name: 'main', image: 'example.org/image:1' }] },
  });
  const pod = await waitFor('the pod to run', 20_000, async () => {
    const found = await cluster.client.get(Pods, { namespace, name: 'pod' });
    return found?.status?.phase === 'Running' ? found : undefined;
  });
  expect(pod.status?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'True' }));
});
