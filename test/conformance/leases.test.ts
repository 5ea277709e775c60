import { describe, expect, it } from 'vitest';
import { MERGE, refusal, useApi } from './api.ts';

const api = useApi();
const DETAILS = { name: 'leader', group: 'coordination.k8s.io' };

async function folder(): Promise<string> {
  const { name } = await api.namespace();
  return `/apis/coordination.k8s.io/v1/namespaces/${name}/leases`;
}

const aLease = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'leader', ...metadata },
  spec: {
    holderIdentity: 'a',
    leaseDurationSeconds: 15,
    acquireTime: '2026-01-02T03:04:05.678000Z',
    renewTime: '2026-01-02T03:04:05.678901Z',
    leaseTransitions: 0,
    ...spec,
  },
});

describe('a Lease', () => {
  it('keeps what it is made with, its times with microseconds', async () => {
    const path = await folder();
    const { status, body } = await api.post(path, aLease());
    expect(status).toBe(201);
    expect(body).toMatchObject({ kind: 'Lease', apiVersion: 'coordination.k8s.io/v1' });
    const spec = {
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: '2026-01-02T03:04:05.678000Z',
      renewTime: '2026-01-02T03:04:05.678901Z',
      leaseTransitions: 0,
    };
    expect(body.spec).toEqual(spec);
    expect((await api.get(`${path}/leader`)).body.spec).toEqual(spec);
  });

  it('may be empty', async () => {
    const { status, body } = await api.post(await folder(), { metadata: { name: 'leader' } });
    expect(status).toBe(201);
    expect(body.spec).toEqual({});
    expect(body.metadata.generation).toBeUndefined();
  });

  it('is made once', async () => {
    const path = await folder();
    await api.post(path, aLease());
    expect(await api.post(path, aLease())).toMatchObject(
      refusal(409, 'AlreadyExists', 'leases.coordination.k8s.io "leader" already exists', {
        ...DETAILS,
        kind: 'leases',
      }),
    );
  });

  it('that is not there is not found', async () => {
    expect(await api.get(`${await folder()}/leader`)).toMatchObject(
      refusal(404, 'NotFound', 'leases.coordination.k8s.io "leader" not found', { ...DETAILS, kind: 'leases' }),
    );
  });

  it('is replaced by whoever has seen its latest version', async () => {
    const path = await folder();
    const { body } = await api.post(path, aLease());
    const { resourceVersion } = body.metadata;
    const next = await api.put(`${path}/leader`, aLease({ holderIdentity: 'b' }, { resourceVersion }));
    expect(next).toMatchObject({ status: 200, body: { spec: { holderIdentity: 'b' } } });
    const conflict =
      'Operation cannot be fulfilled on leases.coordination.k8s.io "leader": the object has been modified; please apply your changes to the latest version and try again';
    expect(await api.put(`${path}/leader`, aLease({ holderIdentity: 'c' }, { resourceVersion }))).toMatchObject(
      refusal(409, 'Conflict', conflict, { ...DETAILS, kind: 'leases' }),
    );
    expect((await api.get(`${path}/leader`)).body.spec).toMatchObject({ holderIdentity: 'b' });
  });

  it('cannot be replaced without a version', async () => {
    const path = await folder();
    await api.post(path, aLease());
    const text = 'Invalid value: 0: must be specified for an update';
    expect(await api.put(`${path}/leader`, aLease())).toMatchObject({
      status: 422,
      body: {
        reason: 'Invalid',
        details: { causes: [{ reason: 'FieldValueInvalid', message: text, field: 'metadata.resourceVersion' }] },
      },
    });
  });

  it('that is gone is made again by whoever replaces it, whatever version was seen', async () => {
    const path = await folder();
    const { body } = await api.put(`${path}/leader`, aLease());
    expect(body).toMatchObject({ spec: { holderIdentity: 'a' } });
    await api.delete(`${path}/leader`);
    const { uid, resourceVersion } = body.metadata;
    const again = await api.put(`${path}/leader`, aLease({ holderIdentity: 'b' }, { resourceVersion }));
    expect(again).toMatchObject({ status: 201, body: { spec: { holderIdentity: 'b' } } });
    expect(again.body.metadata.uid).not.toBe(uid);
  });

  it('that is gone cannot be patched', async () => {
    const path = await folder();
    const { body } = await api.post(path, aLease());
    await api.delete(`${path}/leader`);
    const { uid, resourceVersion } = body.metadata;
    const patch = { metadata: { uid, resourceVersion }, spec: { holderIdentity: 'b' } };
    expect(await api.merge(`${path}/leader`, patch)).toMatchObject({ status: 404 });
    await api.post(path, aLease());
    expect(await api.merge(`${path}/leader`, patch)).toMatchObject({ status: 409 });
  });

  it('can be patched under the precondition of its version', async () => {
    const path = await folder();
    const { body } = await api.post(path, aLease());
    const patch = { metadata: { resourceVersion: body.metadata.resourceVersion }, spec: { holderIdentity: null } };
    const patched = await api.merge(`${path}/leader`, patch);
    expect(patched.status).toBe(200);
    expect(patched.body.spec).not.toHaveProperty('holderIdentity');
    expect(await api.call('PATCH', `${path}/leader`, { body: patch, contentType: MERGE })).toMatchObject({
      status: 409,
      body: { reason: 'Conflict' },
    });
  });

  it('may be held by nobody', async () => {
    const path = await folder();
    const { body } = await api.post(path, aLease());
    const { resourceVersion } = body.metadata;
    const released = aLease({ holderIdentity: '', leaseDurationSeconds: 1 }, { resourceVersion });
    expect(await api.put(`${path}/leader`, released)).toMatchObject({
      status: 200,
      body: { spec: { holderIdentity: '', leaseDurationSeconds: 1 } },
    });
  });

  it.each([
    ['leaseDurationSeconds', 0, 'must be greater than 0'],
    ['leaseDurationSeconds', -1, 'must be greater than 0'],
    ['leaseTransitions', -1, 'must be greater than or equal to 0'],
  ])('with %s %d is refused', async (field, value, why) => {
    const text = `Invalid value: ${String(value)}: ${why}`;
    const answer = refusal(422, 'Invalid', `Lease.coordination.k8s.io "leader" is invalid: spec.${field}: ${text}`, {
      ...DETAILS,
      kind: 'Lease',
      causes: [{ reason: 'FieldValueInvalid', message: text, field: `spec.${field}` }],
    });
    expect(await api.post(await folder(), aLease({ [field]: value }))).toMatchObject(answer);
  });

  it.each([
    ['leaseDurationSeconds', '15'],
    ['holderIdentity', 7],
    ['renewTime', 'yesterday'],
    ['renewTime', '2026-01-02T03:04:05.678Z'],
    ['renewTime', 1_767_323_045],
  ])('with %s %j is not understood', async (field, value) => {
    expect(await api.post(await folder(), aLease({ [field]: value }))).toMatchObject({
      status: 400,
      body: { reason: 'BadRequest' },
    });
  });

  it('is watched by its name', async () => {
    const path = await folder();
    const { body } = await api.post(path, aLease());
    const { resourceVersion } = body.metadata;
    await api.post(path, aLease({}, { name: 'other' }));
    await api.put(`${path}/leader`, aLease({ holderIdentity: 'b' }, { resourceVersion }));
    await api.delete(`${path}/leader`);
    const query = `watch=true&fieldSelector=metadata.name%3Dleader&resourceVersion=${resourceVersion}&timeoutSeconds=5`;
    const events = await api.watch(`${path}?${query}`, { count: 2 });
    expect(events.map(({ type, object }) => [type, object.metadata.name])).toEqual([
      ['MODIFIED', 'leader'],
      ['DELETED', 'leader'],
    ]);
  });
});
