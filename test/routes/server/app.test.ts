import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { aConfig, aLabState, API, fakeLabs, formRequest, HUB_SECRET, testApp, TOKENS } from '../support.ts';

describe('the index', () => {
  const metadata = {
    name: 'Labwright',
    version: '1.2.3',
    description: 'A lab controller that stands beside JupyterHub on Kubernetes',
  };

  it('says what this is, at the root and below the prefix', async () => {
    const { call } = testApp();
    expect(await (await call('/')).json()).toEqual(metadata);
    expect(await (await call('/labwright')).json()).toEqual({ metadata });
  });

  it('works without a prefix', async () => {
    const { call } = testApp({ config: aConfig({ pathPrefix: '/' }), labs: fakeLabs([aLabState()]) });
    expect(await (await call('/')).json()).toEqual(metadata);
    expect((await call('/spawner/v1/labs/ada', { as: 'ada' })).status).toBe(200);
  });
});

describe('the probes', () => {
  it('tell a living process from one that can answer', async () => {
    let ready = false;
    const stopping = new AbortController();
    const { call } = testApp({ labs: fakeLabs([], { isReady: () => ready }), stopping: stopping.signal });
    expect((await call('/healthz')).status).toBe(200);
    expect((await call('/readyz')).status).toBe(503);
    ready = true;
    expect((await call('/readyz')).status).toBe(200);
    stopping.abort();
    expect((await call('/readyz')).status).toBe(503);
    expect((await call('/healthz')).status).toBe(200);
  });
});

describe('a program that cannot follow the cluster any more', () => {
  const error = new Error('pods is forbidden: User "system:serviceaccount:labwright:labwright" cannot watch it');
  const staleness = { ms: 130_900, why: 'watch Pod: 403 Forbidden', error };
  const stale = { seconds: 130, reason: 'watch Pod: 403 Forbidden' };

  it('stays ready, and says which part is how old and why', async () => {
    const health = () => [{ component: 'lab-cache', ready: true, stale: staleness, message: 'about ada' }];
    const response = await testApp({ labs: fakeLabs([], { staleness }), health }).call('/readyz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      status: 'ok',
      components: [{ component: 'lab-cache', ready: true, stale }],
    });
  });

  it('answers about labs with what it has, and says how old that is', async () => {
    const { call } = testApp({ labs: fakeLabs([aLabState()], { staleness }) });
    for (const path of ['/labs/ada', '/labs', '/labs?detail=true', '/user-status']) {
      const response = await call(`${API}${path}`, { as: path === '/user-status' ? 'ada' : 'admin' });
      expect([response.status, response.headers.get('age')]).toEqual([200, '130']);
    }
    const detailed = await (await call(`${API}/labs/ada?detail=true`, { as: 'hub' })).json();
    expect(detailed).toMatchObject({ status: 'running', stale });
  });

  it('says nothing of the kind while it can', async () => {
    const { call } = testApp({ labs: fakeLabs([aLabState()]) });
    const response = await call(`${API}/labs/ada?detail=true`, { as: 'hub' });
    expect(response.headers.has('age')).toBe(false);
    expect(await response.json()).toMatchObject({ stale: null });
  });
});

describe('an address that leads nowhere', () => {
  it('is answered in the one error format', async () => {
    const response = await testApp().call('/labwright/nope');
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ detail: [{ msg: 'Not Found', type: 'not_found' }] });
  });

  it.each([
    ['PUT', `${API}/labs/ada`, 'GET, DELETE'],
    ['GET', `${API}/labs/ada/create`, 'POST'],
    ['OPTIONS', '/healthz', 'GET'],
  ])('with another method names those there are: %s %s', async (method, path, allow) => {
    const response = await testApp().call(path, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe(allow);
    expect(await response.json()).toEqual({ detail: [{ msg: 'Method Not Allowed', type: 'method_not_allowed' }] });
  });

  it('with a slash too many leads to the one without', async () => {
    const response = await testApp().call(`${API}/labs/?detail=true`);
    expect(response.status).toBe(307);
    expect(response.headers.get('location')).toBe(`${API}/labs?detail=true`);
    expect((await testApp().call('//example.org/')).status).toBe(404);
  });

  it('that is not UTF-8 is refused', async () => {
    const response = await testApp().call(`${API}/labs/%ff`, { as: 'hub' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ detail: [{ type: 'invalid_request', loc: ['path'] }] });
  });
});

describe('a fault of our own', () => {
  it('is logged and not told', async () => {
    const broken = () => {
      throw new Error('the secret is 42');
    };
    const { call, logs } = testApp({ labs: fakeLabs([], { get: broken }) });
    const response = await call(`${API}/labs/ada`, { as: 'hub' });
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('{"detail":[{"msg":"Internal error","type":"internal_error"}]}');
    expect(logs).toContainEqual(expect.objectContaining({ msg: 'request failed' }));
  });
});

describe('the access log', () => {
  it('has a line for each request, with who asked and how it ended', async () => {
    const { call, logs } = testApp({ labs: fakeLabs([aLabState()]) });
    const response = await call(`${API}/labs/ada`, { as: 'ada', headers: { 'x-request-id': 'r-1' }, from: '10.0.0.9' });
    expect(response.headers.get('x-request-id')).toBe('r-1');
    expect(logs.at(-1)).toMatchObject({
      msg: 'request',
      requestId: 'r-1',
      method: 'GET',
      path: `${API}/labs/ada`,
      status: 200,
      caller: 'ada',
      role: 'user',
      remoteAddress: '10.0.0.9',
    });
  });

  it('makes an id of its own where the one sent is no plain word', async () => {
    const response = await testApp().call('/healthz', { headers: { 'x-request-id': 'a b' } });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('has the refused requests too', async () => {
    const { call, logs } = testApp();
    await call(`${API}/labs/%ff`, { as: 'hub' });
    await call(`${API}/labs/ada`);
    expect(logs.filter(({ msg }) => msg === 'request').map(({ status }) => status)).toEqual([400, 401]);
  });

  it.each([
    ...['https%3A%2F%2Fada%3Asecret%40git.example.org%2Fa%2Fb/main', 'https://ada:secret@git.example.org/a/b'],
    ...['https%3A%2F%2Fgit.example.org%2Fa%2Fb%3Ftoken%3Dsecret/main', 'https%253A%252F%252Fh%252Fa%253Fsecret/main'],
    'https%3A%2F%2Fgit.example.org%2Fa%2Fb%23secret/main',
  ])('has nothing of the address of a repository that may be a credential: %s', async (address) => {
    const { call, logs } = testApp();
    await call(`/labwright/build/git/${address}?build_only=true`, { as: 'ada' });
    expect(logs.at(-1)).toMatchObject({ msg: 'request', path: '/labwright/build/…' });
    expect(JSON.stringify(logs)).not.toContain('secret');
  });

  it('never has a credential, a query or a body', async () => {
    const { call, logs } = testApp();
    await call(`${API}/labs/ada/create?token=in-the-query`, { as: 'ada', json: formRequest() });
    await call(`${API}/labs/ada/create`, { headers: { authorization: 'Bearer wrong-token' }, json: formRequest() });
    const text = JSON.stringify(logs);
    for (const secret of [TOKENS.ada, 'wrong-token', 'in-the-query', HUB_SECRET]) {
      expect(text).not.toContain(secret);
    }
  });
});

describe('the description of the API', () => {
  it('is OpenAPI 3.1 and the one that was written down', async () => {
    const document = await (await testApp().call('/openapi.json')).json();
    expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Labwright', version: '1.2.3' } });
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot('openapi.json');
  });

  it('refers to nothing it does not have', async () => {
    const text = await readFile(new URL('openapi.json', import.meta.url), 'utf8');
    const { components } = JSON.parse(text) as { components: { schemas: Record<string, unknown> } };
    const references = [...text.matchAll(/"\$ref": "#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect(references.length).toBeGreaterThan(10);
    for (const name of references) expect(components.schemas).toHaveProperty(name ?? '');
  });

  it('is a page that needs no script and nothing from elsewhere', async () => {
    const response = await testApp().call('/labwright/docs');
    const page = await response.text();
    expect(page).toContain('/labwright/spawner/v1/labs/{username}/create');
    expect(page).not.toMatch(/<script|<link|src=|https?:\/\/(?!hub\.example\.org)/);
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
  });
});
