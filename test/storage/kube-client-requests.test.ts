import { describe, expect, it } from 'vitest';
import { ConfigMaps, Namespaces, NetworkPolicies, Pods } from '../../src/storage/kubernetes/resources.ts';
import { errorOf, startScripted } from './support/client.ts';

const MAP = { metadata: { namespace: 'ns', name: 'map' }, data: { a: 'b' } };

describe('a request', () => {
  it('carries the credentials and asks for JSON', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({ kind: 'ConfigMap', ...MAP });
    expect(await client.get(ConfigMaps, { namespace: 'ns', name: 'map' })).toMatchObject(MAP);
    const [exchange] = server.exchanges;
    expect(exchange).toMatchObject({ method: 'GET', path: '/api/v1/namespaces/ns/configmaps/map' });
    expect(exchange?.headers).toMatchObject({ authorization: 'Bearer scripted', accept: 'application/json' });
  });

  it('that creates names the manager of the fields and fills in kind and version', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json(exchange.body, 201);
    await client.create(ConfigMaps, MAP);
    const [exchange] = server.exchanges;
    expect(exchange).toMatchObject({
      method: 'POST',
      path: '/api/v1/namespaces/ns/configmaps',
      body: { apiVersion: 'v1', kind: 'ConfigMap', ...MAP },
    });
    expect(exchange?.query.toString()).toBe('fieldManager=labwright');
    expect(exchange?.headers['content-type']).toBe('application/json');
  });

  it('that applies is forced and names its own content type', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json(exchange.body);
    await client.apply(NetworkPolicies, { metadata: { namespace: 'ns', name: 'lab' } });
    const [exchange] = server.exchanges;
    expect(exchange).toMatchObject({
      method: 'PATCH',
      path: '/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/lab',
      body: { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' },
    });
    expect(Object.fromEntries(exchange?.query ?? [])).toEqual({ fieldManager: 'labwright', force: 'true' });
    expect(exchange?.headers['content-type']).toBe('application/apply-patch+yaml');
  });

  it('that patches sends the merge patch as it is, to the subresource if one is meant', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({});
    const patch = { metadata: { uid: 'u' }, data: null };
    await client.patch(Pods, { namespace: 'ns', name: 'lab' }, patch, { subresource: 'status' });
    const [exchange] = server.exchanges;
    expect(exchange).toMatchObject({ method: 'PATCH', path: '/api/v1/namespaces/ns/pods/lab/status', body: patch });
    expect(exchange?.headers['content-type']).toBe('application/merge-patch+json');
  });

  it('that is only a rehearsal says so, also when it deletes', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({});
    await client.create(ConfigMaps, MAP, { dryRun: true });
    await client.apply(ConfigMaps, MAP, { dryRun: true });
    await client.delete(ConfigMaps, { namespace: 'ns', name: 'map' }, { dryRun: true });
    expect(server.exchanges.slice(0, 2).map(({ query }) => query.get('dryRun'))).toEqual(['All', 'All']);
    expect(server.exchanges[2]?.body).toMatchObject({ dryRun: ['All'] });
  });

  it('of an object without a name is refused before it is sent', async () => {
    const { server, client } = await startScripted();
    expect(() => client.apply(ConfigMaps, {})).toThrow('must have a name');
    expect(server.exchanges).toHaveLength(0);
  });
});

describe('a delete', () => {
  it('says which object, how long it may take and what becomes of its dependents', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({ kind: 'Status', status: 'Success' });
    const options = { uid: 'u-1', propagationPolicy: 'Background', gracePeriodSeconds: 0 } as const;
    expect(await client.delete(Pods, { namespace: 'ns', name: 'lab' }, options)).toBe('gone');
    expect(server.exchanges[0]?.body).toEqual({
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid: 'u-1' },
      propagationPolicy: 'Background',
      gracePeriodSeconds: 0,
    });
  });

  it('of what is not there has nothing left to do', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.status(404, 'NotFound');
    expect(await client.delete(Pods, { namespace: 'ns', name: 'lab' })).toBe('gone');
    await client.deleteCollection(Pods, 'ns', 'a=b');
    expect(server.exchanges[1]).toMatchObject({ method: 'DELETE', path: '/api/v1/namespaces/ns/pods' });
    expect(server.exchanges[1]?.query.get('labelSelector')).toBe('a=b');
  });

  it.each([
    ['ends at once', {}, 'gone'],
    ['takes its time', { deletionTimestamp: '2026-11-21T12:00:00Z' }, 'accepted'],
  ])('of what %s is told apart', async (_what, metadata, answer) => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({ kind: 'Namespace', metadata });
    expect(await client.delete(Namespaces, { name: 'ns' })).toBe(answer);
  });

  it('of an object with another uid is an error', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.status(409, 'Conflict');
    expect(await errorOf(client.delete(Pods, { namespace: 'ns', name: 'lab' }, { uid: 'u' }))).toMatchObject({
      status: 409,
      reason: 'Conflict',
    });
    expect(server.exchanges).toHaveLength(1);
  });
});

describe('a list', () => {
  it('follows the continue tokens to its end', async () => {
    const { server, client } = await startScripted();
    const pages: Record<string, object> = {
      '': { metadata: { resourceVersion: '7', continue: 'a b&c' }, items: [{ metadata: { name: '1' } }] },
      'a b&c': { metadata: { resourceVersion: '7', continue: 'd' }, items: [{ metadata: { name: '2' } }] },
      d: { metadata: { resourceVersion: '7', continue: '' }, items: [{ metadata: { name: '3' } }] },
    };
    server.otherwise = (exchange) => exchange.json(pages[exchange.query.get('continue') ?? '']);
    const { items, resourceVersion } = await client.list(Pods, { labelSelector: 'a=b', fieldSelector: 'c=d' });
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(['1', '2', '3']);
    expect(resourceVersion).toBe('7');
    expect(server.exchanges.map(({ path }) => path)).toEqual(Array(3).fill('/api/v1/pods'));
    for (const { query } of server.exchanges) {
      expect(Object.fromEntries(query)).toMatchObject({ labelSelector: 'a=b', fieldSelector: 'c=d', limit: '500' });
    }
  });

  it('of nothing is empty, also where the server writes null', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({ metadata: { resourceVersion: '9' }, items: null });
    expect(await client.list(Pods)).toEqual({ items: [], resourceVersion: '9' });
  });

  it('of metadata never asks for what is in the objects', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.json({ metadata: { resourceVersion: '9' }, items: [] });
    await client.list(Pods, { metadataOnly: true });
    expect(server.exchanges[0]?.headers.accept).toBe(
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
    );
  });

  it('whose token has expired in between is an error of the whole list', async () => {
    const { server, client } = await startScripted();
    server.answers.push((exchange) => exchange.json({ metadata: { continue: 'a' }, items: [] }));
    server.otherwise = (exchange) => exchange.status(410, 'Expired');
    expect(await errorOf(client.list(Pods))).toMatchObject({ status: 410, reason: 'Expired' });
    expect(server.exchanges).toHaveLength(2);
  });
});
