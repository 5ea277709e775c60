import type { V1ConfigMap } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigMaps, Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';

describe('deleting and waiting', () => {
  let cluster: TestCluster;
  let namespace: string;
  beforeAll(async () => {
    cluster = await startCluster();
    namespace = cluster.uniqueName('wait');
    await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  });
  afterAll(() => cluster.close());

  const make = (name: string, finalizers: string[] = []): Promise<V1ConfigMap> =>
    cluster.client.create(ConfigMaps, { metadata: { namespace, name, finalizers } });
  const ends = (name: string, object: V1ConfigMap, timeoutMs = 10_000) =>
    cluster.client.deleteAndWait(ConfigMaps, { namespace, name }, { uid: object.metadata?.uid ?? '', timeoutMs });

  it('is done at once with an object that nothing holds', async () => {
    await ends('free', await make('free'));
    await make('free');
  });

  it('is done when what held the object lets go', async () => {
    const gone = ends('held', await make('held', ['example.org/held']));
    await cluster.client.patch(ConfigMaps, { namespace, name: 'held' }, { metadata: { finalizers: null } });
    await gone;
    expect(await cluster.client.get(ConfigMaps, { namespace, name: 'held' })).toBeUndefined();
  });

  it('says at its deadline that the object does not go', async () => {
    await expect(ends('stuck', await make('stuck', ['example.org/held']), 200)).rejects.toMatchObject({
      reason: 'Timeout',
    });
    await cluster.client.patch(ConfigMaps, { namespace, name: 'stuck' }, { metadata: { finalizers: null } });
  });

  it('leaves another object of the same name alone', async () => {
    const first = await make('twice');
    await ends('twice', first);
    const second = await make('twice');
    await expect(ends('twice', first)).rejects.toMatchObject({ status: 409 });
    const found = await cluster.client.get(ConfigMaps, { namespace, name: 'twice' });
    expect(found?.metadata?.uid).toBe(second.metadata?.uid);
  });
});
