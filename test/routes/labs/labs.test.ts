import { describe, expect, it } from 'vitest';
import { LabwrightError } from '../../../src/domain/errors.ts';
import '../../support/leaks.ts';
import { aConfig, aLabState, API, fakeLabs, formRequest, HUB_SECRET, IMAGE, testApp, TOKENS } from '../support.ts';

const adasLab = {
  user: { username: 'ada', name: 'Ada', uid: 1001, gid: 1001, groups: [{ name: 'astronomers', id: 5000 }] },
  options: { size: 'small', enable_debug: false, reset_user_env: false, image: IMAGE },
  status: 'running',
  internal_url: 'http://lab.lab-ada:8888/user/ada/',
  resources: { limits: { cpu: 1, memory: 2 ** 31 }, requests: { cpu: 0.25, memory: 2 ** 29 } },
  quota: { cpu: 9, memory: 2 ** 35 },
};

describe('listing labs', () => {
  it('names the users whose lab is running', async () => {
    const labs = fakeLabs([aLabState(), aLabState({ status: 'pending' }, { username: 'bob', servername: '' })]);
    const response = await testApp({ labs }).call(`${API}/labs`, { as: 'hub' });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('["ada"]');
  });

  it('tells everything about every lab when asked for detail', async () => {
    const states = [
      aLabState(),
      aLabState({ status: 'pending', phase: 'pulling' }, { username: 'bob', servername: 'gpu' }),
    ];
    const response = await testApp({ labs: fakeLabs(states) }).call(`${API}/labs?detail=true`, { as: 'admin' });
    expect(await response.json()).toMatchObject([
      { user: { username: 'ada' }, servername: '', phase: 'running', node: 'node-1' },
      { user: { username: 'bob' }, servername: 'gpu', phase: 'pulling', status: 'pending' },
    ]);
  });

  it('refuses a value of detail that is neither true nor false', async () => {
    const response = await testApp().call(`${API}/labs?detail=perhaps`, { as: 'hub' });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ detail: [{ loc: ['query', 'detail'] }] });
  });
});

describe('reading a lab', () => {
  it('answers in the words of Nublado, keys in their order', async () => {
    const response = await testApp({ labs: fakeLabs([aLabState()]) }).call(`${API}/labs/ada`, { as: 'hub' });
    expect(await response.text()).toBe(JSON.stringify(adasLab));
  });

  it('adds what else is known when asked for detail', async () => {
    const labs = fakeLabs([aLabState({ reason: 'Evicted', message: 'The node was short of memory.' })]);
    const response = await testApp({ labs }).call(`${API}/labs/ada?detail=true`, { as: 'hub' });
    expect(await response.json()).toMatchObject({
      ...adasLab,
      reason: 'Evicted',
      message: 'The node was short of memory.',
      created_at: '2026-11-21T12:00:00.000Z',
      started_at: '2026-11-21T12:01:00.000Z',
      finished_at: null,
    });
  });

  it('answers 404 with the place of the name when there is none', async () => {
    const response = await testApp().call(`${API}/labs/ada`, { as: 'hub' });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe(
      '{"detail":[{"msg":"Unknown user ada","type":"unknown_user","loc":["path","username"]}]}',
    );
  });

  it('tells the caller of its own lab, and leaves out the place when there is none', async () => {
    const labs = fakeLabs([aLabState()]);
    expect(await (await testApp({ labs }).call(`${API}/user-status`, { as: 'ada' })).json()).toEqual(adasLab);
    const missing = await testApp({ labs }).call(`${API}/user-status`, { as: 'bob' });
    expect(missing.status).toBe(404);
    expect(await missing.json()).toEqual({ detail: [{ msg: 'Unknown user bob', type: 'unknown_user' }] });
  });

  it('keeps named servers apart from the default one', async () => {
    const labs = fakeLabs([aLabState({ status: 'pending' }, { username: 'ada', servername: 'gpu' })]);
    const { call } = testApp({ labs });
    expect((await call(`${API}/labs/ada`, { as: 'ada' })).status).toBe(404);
    expect((await call(`${API}/labs/ada/servers/gpu`, { as: 'ada' })).status).toBe(200);
    const missing = await call(`${API}/labs/ada/servers/cpu`, { as: 'ada' });
    expect(await missing.json()).toMatchObject({ detail: [{ type: 'unknown_user', loc: ['path', 'server'] }] });
  });

  it.each(['user@site', 'Zoë', 'a--b', '%41', '50% off', 'a b', '日本', 'x'.repeat(255)])(
    'finds a user whose name is %j',
    async (username) => {
      const labs = fakeLabs([aLabState({}, { username, servername: '' })]);
      const response = await testApp({ labs }).call(`${API}/labs/${encodeURIComponent(username)}`, { as: 'hub' });
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ user: { username } });
    },
  );

  it.each(['a%2Fb', 'a%00b', '%0A', 'x'.repeat(256), 'é'.repeat(128)])('refuses %j as a name', async (name) => {
    const response = await testApp().call(`${API}/labs/${name}`, { as: 'hub' });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ detail: [{ type: 'value_error', loc: ['path', 'username'] }] });
  });
});

describe('before the cluster has been read', () => {
  const notReady = () =>
    Promise.reject(new LabwrightError('not_ready', 503, 'The cluster has not been read yet', { retryAfter: 5 }));

  it.each([
    ['GET', '/labs'],
    ['GET', '/labs/ada'],
    ['DELETE', '/labs/ada'],
    ['GET', '/labs/ada/events'],
  ])('answers %s %s with 503 and when to come back, never with 404', async (method, path) => {
    const { call } = testApp({ labs: fakeLabs([], { ready: notReady }) });
    const response = await call(`${API}${path}`, { as: 'admin', method });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
  });

  it('holds a request until it can be answered', async () => {
    const picture = Promise.withResolvers<undefined>();
    const { call } = testApp({ labs: fakeLabs([aLabState()], { ready: () => picture.promise }) });
    const answer = call(`${API}/labs/ada`, { as: 'hub' });
    picture.resolve(undefined);
    expect((await answer).status).toBe(200);
  });
});

describe('deleting a lab', () => {
  it('answers 204 with nothing once the lab is gone', async () => {
    const labs = fakeLabs([aLabState()]);
    const response = await testApp({ labs }).call(`${API}/labs/ada`, { as: 'hub', method: 'DELETE' });
    expect(response.status).toBe(204);
    expect(await response.text()).toBe('');
    expect(labs.deleted).toEqual([{ username: 'ada', servername: '' }]);
  });

  it('is by force for administrators alone', async () => {
    const asked: unknown[] = [];
    const labs = fakeLabs([aLabState()], {
      delete: (_key, options) => Promise.resolve(void asked.push(options)),
    });
    const { call } = testApp({ labs });
    const remove = (as: 'admin' | 'hub' | 'ada', query: string) =>
      call(`${API}/labs/ada${query}`, { as, method: 'DELETE' }).then(({ status }) => status);
    expect(await remove('admin', '?force=true')).toBe(204);
    expect(await remove('admin', '?force=maybe')).toBe(422);
    expect(await remove('hub', '?force=true')).toBe(403);
    expect(await remove('ada', '?force=true')).toBe(403);
    expect(await remove('ada', '?force=false')).toBe(204);
    expect(asked).toEqual([{ force: true }, { force: false }]);
  });

  it('deletes a named server', async () => {
    const labs = fakeLabs([]);
    await testApp({ labs }).call(`${API}/labs/ada/servers/gpu`, { as: 'ada', method: 'DELETE' });
    expect(labs.deleted).toEqual([{ username: 'ada', servername: 'gpu' }]);
  });

  it('answers 404 with the place of the name when there was none', async () => {
    const gone = () => Promise.reject(new LabwrightError('unknown_user', 404, 'nothing known of it'));
    const { call } = testApp({ labs: fakeLabs([], { delete: gone }) });
    const response = await call(`${API}/labs/ada`, { as: 'hub', method: 'DELETE' });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({
      detail: [{ msg: 'Unknown user ada', type: 'unknown_user', loc: ['path', 'username'] }],
    });
  });

  it('says so when it failed', async () => {
    const failed = () => Promise.reject(new LabwrightError('delete_failed', 500, 'Failed to delete lab'));
    const { call } = testApp({ labs: fakeLabs([aLabState()], { delete: failed }) });
    const response = await call(`${API}/labs/ada`, { as: 'hub', method: 'DELETE' });
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('{"detail":[{"msg":"Failed to delete lab","type":"delete_failed"}]}');
  });
});

describe('creating a lab', () => {
  it('answers 201, null and the address of the lab', async () => {
    const labs = fakeLabs();
    const response = await testApp({ labs }).call(`${API}/labs/ada/create`, { as: 'ada', json: formRequest() });
    expect(response.status).toBe(201);
    expect(response.headers.get('location')).toBe('https://hub.example.org/labwright/spawner/v1/labs/ada');
    expect(await response.text()).toBe('null');
  });

  it('hands on everything resolved', async () => {
    const labs = fakeLabs();
    const json = formRequest({ size: ['large'], enable_debug: ['true'], reset_user_env: [] });
    await testApp({ labs }).call(`${API}/labs/ada/create`, { as: 'ada', json });
    expect(labs.created).toEqual([
      {
        key: { username: 'ada', servername: '' },
        user: {
          username: 'ada',
          name: 'ada of the tests',
          uid: 1001,
          gid: 1001,
          groups: [{ name: 'astronomers', id: 5000 }],
        },
        options: { size: 'large', enable_debug: true, reset_user_env: false, image: IMAGE },
        image: { reference: IMAGE, name: 'Minimal notebook', digest: '' },
        resources: { limits: { cpu: 4, memory: 2 ** 34 }, requests: { cpu: 4, memory: 2 ** 34 } },
        extendedResources: { 'nvidia.com/gpu': '1' },
        quota: null,
        secrets: {
          env: { JUPYTERHUB_SERVICE_PREFIX: '/user/ada/', JUPYTERHUB_API_TOKEN: HUB_SECRET },
          token: TOKENS.ada,
        },
        servicePrefix: '/user/ada/',
      },
    ]);
  });

  it('makes a named server, whose address says so', async () => {
    const labs = fakeLabs();
    const path = `${API}/labs/ada/servers/my%20gpu`;
    const response = await testApp({ labs }).call(`${path}/create`, { as: 'ada', json: formRequest() });
    expect(response.headers.get('location')).toBe(`https://hub.example.org${path}`);
    expect(labs.created[0]?.key).toEqual({ username: 'ada', servername: 'my gpu' });
  });

  it('takes an administrator for another user, whose facts are looked up, and keeps its token to itself', async () => {
    const labs = fakeLabs();
    const { call } = testApp({ labs });
    expect((await call(`${API}/labs/carol/create`, { as: 'admin', json: formRequest() })).status).toBe(201);
    expect(labs.created[0]).toMatchObject({ user: { username: 'carol', uid: 2001 }, secrets: { token: null } });
  });

  it('puts slashes around the service prefix', async () => {
    const labs = fakeLabs();
    const json = formRequest({}, { JUPYTERHUB_SERVICE_PREFIX: '/user/ada' });
    await testApp({ labs }).call(`${API}/labs/ada/create`, { as: 'ada', json });
    expect(labs.created[0]?.servicePrefix).toBe('/user/ada/');
  });

  it.each([
    ['lab_exists', 'Lab already exists for ada'],
    ['operation_in_progress', 'Operation in progress for ada'],
  ] as const)('answers 409 %s', async (code, message) => {
    const create = () => Promise.reject(new LabwrightError(code, 409, message));
    const { call } = testApp({ labs: fakeLabs([], { create }) });
    const response = await call(`${API}/labs/ada/create`, { as: 'ada', json: formRequest() });
    expect(response.status).toBe(409);
    expect(await response.json()).toEqual({ detail: [{ msg: message, type: code }] });
  });

  it('believes scheme and host of a trusted proxy, and of nobody else', async () => {
    const base = aConfig();
    const config = aConfig({ auth: { ...base.auth, proxyHeaders: { trustedAddresses: ['10.0.0.0/8'] } } });
    const { call } = testApp({ config });
    const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'rsp.example.com:8443' };
    const locationFrom = async (from: string, more: Record<string, string> = {}) => {
      const options = { as: 'ada', json: formRequest(), headers: { ...headers, ...more }, from } as const;
      return (await call(`${API}/labs/ada/create`, options)).headers.get('location');
    };
    expect(await locationFrom('10.1.2.3')).toBe(`https://rsp.example.com:8443${API}/labs/ada`);
    expect(await locationFrom('192.168.1.1')).toBe(`https://hub.example.org${API}/labs/ada`);
    expect(await locationFrom('10.1.2.3', { 'x-forwarded-host': 'evil/\\x' })).toBe(
      `https://hub.example.org${API}/labs/ada`,
    );
  });
});
