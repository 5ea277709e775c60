import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { createGafaelfawr, type Gafaelfawr } from '../../src/auth/proxy/gafaelfawr.ts';
import { createHttpClient } from '../../src/auth/http-client.ts';
import type { AuthRequest } from '../../src/auth/identity.ts';
import { proxyHeaders } from '../../src/auth/proxy/proxy-headers.ts';
import { canary } from '../support/canary.ts';

const RACHEL = {
  username: 'rachel',
  name: 'Rachel',
  email: 'rachel@example.org',
  uid: 1101,
  gid: 1102,
  groups: [
    { name: 'rachel', id: 1102 },
    { name: 'lunatics', id: 2028 },
  ],
  quota: { api: { datalinker: 500 }, notebook: { cpu: 9, memory: 27, spawn: true } },
};
const TOKEN = canary('gt-of-rachel');

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A Gafaelfawr that answers as it is told, and whom it was asked about. */
async function gafaelfawr(answer: Answer = json(200, RACHEL)) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization ?? '');
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = { ms: 1 };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/auth/api/v1/user-info`;
  const party = createGafaelfawr({ url, http: createHttpClient({ timeoutMs: 500 }), now: () => clock.ms });
  closing.push(async () => {
    await party.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { party, asked, clock, server };
}

function json(status: number, body: unknown): Answer {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
}

function provider(party?: Pick<Gafaelfawr, 'userInfo'>) {
  const lines: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
  const isTrusted = (address: string | undefined) => address === '10.0.0.1';
  const headers = proxyHeaders({
    isTrusted,
    hubUsers: ['bot-hub'],
    adminUsers: ['root'],
    gafaelfawr: party,
    logger,
  });
  return { lines, identify: (request: AuthRequest) => headers.identify(request) };
}

function requestOf(user: string, token?: string, remoteAddress = '10.0.0.1'): AuthRequest {
  const headers: Record<string, string[]> = {
    'x-auth-request-user': [user],
    ...(token === undefined ? {} : { 'x-auth-request-token': [token] }),
  };
  return { method: 'GET', headers: (name) => headers[name] ?? [], remoteAddress };
}

describe('a user whom the proxy names', () => {
  it('comes with what Gafaelfawr knows, memory in bytes', async () => {
    const { party, asked } = await gafaelfawr();
    const identity = await provider(party).identify(requestOf('rachel', TOKEN));
    expect(identity).toEqual({
      ...{ role: 'user', provider: 'proxy', subject: 'rachel', username: 'rachel', token: TOKEN },
      facts: {
        source: 'gafaelfawr',
        user: {
          ...{ username: 'rachel', name: 'Rachel', email: 'rachel@example.org', uid: 1101, gid: 1102, home: null },
          groups: RACHEL.groups,
          quota: { cpu: 9, memory: 27 * 2 ** 30, spawn: true },
          admin: null,
        },
      },
    });
    expect(asked).toEqual([`Bearer ${TOKEN}`]);
  });

  it('comes without facts when there is no token, and nobody is asked', async () => {
    const { party, asked } = await gafaelfawr();
    expect(await provider(party).identify(requestOf('rachel'))).toMatchObject({
      facts: null,
      factsMissing: 'The proxy sent no X-Auth-Request-Token header, so that nothing is known of the user',
    });
    expect(asked).toEqual([]);
    expect(await provider().identify(requestOf('rachel'))).not.toHaveProperty('factsMissing');
  });

  it('has null for what Gafaelfawr does not know', async () => {
    const { party } = await gafaelfawr(json(200, { username: 'rachel', uid: null, quota: {} }));
    const { facts } = await provider(party).identify(requestOf('rachel', TOKEN));
    expect(facts?.user).toMatchObject({ name: null, email: null, uid: null, gid: null, groups: null, quota: null });
  });

  it('has no name, address or group that could be more than one line', async () => {
    const groups = [{ name: 'staff', id: 7 }, { name: 'x\nroot:x:0:', id: 8 }, { name: 'y'.repeat(300) }];
    const facts = { username: 'rachel', name: 'R\nroot:x:0:0::/:/bin/sh', email: 'r@x\n', groups };
    const { party } = await gafaelfawr(json(200, facts));
    expect(await party.userInfo(TOKEN)).toMatchObject({ name: null, email: null, groups: [{ name: 'staff', id: 7 }] });
  });

  it('may spawn unless the quota says otherwise', async () => {
    const { party } = await gafaelfawr(json(200, { username: 'rachel', quota: { notebook: { cpu: 1, memory: 0.5 } } }));
    expect((await party.userInfo(TOKEN)).quota).toEqual({ cpu: 1, memory: 2 ** 29, spawn: true });
  });

  it('whose token is that of another is refused', async () => {
    const { party } = await gafaelfawr();
    await expect(provider(party).identify(requestOf('mallory', TOKEN))).rejects.toMatchObject({
      code: 'permission_denied',
      status: 403,
    });
  });
});

describe('the role', () => {
  it('hub is that of configured users, who are nobody and hand nothing on', async () => {
    const { party, asked } = await gafaelfawr();
    const identity = await provider(party).identify(requestOf('bot-hub', TOKEN));
    expect(identity).toEqual({
      ...{ role: 'hub', provider: 'proxy', subject: 'bot-hub', username: null, facts: null, token: null },
    });
    expect(asked).toEqual([]);
  });

  it('admin is that of configured users, who are themselves and hand nothing on', async () => {
    const { party } = await gafaelfawr(json(200, { ...RACHEL, username: 'root' }));
    const identity = await provider(party).identify(requestOf('root', TOKEN));
    expect(identity).toMatchObject({ role: 'admin', username: 'root', token: null, facts: { source: 'gafaelfawr' } });
  });

  it('is that of a user for a name that only looks like one of them', async () => {
    for (const name of ['Root', 'ROOT', 'root ', 'bot-hub.', 'ｒoot']) {
      expect((await provider().identify(requestOf(Buffer.from(name).toString('latin1')))).role).toBe('user');
    }
  });
});

describe('Gafaelfawr', () => {
  it('is asked once for many requests at once, and then not for five minutes', async () => {
    const { party, asked, clock } = await gafaelfawr();
    await Promise.all(Array.from({ length: 50 }, () => party.userInfo(TOKEN)));
    clock.ms += 299_000;
    await party.userInfo(TOKEN);
    expect(asked).toHaveLength(1);
    clock.ms += 2_000;
    await party.userInfo(TOKEN);
    expect(asked).toHaveLength(2);
  });

  it('is asked about each token for itself', async () => {
    const { party, asked } = await gafaelfawr();
    await Promise.all([party.userInfo(TOKEN), party.userInfo(canary('another'))]);
    expect(asked).toHaveLength(2);
  });

  it.each([401, 403])('that answers %i refuses the token, also the next time', async (status) => {
    const { party, asked, clock } = await gafaelfawr(json(status, { detail: [{ msg: TOKEN }] }));
    for (let call = 0; call < 2; call += 1) {
      const refused = expect(party.userInfo(TOKEN)).rejects;
      await refused.toMatchObject({ code: 'invalid_token', status: 401, message: 'User token is invalid' });
    }
    expect(asked).toHaveLength(1);
    clock.ms += 61_000;
    await expect(party.userInfo(TOKEN)).rejects.toMatchObject({ status: 401 });
    expect(asked).toHaveLength(2);
  });

  const broken: readonly [string, Answer][] = [
    ['500', json(500, {})],
    ['a redirect', (_request, response) => response.writeHead(302, { location: '/login' }).end()],
    ['200 that is no JSON', (_request, response) => response.end('<html>')],
    ['200 without a name', json(200, { uid: 1 })],
    ['a uid that is none', json(200, { username: 'rachel', uid: 'root' })],
    ['a uid below zero', json(200, { username: 'rachel', uid: -1 })],
    ['nothing', (request) => request.socket.destroy()],
    ['too late', () => undefined],
  ];
  it.each(broken)('that answers %s is a bad gateway and no refusal, and is asked again', async (_what, answer) => {
    let isBroken = true;
    const { party } = await gafaelfawr((...call) => (isBroken ? answer : json(200, RACHEL))(...call));
    const error = await party.userInfo(TOKEN).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'bad_gateway', status: 502 });
    const whole = `${String(error)} ${String((error as Error).cause)} ${(error as Error).stack ?? ''}`;
    expect(whole).not.toContain(TOKEN);
    isBroken = false;
    expect((await party.userInfo(TOKEN)).username).toBe('rachel');
  });
});

describe('identity headers from elsewhere', () => {
  it('are refused every time, and logged once a minute for each address', async () => {
    const { identify, lines } = provider();
    for (let call = 0; call < 30; call += 1) {
      await expect(identify(requestOf('rachel', TOKEN, '192.0.2.1'))).rejects.toMatchObject({ status: 401 });
    }
    await expect(identify(requestOf('rachel', TOKEN, '192.0.2.2'))).rejects.toMatchObject({ status: 401 });
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain('rachel');
  });
});
