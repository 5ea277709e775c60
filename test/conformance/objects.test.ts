import { describe, expect, it } from 'vitest';
import { APPLY, MERGE, refusal, useApi } from './api.ts';

const api = useApi();

describe('creating an object', () => {
  it('gives it uid, version and creation time', async () => {
    const { name, path } = await api.namespace();
    const { status, body } = await api.post(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' } });
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'a', namespace: name } });
    expect(body.data).toEqual({ k: 'v' });
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(body.metadata.resourceVersion).toMatch(/^\d+$/);
    expect(body.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  it('makes up a name from generateName', async () => {
    const { path } = await api.namespace();
    const { body } = await api.post(`${path}/configmaps`, { metadata: { generateName: 'some-' } });
    expect(body.metadata.name).toMatch(/^some-[a-z0-9]{5}$/);
  });

  it('refuses a name that is taken', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    expect(await api.post(`${path}/secrets`, { metadata: { name: 'a' } })).toMatchObject(
      refusal(409, 'AlreadyExists', 'secrets "a" already exists', { name: 'a', kind: 'secrets' }),
    );
  });

  it('names the group of a kind that has one', async () => {
    const { name } = await api.namespace();
    const path = `/apis/networking.k8s.io/v1/namespaces/${name}/networkpolicies`;
    await api.post(path, { metadata: { name: 'a' }, spec: { podSelector: {} } });
    const details = { name: 'a', group: 'networking.k8s.io', kind: 'networkpolicies' };
    expect(await api.post(path, { metadata: { name: 'a' }, spec: { podSelector: {} } })).toMatchObject(
      refusal(409, 'AlreadyExists', 'networkpolicies.networking.k8s.io "a" already exists', details),
    );
    expect(await api.get(`${path}/b`)).toMatchObject(
      refusal(404, 'NotFound', 'networkpolicies.networking.k8s.io "b" not found', { ...details, name: 'b' }),
    );
  });

  it('refuses a version, another namespace and another kind', async () => {
    const { path } = await api.namespace();
    expect((await api.post(`${path}/configmaps`, { metadata: { name: 'a', resourceVersion: '5' } })).body.message).toBe(
      'resourceVersion should not be set on objects to be created',
    );
    expect(await api.post(`${path}/configmaps`, { metadata: { name: 'a', namespace: 'other' } })).toMatchObject(
      refusal(
        400,
        'BadRequest',
        'the namespace of the provided object does not match the namespace sent on the request',
      ),
    );
    expect(
      await api.post(`${path}/configmaps`, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } }),
    ).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
  });

  it('stores nothing on a dry run', async () => {
    const { path } = await api.namespace();
    const { status, body } = await api.post(`${path}/configmaps?dryRun=All`, { metadata: { name: 'a' } });
    expect(status).toBe(201);
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(body.metadata.resourceVersion).toBeUndefined();
    expect(await api.get(`${path}/configmaps/a`)).toMatchObject({ status: 404 });
    expect(await api.post(`${path}/configmaps?dryRun=Some`, { metadata: { name: 'a' } })).toMatchObject({
      status: 422,
      body: {
        message:
          'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
      },
    });
  });
});

describe('replacing an object', () => {
  it('keeps uid and creation time and raises the version', async () => {
    const { path } = await api.namespace();
    const made = (await api.post(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' } })).body;
    const { status, body } = await api.put(`${path}/configmaps/a`, { metadata: { name: 'a' }, data: { k: 'w' } });
    expect(status).toBe(200);
    expect(body.metadata.uid).toBe(made.metadata.uid);
    expect(body.metadata.creationTimestamp).toBe(made.metadata.creationTimestamp);
    expect(Number(body.metadata.resourceVersion)).toBeGreaterThan(Number(made.metadata.resourceVersion));
    expect(body.data).toEqual({ k: 'w' });
  });

  it('changes nothing, not even the version, when nothing is different', async () => {
    const { path } = await api.namespace();
    const made = (await api.post(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' } })).body;
    const again = (await api.merge(`${path}/configmaps/a`, { data: { k: 'v' } })).body;
    expect(again.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
  });

  it('refuses a version that is not the present one', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    const modified = refusal(
      409,
      'Conflict',
      'Operation cannot be fulfilled on secrets "a": the object has been modified; please apply your changes to the latest version and try again',
      { name: 'a', kind: 'secrets' },
    );
    const metadata = { name: 'a', resourceVersion: '1' };
    expect(await api.put(`${path}/secrets/a`, { metadata })).toMatchObject(modified);
    expect(await api.merge(`${path}/secrets/a`, { metadata })).toMatchObject(modified);
    const apply = { apiVersion: 'v1', kind: 'Secret', metadata };
    expect(await api.apply(`${path}/secrets/a`, apply)).toMatchObject(modified);
  });

  it('refuses another uid: a conflict on a replacement, invalid in a patch', async () => {
    const { path } = await api.namespace();
    const made = (await api.post(`${path}/secrets`, { metadata: { name: 'a' } })).body;
    const metadata = { name: 'a', uid: 'other' };
    const conflict = await api.put(`${path}/secrets/a`, { metadata });
    expect(conflict).toMatchObject({
      status: 409,
      body: { reason: 'Conflict', details: { name: 'a', kind: 'secrets' } },
    });
    expect(conflict.body.message).toContain(
      `Precondition failed: UID in precondition: other, UID in object meta: ${made.metadata.uid}`,
    );
    const invalid = await api.merge(`${path}/secrets/a`, { metadata: { uid: 'other' } });
    expect(invalid).toMatchObject({ status: 422, body: { reason: 'Invalid' } });
    expect(invalid.body.message).toBe(
      'Secret "a" is invalid: metadata.uid: Invalid value: "other": field is immutable',
    );
  });

  it('refuses what is not there and what is named otherwise', async () => {
    const { path } = await api.namespace();
    expect(await api.put(`${path}/secrets/a`, { metadata: { name: 'a' } })).toMatchObject(
      refusal(404, 'NotFound', 'secrets "a" not found', { name: 'a', kind: 'secrets' }),
    );
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    expect(await api.put(`${path}/secrets/a`, { metadata: { name: 'b' } })).toMatchObject(
      refusal(400, 'BadRequest', 'the name of the object (b) does not match the name on the URL (a)'),
    );
  });

  it('stores nothing on a dry run', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/configmaps`, { metadata: { name: 'a' }, data: { k: 'v' } });
    const dry = await api.call('PATCH', `${path}/configmaps/a?dryRun=All`, {
      body: { data: { k: 'w' } },
      contentType: MERGE,
    });
    expect(dry.body.data).toEqual({ k: 'w' });
    expect((await api.get(`${path}/configmaps/a`)).body.data).toEqual({ k: 'v' });
  });
});

describe('a merge patch', () => {
  it('merges objects, replaces lists and takes away what is null', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/configmaps`, {
      metadata: { name: 'a', labels: { x: '1', y: '2' } },
      data: { k: 'v', l: 'w' },
    });
    const { body } = await api.merge(`${path}/configmaps/a`, {
      metadata: { labels: { x: null } },
      data: { k: null, m: 'n' },
    });
    expect(body.metadata.labels).toEqual({ y: '2' });
    expect(body.data).toEqual({ l: 'w', m: 'n' });
  });

  it('refuses what is not there, what is no JSON and another type of patch', async () => {
    const { path } = await api.namespace();
    expect(await api.merge(`${path}/configmaps/a`, {})).toMatchObject({ status: 404 });
    await api.post(`${path}/configmaps`, { metadata: { name: 'a' } });
    const broken = await api.call('PATCH', `${path}/configmaps/a`, { body: '{"a":', contentType: MERGE });
    expect(broken).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    expect(broken.body.message).toMatch(/^error decoding patch: /);
    expect(
      await api.call('PATCH', `${path}/configmaps/a`, { body: {}, contentType: 'application/json' }),
    ).toMatchObject(refusal(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {}));
  });
});

describe('server-side apply', () => {
  const kind = { apiVersion: 'v1', kind: 'ConfigMap' };

  it('makes what is not there, and nothing when nothing is different', async () => {
    const { path } = await api.namespace();
    const wanted = { ...kind, metadata: { name: 'a', labels: { x: '1' } }, data: { k: 'v' } };
    const first = await api.apply(`${path}/configmaps/a`, wanted);
    expect(first.status).toBe(201);
    const second = await api.apply(`${path}/configmaps/a`, wanted);
    expect(second.status).toBe(200);
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
  });

  it('takes away what the same manager applied before and does not any more', async () => {
    const { path } = await api.namespace();
    await api.apply(`${path}/configmaps/a`, {
      ...kind,
      metadata: { name: 'a', labels: { x: '1' } },
      data: { k: 'v', l: 'w' },
    });
    const { body } = await api.apply(`${path}/configmaps/a`, { ...kind, metadata: { name: 'a' }, data: { l: 'w' } });
    expect(body.data).toEqual({ l: 'w' });
    expect(body.metadata.labels).toBeUndefined();
  });

  it('leaves alone what others put there, and wins by force over what they changed', async () => {
    const { path } = await api.namespace();
    const wanted = { ...kind, metadata: { name: 'a' }, data: { k: 'v' } };
    await api.apply(`${path}/configmaps/a`, wanted);
    await api.merge(`${path}/configmaps/a`, { data: { k: 'changed', other: '1' } });
    const { body } = await api.apply(`${path}/configmaps/a`, wanted);
    expect(body.data).toEqual({ k: 'v', other: '1' });
  });

  it('keeps what a second manager applied too', async () => {
    const { path } = await api.namespace();
    await api.apply(`${path}/configmaps/a`, { ...kind, metadata: { name: 'a' }, data: { k: 'v', mine: '1' } }, 'one');
    await api.apply(`${path}/configmaps/a`, { ...kind, metadata: { name: 'a' }, data: { k: 'v' } }, 'two');
    const { body } = await api.apply(`${path}/configmaps/a`, { ...kind, metadata: { name: 'a' } }, 'one');
    expect(body.data).toEqual({ k: 'v' });
  });

  it('asks for a manager and for kind and version', async () => {
    const { path } = await api.namespace();
    expect(
      await api.call('PATCH', `${path}/configmaps/a?force=true`, {
        body: { ...kind, metadata: { name: 'a' } },
        contentType: APPLY,
      }),
    ).toMatchObject({
      status: 422,
      body: {
        message: 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      },
    });
    expect(await api.apply(`${path}/configmaps/a`, { metadata: { name: 'a' } })).toMatchObject({
      status: 400,
      body: { message: 'invalid object type: /, Kind=' },
    });
  });

  it('stores nothing on a dry run, for an object that is there as for one that is not', async () => {
    const { path } = await api.namespace();
    const dry = (data: object) =>
      api.call('PATCH', `${path}/configmaps/a?fieldManager=tests&force=true&dryRun=All`, {
        body: { ...kind, metadata: { name: 'a' }, data },
        contentType: APPLY,
      });
    expect(await dry({ k: 'v' })).toMatchObject({ status: 201 });
    expect(await api.get(`${path}/configmaps/a`)).toMatchObject({ status: 404 });
    await api.apply(`${path}/configmaps/a`, { ...kind, metadata: { name: 'a' }, data: { k: 'v' } });
    expect(await dry({ k: 'w' })).toMatchObject({ status: 200, body: { data: { k: 'w' } } });
    expect((await api.get(`${path}/configmaps/a`)).body.data).toEqual({ k: 'v' });
  });
});

describe('deleting an object', () => {
  it('answers with a Status that names it', async () => {
    const { path } = await api.namespace();
    const made = (await api.post(`${path}/secrets`, { metadata: { name: 'a' } })).body;
    expect(await api.delete(`${path}/secrets/a`)).toMatchObject({
      status: 200,
      body: { kind: 'Status', status: 'Success', details: { name: 'a', kind: 'secrets', uid: made.metadata.uid } },
    });
    expect(await api.delete(`${path}/secrets/a`)).toMatchObject(refusal(404, 'NotFound', 'secrets "a" not found'));
  });

  it.each(['services', 'serviceaccounts', 'persistentvolumeclaims', 'resourcequotas'])(
    'answers with the object for %s',
    async (plural) => {
      const { path } = await api.namespace();
      const specs: Record<string, object> = {
        services: { ports: [{ port: 80 }] },
        resourcequotas: { hard: { pods: '1' } },
        persistentvolumeclaims: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      };
      await api.post(`${path}/${plural}`, { metadata: { name: 'a' }, spec: specs[plural] });
      expect((await api.delete(`${path}/${plural}/a`)).body).toMatchObject({ metadata: { name: 'a' } });
    },
  );

  it.each(['configmaps', 'secrets', 'limitranges'])('answers with a Status for %s', async (plural) => {
    const { path } = await api.namespace();
    await api.post(`${path}/${plural}`, {
      metadata: { name: 'a' },
      spec: plural === 'limitranges' ? { limits: [] } : undefined,
    });
    expect((await api.delete(`${path}/${plural}/a`)).body).toMatchObject({ kind: 'Status', status: 'Success' });
  });

  it('refuses another uid and another version than asked for', async () => {
    const { path } = await api.namespace();
    const { uid, resourceVersion } = (await api.post(`${path}/secrets`, { metadata: { name: 'a' } })).body.metadata;
    const details = { name: 'a', kind: 'Secret' };
    expect(await api.delete(`${path}/secrets/a`, { preconditions: { uid: 'other' } })).toMatchObject(
      refusal(
        409,
        'Conflict',
        `Operation cannot be fulfilled on Secret "a": the UID in the precondition (other) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
        details,
      ),
    );
    expect(await api.delete(`${path}/secrets/a`, { preconditions: { resourceVersion: '1' } })).toMatchObject(
      refusal(
        409,
        'Conflict',
        `Operation cannot be fulfilled on Secret "a": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
        details,
      ),
    );
    expect(await api.delete(`${path}/secrets/a`, { preconditions: { uid } })).toMatchObject({ status: 200 });
  });

  it('deletes nothing on a dry run', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a' } });
    expect(await api.delete(`${path}/secrets/a?dryRun=All`)).toMatchObject({ status: 200 });
    expect(await api.delete(`${path}/secrets/a`, { dryRun: ['All'] })).toMatchObject({ status: 200 });
    expect(await api.get(`${path}/secrets/a`)).toMatchObject({ status: 200 });
  });

  it('waits for finalizers, and takes no new ones meanwhile', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/configmaps`, { metadata: { name: 'a', finalizers: ['example.org/one'] } });
    const first = await api.delete(`${path}/configmaps/a`);
    expect(first.body.metadata).toMatchObject({ finalizers: ['example.org/one'], deletionGracePeriodSeconds: 0 });
    expect(first.body.metadata.deletionTimestamp).toBeDefined();
    const second = await api.delete(`${path}/configmaps/a`);
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion);
    const added = await api.merge(`${path}/configmaps/a`, {
      metadata: { finalizers: ['example.org/two', 'example.org/one'] },
    });
    expect(added).toMatchObject({ status: 422, body: { reason: 'Invalid' } });
    expect(added.body.message).toBe(
      'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.org/two"}',
    );
    expect(await api.merge(`${path}/configmaps/a`, { metadata: { finalizers: null } })).toMatchObject({ status: 200 });
    expect(await api.get(`${path}/configmaps/a`)).toMatchObject({ status: 404 });
  });

  it('deletes what a selector matches, in one namespace only', async () => {
    const { path } = await api.namespace();
    for (const [name, x] of [
      ['a', '1'],
      ['b', '1'],
      ['c', '2'],
    ]) {
      await api.post(`${path}/configmaps`, { metadata: { name, labels: { x } } });
    }
    const { status, body } = await api.delete(`${path}/configmaps?labelSelector=x%3D1`);
    expect(status).toBe(200);
    expect(body.kind).toBe('ConfigMapList');
    expect(body.items.map(({ metadata }) => metadata.name)).toEqual(['a', 'b']);
    expect(await api.get(`${path}/configmaps/c`)).toMatchObject({ status: 200 });
    const refused = refusal(
      405,
      'MethodNotAllowed',
      'the server does not allow this method on the requested resource',
      {},
    );
    expect(await api.delete('/api/v1/configmaps')).toMatchObject(refused);
    expect(await api.delete('/api/v1/namespaces')).toMatchObject(refused);
  });
});
