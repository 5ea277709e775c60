import { describe, expect, it } from 'vitest';
import { itNeedsControllers } from '../support/cluster-needs.ts';
import { eventually, useApi } from './api.ts';

const api = useApi();
const VOLUMES = '/api/v1/persistentvolumes';

const spec = (claim: object) => ({
  capacity: { storage: '1Mi' },
  accessModes: ['ReadWriteMany'],
  mountOptions: ['nfsvers=4.1'],
  persistentVolumeReclaimPolicy: 'Retain',
  claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...claim },
  nfs: { server: 'nfs.example.org', path: '/homes' },
});

describe('a PersistentVolume', () => {
  it('is of the whole cluster, has defaults, and is there once', async () => {
    const { name: namespace } = await api.namespace();
    const metadata = { name: `${namespace}-homes` };
    const wanted = spec({ namespace, name: 'lab-homes' });
    const { status, body } = await api.post(VOLUMES, { metadata, spec: wanted });
    expect(status).toBe(201);
    expect(body.metadata).not.toHaveProperty('namespace');
    expect(body.spec).toEqual({ ...wanted, volumeMode: 'Filesystem' });
    expect(await api.post(VOLUMES, { metadata, spec: wanted })).toMatchObject({
      status: 409,
      body: { reason: 'AlreadyExists' },
    });
    expect((await api.delete(`${VOLUMES}/${metadata.name}`)).status).toBe(200);
    await eventually(
      () => api.get(`${VOLUMES}/${metadata.name}`),
      ({ status: now }) => now === 404,
    );
  });

  it('needs a capacity and access modes', async () => {
    const { name } = await api.namespace();
    const { status, body } = await api.post(VOLUMES, { metadata: { name }, spec: { nfs: spec({}).nfs } });
    expect(status).toBe(422);
    expect(body.details.causes).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ field: 'spec.accessModes' }),
        expect.objectContaining({ field: 'spec.capacity' }),
      ]),
    );
  });

  itNeedsControllers('goes with the namespace that owns it', async () => {
    const { name: namespace, path } = await api.namespace();
    const { body } = await api.get(path);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Namespace', name: namespace, uid: body.metadata.uid }];
    const metadata = { name: `${namespace}-homes`, ownerReferences };
    await api.post(VOLUMES, { metadata, spec: spec({ namespace, name: 'lab-homes' }) });
    await api.delete(path);
    await eventually(
      () => api.get(`${VOLUMES}/${metadata.name}`),
      ({ status: now }) => now === 404,
    );
  });
});
