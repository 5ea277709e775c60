import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { createHttpClient } from '../../../src/auth/http-client.ts';
import { createHubClient } from '../../../src/auth/jupyterhub/client.ts';
import { hubUserLookup, serviceTokenFile } from '../../../src/auth/jupyterhub/users.ts';
import { noFacts } from '../../../src/auth/user-facts.ts';
import { FakeHub, SERVICE_TOKEN } from './fake-hub.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function setUp(token = SERVICE_TOKEN) {
  const hub = await FakeHub.start();
  const client = createHubClient({ apiUrl: hub.apiUrl, http: createHttpClient({ timeoutMs: 5_000, attempts: 1 }) });
  const folder = await mkdtemp(join(tmpdir(), 'labwright-'));
  open.push(hub, client, { close: () => rm(folder, { recursive: true }) });
  const file = join(folder, 'token');
  await writeFile(file, token);
  const clock = { now: 1_000 };
  const lookup = hubUserLookup({ client, serviceToken: serviceTokenFile(file), now: () => clock.now });
  return { hub, file, clock, lookup };
}

const model = (name: string, more: object = {}) => ({ kind: 'user', name, admin: false, groups: ['staff'], ...more });
const noAnswer = { code: 'bad_gateway', status: 502 };

describe('the user model of the hub', () => {
  it('has the groups by name', async () => {
    const { hub, lookup } = await setUp();
    hub.users.set('ada', model('ada'));
    expect(await lookup('ada')).toEqual({ ...noFacts('ada'), admin: false, groups: [{ name: 'staff', id: null }] });
  });

  it('has facts in the auth state, which say more of the groups', async () => {
    const { hub, lookup } = await setUp();
    const authState = {
      uid: 1001,
      gid: '100',
      name: 'Ada',
      email: 'ada@example.org',
      home: '/home/a',
      access_token: 'x',
    };
    hub.users.set('ada', model('ada', { auth_state: authState }));
    hub.users.set('bob', model('bob', { auth_state: { groups: [{ name: 'club', id: 7 }] } }));
    expect(await lookup('ada')).toEqual({
      ...noFacts('ada'),
      admin: false,
      ...{ uid: 1001, gid: 100, name: 'Ada', email: 'ada@example.org', home: '/home/a' },
      groups: [{ name: 'staff', id: null }],
    });
    expect((await lookup('bob'))?.groups).toEqual([{ name: 'club', id: 7 }]);
  });

  it.each([
    { uid: 0 },
    { uid: -1 },
    { uid: 1.5 },
    { uid: 'root' },
    { uid: {} },
    { home: '../x' },
    { home: 'a:b' },
    { name: 'a\nb' },
    { groups: 'staff' },
    null,
    {},
  ])('with %j in the auth state says no more than without', async (authState) => {
    const { hub, lookup } = await setUp();
    hub.users.set('ada', model('ada', { auth_state: authState }));
    expect(await lookup('ada')).toEqual({ ...noFacts('ada'), admin: false, groups: [{ name: 'staff', id: null }] });
  });

  it('is asked for once in a minute, and its absence too', async () => {
    const { hub, clock, lookup } = await setUp();
    hub.users.set('ada', model('ada'));
    await Promise.all(Array.from({ length: 50 }, () => lookup('ada')));
    expect(await lookup('nobody')).toBeUndefined();
    clock.now += 60_000;
    await Promise.all([lookup('ada'), lookup('nobody')]);
    expect(hub.asked).toEqual(['GET /users/ada', 'GET /users/nobody']);
    clock.now += 1;
    await lookup('ada');
    expect(hub.asked).toHaveLength(3);
  });

  it('is asked for by the whole name, whatever is in it', async () => {
    const { hub, lookup } = await setUp();
    hub.users.set('Zoë %2f?a=b', model('Zoë %2f?a=b'));
    expect(await lookup('Zoë %2f?a=b')).toMatchObject({ username: 'Zoë %2f?a=b' });
  });

  it('is asked for with the token that is in the file now', async () => {
    const { hub, file, lookup } = await setUp('canary-of-yesterday\n');
    hub.users.set('ada', model('ada'));
    await expect(lookup('ada')).rejects.toMatchObject(noAnswer);
    await writeFile(file, `${SERVICE_TOKEN}\n`);
    expect(await lookup('ada')).toMatchObject({ username: 'ada' });
  });

  it.each(['', '  \n', 'two words', 'x'.repeat(2000)])('cannot be had with %j in the file', async (content) => {
    const { hub, lookup } = await setUp(content);
    await expect(lookup('ada')).rejects.toMatchObject(noAnswer);
    expect(hub.asked).toEqual([]);
  });

  it.each([{ kind: 'user', name: 'bob' }, { kind: 'service', name: 'ada' }, [], 'text'])(
    'is not %j for ada',
    async (body) => {
      const { hub, lookup } = await setUp();
      hub.instead = (_, response) => response.end(JSON.stringify(body));
      await expect(lookup('ada')).rejects.toMatchObject(noAnswer);
    },
  );

  it.each([401, 403, 500, 503])('is unknown, and the user not refused, when the hub answers %i', async (status) => {
    const { hub, lookup } = await setUp();
    hub.instead = (_, response) => response.writeHead(status).end('{}');
    await expect(lookup('ada')).rejects.toMatchObject(noAnswer);
    hub.instead = undefined;
    hub.users.set('ada', model('ada'));
    expect(await lookup('ada')).toMatchObject({ username: 'ada' });
  });
});
