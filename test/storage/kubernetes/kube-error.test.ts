import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOutdated } from '../../../src/storage/kubernetes/kube-error.ts';
import { Namespaces } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';

describe('a write that was meant for an object of before', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster.close());

  it('is known as outdated when the object has gone, has changed, or is another of its name', async () => {
    const { client } = cluster;
    const name = cluster.uniqueName('outdated');
    const namespace = await client.create(Namespaces, { metadata: { name } });
    const patch = (metadata: object) => client.patch(Namespaces, { name }, { metadata }).then(() => false, isOutdated);

    expect(await patch({ uid: namespace.metadata?.uid, labels: { a: '1' } })).toBe(false);
    expect(await patch({ uid: '00000000-0000-4000-8000-000000000000', labels: { a: '2' } })).toBe(true);
    expect(await patch({ resourceVersion: namespace.metadata?.resourceVersion, labels: { a: '3' } })).toBe(true);
    const gone = { name: cluster.uniqueName('gone') };
    expect(await client.patch(Namespaces, gone, { metadata: { labels: { a: '4' } } }).catch(isOutdated)).toBe(true);
  });

  it('is told from one that is not valid', async () => {
    const name = cluster.uniqueName('invalid');
    await cluster.client.create(Namespaces, { metadata: { name } });
    const invalid = { metadata: { labels: { 'no label': 'at all' } } };
    expect(await cluster.client.patch(Namespaces, { name }, invalid).catch(isOutdated)).toBe(false);
  });
});
