import { describe, expect, it } from 'vitest';
import { METADATA, METADATA_LIST, refusal, useApi } from './api.ts';

const api = useApi();

describe('a request', () => {
  it('without a known token is refused', async () => {
    const { status, body } = await api.call('GET', '/api/v1/namespaces', { token: 'wrong' });
    expect(status).toBe(401);
    expect(body).toEqual({
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure' },
      ...{ message: 'Unauthorized', reason: 'Unauthorized', code: 401 },
    });
  });

  it('for a resource that does not exist is answered 404 with a Status', async () => {
    const { path } = await api.namespace();
    const missing = refusal(404, 'NotFound', 'the server could not find the requested resource', {});
    expect(await api.get(`${path}/wobbles`)).toMatchObject(missing);
    expect(await api.get('/api/v1/wobbles/x')).toMatchObject(missing);
    expect(await api.get('/api/v1/secrets/x')).toMatchObject(missing);
  });

  it('for a path that is none of the API is answered 404 as plain text', async () => {
    expect(await api.get('/wobbles')).toMatchObject({ status: 404, body: '404 page not found\n' });
    expect(await api.get('/apis/example.org/v1/wobbles')).toMatchObject({ status: 404, body: '404 page not found\n' });
  });

  it('with a method that the path does not have is answered 405', async () => {
    const { path } = await api.namespace();
    const refused = refusal(
      405,
      'MethodNotAllowed',
      'the server does not allow this method on the requested resource',
      {},
    );
    expect(await api.put(`${path}/secrets`, {})).toMatchObject(refused);
    expect(await api.post(`${path}/secrets/x`, {})).toMatchObject(refused);
  });

  it('with a body that is no JSON or no object of the kind is answered 400', async () => {
    const { path } = await api.namespace();
    for (const body of [
      '{"metadata":',
      '[]',
      '{"metadata":{"name":5}}',
      '{"metadata":{"name":"a","labels":{"x":1}}}',
    ]) {
      const answer = await api.call('POST', `${path}/configmaps`, { body });
      expect(answer, body).toMatchObject({ status: 400, body: { kind: 'Status', reason: 'BadRequest' } });
    }
  });

  it('with a body of an unknown type is answered 415', async () => {
    const answer = await api.call('POST', '/api/v1/namespaces', { body: 'name: a', contentType: 'text/plain' });
    expect(answer).toMatchObject({ status: 415, body: { reason: 'UnsupportedMediaType' } });
  });

  it('for a form that the server does not have is answered 406', async () => {
    const { path } = await api.namespace();
    const wrong = [
      [`${path}/configmaps`, 'text/plain'],
      [`${path}/configmaps`, METADATA],
      [`${path}/serviceaccounts/lab`, METADATA_LIST],
      // `v=` is part of it: without, the parameter is unknown.
      [`${path}/configmaps`, 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v1'],
    ] as const;
    for (const [url, accept] of wrong) {
      expect(await api.get(url, accept), accept).toMatchObject({ status: 406, body: { reason: 'NotAcceptable' } });
    }
  });

  it('takes the first form that the server has', async () => {
    const { path } = await api.namespace();
    expect((await api.get(`${path}/configmaps`, `${METADATA_LIST},application/json`)).body.kind).toBe(
      'PartialObjectMetadataList',
    );
    expect((await api.get(`${path}/configmaps`, 'text/plain,application/json')).body.kind).toBe('ConfigMapList');
  });

  it('finds the health and the version of the server', async () => {
    for (const path of ['/livez', '/readyz', '/healthz']) {
      expect(await api.get(path)).toMatchObject({ status: 200, body: 'ok' });
    }
    expect((await api.get('/version')).body).toMatchObject({ major: '1', minor: '34' });
    expect((await api.get('/version')).body.gitVersion).toMatch(/^v1\.34\./);
  });
});

describe('only the metadata of an object', () => {
  it('comes without anything else, alone and in lists', async () => {
    const { path } = await api.namespace();
    const { uid } = (await api.post(`${path}/secrets`, { metadata: { name: 'a' }, stringData: { k: 'v' } })).body
      .metadata;
    const one = (await api.get(`${path}/secrets/a`, METADATA)).body;
    expect(Object.keys(one).sort()).toEqual(['apiVersion', 'kind', 'metadata']);
    expect(one).toMatchObject({
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { name: 'a', uid },
    });
    const list = (await api.get(`${path}/secrets`, METADATA_LIST)).body;
    expect(list).toMatchObject({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
    const item = list.items.find(({ metadata }) => metadata.name === 'a');
    expect(Object.keys(item ?? {}).sort()).toEqual(['apiVersion', 'kind', 'metadata']);
  });

  it('can be the answer to a delete of many', async () => {
    const { path } = await api.namespace();
    await api.post(`${path}/secrets`, { metadata: { name: 'a', labels: { x: '1' } }, stringData: { k: 'v' } });
    const answer = await api.call('DELETE', `${path}/secrets?labelSelector=x`, { accept: METADATA_LIST });
    expect(answer.body.kind).toBe('PartialObjectMetadataList');
    expect(answer.body.items[0]?.data).toBeUndefined();
  });
});
