import { afterEach, describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { AuthRequest } from '../../../src/auth/identity.ts';
import { createHttpClient } from '../../../src/auth/http-client.ts';
import { jupyterhubProvider } from '../../../src/auth/jupyterhub/provider.ts';
import { createHubClient, type HubClientOptions } from '../../../src/auth/jupyterhub/client.ts';
import { hubTokens } from '../../../src/auth/jupyterhub/tokens.ts';
import { noFacts } from '../../../src/auth/user-facts.ts';
import { until } from '../../reconcile/support/until.ts';
import { FakeHub } from './fake-hub.ts';

const LIFETIME = 300_000;
const SCOPES = {
  user: ['access:services', 'access:services!service=labwright'],
  hub: ['custom:labwright:hub'],
  admin: ['custom:labwright:admin'],
};
const ADA = { name: 'ada', groups: ['astronomers', 'staff'], scopes: ['access:services!service=labwright'] };

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function setUp(options: Partial<HubClientOptions> & { userModels?: boolean; timeoutMs?: number } = {}) {
  const { userModels = false, timeoutMs = 5_000, ...others } = options;
  const hub = await FakeHub.start();
  const http = createHttpClient({ timeoutMs, attempts: 1 });
  const client = createHubClient({ apiUrl: hub.apiUrl, http, ...others });
  open.push(hub, client);
  const clock = { now: 1_000 };
  const tokens = hubTokens({ client, cacheLifetime: LIFETIME, now: () => clock.now });
  const provider = jupyterhubProvider({ tokens, scopes: SCOPES, userModels });
  hub.holders.set('canary-of-ada', ADA);
  const ask = (token: string) => provider.identify(requestWith(`Bearer ${token}`));
  return { hub, client, clock, provider, ask };
}

function requestWith(authorization?: string): AuthRequest {
  const headers = (name: string) => (name === 'authorization' && authorization !== undefined ? [authorization] : []);
  return { method: 'GET', headers, remoteAddress: undefined };
}

const refused = { code: 'invalid_token', status: 401 };
const noAnswer = { code: 'bad_gateway', status: 502 };

describe('a token of the hub', () => {
  it('is any bearer that is no JWT', async () => {
    const { provider } = await setUp();
    const jwt = ['{"alg":"none"}', '{}'].map((part) => Buffer.from(part).toString('base64url')).join('.');
    expect(provider.matches(requestWith('Bearer abc'))).toBe(true);
    expect(provider.matches(requestWith('token abc'))).toBe(true);
    for (const token of [`${jwt}.`, `${jwt}.x.y`, `${jwt}.x.y.z`, jwt]) {
      expect(provider.matches(requestWith(`Bearer ${token}`)), token).toBe(false);
    }
    expect(provider.matches(requestWith())).toBe(false);
  });

  it('of a user stands for that user, with what the hub says of the groups', async () => {
    const { ask } = await setUp();
    expect(await ask('canary-of-ada')).toEqual({
      ...{ role: 'user', provider: 'jupyterhub', subject: 'ada', username: 'ada', token: 'canary-of-ada' },
      facts: {
        source: 'hub',
        user: {
          ...noFacts('ada'),
          admin: false,
          groups: [
            { name: 'astronomers', id: null },
            { name: 'staff', id: null },
          ],
        },
      },
    });
  });

  it('says nothing of its user where the user models are looked up, which say more', async () => {
    const { ask } = await setUp({ userModels: true });
    expect(await ask('canary-of-ada')).toMatchObject({ username: 'ada', facts: null });
  });

  it('of a service stands for nobody and is never handed to a lab', async () => {
    const { hub, ask } = await setUp();
    hub.holders.set('canary-of-a-hub', { kind: 'service', name: 'spawner', scopes: ['custom:labwright:hub'] });
    expect(await ask('canary-of-a-hub')).toEqual({
      ...{ role: 'hub', provider: 'jupyterhub', subject: 'service spawner', username: null, facts: null, token: null },
    });
  });

  it.each([
    { scopes: ['access:services'], role: 'user' },
    { scopes: ['custom:labwright:hub', 'access:services'], role: 'hub' },
    { scopes: ['access:services', 'custom:labwright:admin', 'custom:labwright:hub'], role: 'admin' },
  ])('with $scopes gives the role $role', async ({ scopes, role }) => {
    const { hub, ask } = await setUp();
    hub.holders.set('canary-of-eve', { name: 'eve', scopes });
    const identity = await ask('canary-of-eve');
    expect(identity).toMatchObject({ role, username: 'eve' });
    expect(identity.token).toBe(role === 'user' ? 'canary-of-eve' : null);
  });

  it.each([[], ['access:services!service=other'], ['custom:labwright:admin!user=ada'], ['admin:users']])(
    'with %j gives none',
    async (...scopes) => {
      const { hub, ask } = await setUp();
      hub.holders.set('canary-of-eve', { name: 'eve', scopes });
      await expect(ask('canary-of-eve')).rejects.toMatchObject({ code: 'permission_denied', status: 403 });
    },
  );

  it('for a service of another name is refused with that name, and with the setting that is for it', async () => {
    const { hub, ask } = await setUp();
    hub.holders.set('canary-of-eve', { name: 'eve', scopes: ['access:services!service=labs', 'read:users!user=eve'] });
    const message =
      'The token is for the service "labs" of the hub, and here it gives no role. Where Labwright has that name there, ' +
      '`auth.jupyterhub.scopes.user` has to say so: access:services!service=labs';
    await expect(ask('canary-of-eve')).rejects.toMatchObject({ code: 'permission_denied', status: 403, message });
  });

  it('of an administrator of the hub gives no role by that alone', async () => {
    const { hub, ask } = await setUp();
    hub.holders.set('canary-of-root', { ...ADA, admin: true } as never);
    expect(await ask('canary-of-root')).toMatchObject({ role: 'user' });
  });

  it('of a user with a name that no path can hold gives no role', async () => {
    const { hub, ask } = await setUp();
    hub.holders.set('canary-of-eve', { ...ADA, name: 'eve/../ada' });
    await expect(ask('canary-of-eve')).rejects.toMatchObject({ status: 403 });
  });

  it.each([401, 403, 404])('that the hub answers with %i is refused', async (status) => {
    const { hub, ask } = await setUp();
    hub.instead = (_, response) => response.writeHead(status).end('{}');
    await expect(ask('canary-of-ada')).rejects.toMatchObject(refused);
  });

  it('that is longer than any is refused without a question', async () => {
    const { hub, ask } = await setUp();
    await expect(ask('x'.repeat(1025))).rejects.toMatchObject(refused);
    expect(hub.asked).toEqual([]);
  });
});

describe('what the hub said of a token', () => {
  it('holds for its lifetime, and then the hub is asked again', async () => {
    const { hub, clock, ask } = await setUp();
    await ask('canary-of-ada');
    clock.now += LIFETIME;
    await ask('canary-of-ada');
    expect(hub.asked).toHaveLength(1);
    clock.now += 1;
    await ask('canary-of-ada');
    expect(hub.asked).toHaveLength(2);
  });

  it('holds when it was a refusal, too', async () => {
    const { hub, clock, ask } = await setUp();
    for (let at = 0; at < 20; at += 1) await expect(ask('canary-of-nobody')).rejects.toMatchObject(refused);
    expect(hub.asked).toHaveLength(1);
    hub.holders.set('canary-of-nobody', ADA);
    clock.now += LIFETIME + 1;
    expect(await ask('canary-of-nobody')).toMatchObject({ username: 'ada' });
  });

  it('follows the scopes and the end of a token', async () => {
    const { hub, clock, ask } = await setUp();
    await ask('canary-of-ada');
    hub.holders.set('canary-of-ada', { ...ADA, scopes: ['custom:labwright:admin'] });
    expect(await ask('canary-of-ada')).toMatchObject({ role: 'user' });
    clock.now += LIFETIME + 1;
    expect(await ask('canary-of-ada')).toMatchObject({ role: 'admin' });
    hub.holders.delete('canary-of-ada');
    clock.now += LIFETIME + 1;
    await expect(ask('canary-of-ada')).rejects.toMatchObject(refused);
  });

  it('is asked for once, however many wait for it', async () => {
    const { hub, ask } = await setUp();
    const identities = await Promise.all(Array.from({ length: 100 }, () => ask('canary-of-ada')));
    expect(new Set(identities.map(({ username }) => username))).toEqual(new Set(['ada']));
    expect(hub.asked).toHaveLength(1);
  });
});

describe('a hub in trouble', () => {
  it.each([400, 418, 429, 500, 502, 503, 302])('that answers %i refuses nobody, and is asked again', async (status) => {
    const { hub, ask } = await setUp();
    hub.instead = (_, response) => response.writeHead(status, { location: '/' }).end('{}');
    await expect(ask('canary-of-ada')).rejects.toMatchObject(noAnswer);
    hub.instead = undefined;
    expect(await ask('canary-of-ada')).toMatchObject({ username: 'ada' });
  });

  it.each(['', 'null', '[]', '{}', '<html>', '{"kind":"user","name":""}', '{"kind":"bot","name":"a","scopes":[]}'])(
    'that answers %j refuses nobody',
    async (body) => {
      const { hub, ask } = await setUp();
      hub.instead = (_, response) => response.end(body);
      await expect(ask('canary-of-ada')).rejects.toMatchObject(noAnswer);
    },
  );

  it('that breaks the connection refuses nobody', async () => {
    const { hub, ask } = await setUp();
    hub.instead = (request) => request.socket.destroy();
    await expect(ask('canary-of-ada')).rejects.toMatchObject(noAnswer);
  });

  it('that says nothing is waited for within a bound', async () => {
    const { hub, ask } = await setUp({ timeoutMs: 300 });
    hub.slowness = new Promise(() => undefined);
    await expect(ask('canary-of-ada')).rejects.toMatchObject(noAnswer);
  });

  it('that is down leaves those it knew where they are', async () => {
    const { hub, ask } = await setUp();
    await ask('canary-of-ada');
    await hub.close();
    expect(await ask('canary-of-ada')).toMatchObject({ username: 'ada' });
    await expect(ask('canary-of-bob')).rejects.toMatchObject(noAnswer);
  });

  it('that is slow is asked a few questions at once, and further ones wait or are put off', async () => {
    const { hub, ask } = await setUp({ concurrency: 3, waiting: 5 });
    const slow = Promise.withResolvers<void>();
    hub.slowness = slow.promise;
    const answers = Array.from({ length: 12 }, (_, at) => ask(`canary-${String(at)}`).catch((error: unknown) => error));
    const putOff = await Promise.race(answers);
    expect(putOff).toMatchObject({ code: 'not_ready', status: 503, retryAfter: 2 });
    await until('three questions are being answered', () => hub.asked.length === 3);
    slow.resolve();
    const statuses = (await Promise.all(answers)).map((error) => (error as { status: number }).status);
    expect(statuses.filter((status) => status === 503)).toHaveLength(4);
    expect(statuses.filter((status) => status === 401)).toHaveLength(8);
    expect(hub.most).toBe(3);
  });

  it('gets no more questions once the program stops', async () => {
    const { hub, client, ask } = await setUp({ concurrency: 1 });
    const slow = Promise.withResolvers<void>();
    hub.slowness = slow.promise;
    const answers = Array.from({ length: 3 }, (_, at) => ask(`canary-${String(at)}`).catch((error: unknown) => error));
    await client.close();
    for (const error of await Promise.all(answers)) expect(error).toMatchObject(noAnswer);
    slow.resolve();
    expect(hub.asked.length).toBeLessThanOrEqual(1);
  });

  it('is complained of without the token', async () => {
    const { hub, ask } = await setUp();
    hub.instead = (request) => request.socket.destroy();
    const error = (await ask('canary-of-ada').catch((caught: unknown) => caught)) as Error;
    for (let each: unknown = error; each instanceof Error; each = each.cause) {
      expect(`${each.message} ${each.stack ?? ''} ${JSON.stringify(each)}`).not.toContain('canary');
    }
  });
});
