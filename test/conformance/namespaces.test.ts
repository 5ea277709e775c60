import { describe, expect } from 'vitest';
import { itNeedsControllers } from '../support/cluster-needs.ts';
import { it } from 'vitest';
import { aPod, eventually, refusal, useApi } from './api.ts';

const api = useApi();

describe('a namespace', () => {
  it('is active, labelled with its name, and holds the finalizer of its controller', async () => {
    const name = api.cluster.uniqueName('conformance');
    const { body } = await api.post('/api/v1/namespaces', { metadata: { name, labels: { x: '1' } } });
    expect(body.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': name, x: '1' });
    expect(body).toMatchObject({ spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } });
  });

  it('that is not there refuses what is made in it', async () => {
    const missing = refusal(404, 'NotFound', 'namespaces "not-there" not found', {
      name: 'not-there',
      kind: 'namespaces',
    });
    expect(await api.post('/api/v1/namespaces/not-there/secrets', { metadata: { name: 'a' } })).toMatchObject(missing);
    expect(await api.post('/api/v1/namespaces/not-there/pods', aPod())).toMatchObject(missing);
    const apply = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } };
    expect(await api.apply('/api/v1/namespaces/not-there/secrets/a', apply)).toMatchObject(missing);
  });

  itNeedsControllers('gets the service account default', async () => {
    const { path } = await api.namespace();
    await eventually(
      () => api.get(`${path}/serviceaccounts/default`),
      ({ status }) => status === 200,
    );
  });

  it('keeps labels of others when one applies its own', async () => {
    const { name, path } = await api.namespace({ theirs: '1' });
    const wanted = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ours: '1' } } };
    const { body } = await api.apply(path, wanted);
    expect(body.metadata.labels).toEqual({ 'kubernetes.io/metadata.name': name, theirs: '1', ours: '1' });
    expect(body.spec).toEqual({ finalizers: ['kubernetes'] });
  });
});

describe('a namespace that is deleted', () => {
  it('terminates, and refuses what is made in it or of its name', async () => {
    const { name, path } = await api.namespace();
    // A pod on a node that nobody ends keeps it from going.
    await api.post(`${path}/pods`, aPod('stays', { nodeName: 'node-1' }));
    await api.post(`${path}/configmaps`, { metadata: { name: 'old' } });
    const { status, body } = await api.delete(path);
    expect(status).toBe(200);
    expect(body).toMatchObject({ kind: 'Namespace', metadata: { name }, status: { phase: 'Terminating' } });
    expect(body.metadata.deletionTimestamp).toBeDefined();
    expect(body.metadata.deletionGracePeriodSeconds).toBeUndefined();

    expect(await api.post(`${path}/configmaps`, { metadata: { name: 'a' } })).toMatchObject(
      refusal(
        403,
        'Forbidden',
        `configmaps "a" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
        {
          ...{ name: 'a', kind: 'configmaps' },
          causes: [
            {
              reason: 'NamespaceTerminating',
              message: `namespace ${name} is being terminated`,
              field: 'metadata.namespace',
            },
          ],
        },
      ),
    );
    expect(await api.post('/api/v1/namespaces', { metadata: { name } })).toMatchObject(
      refusal(409, 'AlreadyExists', `object is being deleted: namespaces "${name}" already exists`, {
        name,
        kind: 'namespaces',
      }),
    );
    // What is there can still be changed.
    expect(await api.merge(`${path}/configmaps/old`, { data: { k: 'v' } })).toMatchObject({ status: 200 });
    expect(await api.delete(path)).toMatchObject({ status: 200, body: { status: { phase: 'Terminating' } } });
    await api.delete(`${path}/pods/stays`, { gracePeriodSeconds: 0 });
  });

  itNeedsControllers('is emptied pods first, then goes', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/configmaps`, { metadata: { name: 'a' } });
    await api.post(`${path}/pods`, aPod('lab', { nodeName: 'node-1', terminationGracePeriodSeconds: 5 }));
    await api.delete(path);
    const marked = await eventually(
      () => api.get(`${path}/pods/lab`),
      ({ body }) => body.metadata?.deletionTimestamp !== undefined,
    );
    expect(marked.body.metadata.deletionGracePeriodSeconds).toBe(5);
    expect(await api.get(`${path}/configmaps/a`)).toMatchObject({ status: 200 });
    await api.delete(`${path}/pods/lab`, { gracePeriodSeconds: 0 });
    await eventually(
      () => api.get(path),
      ({ status }) => status === 404,
    );
    expect(await api.get(`${path}/configmaps/a`)).toMatchObject({ status: 404 });
  });

  itNeedsControllers('waits for finalizers of what is in it', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/configmaps`, { metadata: { name: 'held', finalizers: ['example.org/one'] } });
    await api.delete(path);
    await eventually(
      () => api.get(`${path}/configmaps/held`),
      ({ body }) => body.metadata?.deletionTimestamp !== undefined,
    );
    expect(await api.get(path)).toMatchObject({ status: 200, body: { status: { phase: 'Terminating' } } });
    await api.merge(`${path}/configmaps/held`, { metadata: { finalizers: null } });
    await eventually(
      () => api.get(path),
      ({ status }) => status === 404,
    );
  });

  itNeedsControllers('is refused with another uid than it has', async () => {
    const { name, path } = await api.namespace();
    const { status, body } = await api.delete(path, { preconditions: { uid: 'other' } });
    expect(status).toBe(409);
    expect(body).toMatchObject({ reason: 'Conflict', details: { name } });
    expect((await api.get(path)).body.status.phase).toBe('Active');
  });
});
