import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import { invalidToken } from '../../src/auth/identity.ts';
import { DEFAULT_LIMITS } from '../../src/config/limits.ts';
import { type RunningServer, startServer } from '../../src/routes/server/server.ts';
import { converse } from './raw-http.ts';
import { aConfig, aLabState, API, fakeLabs, testApp, TOKENS } from './support.ts';

const generous = aConfig().limits;
const few = (burst: number) => ({ perSecond: 0.01, burst });

function limitedApp(limits: Record<string, unknown>, deps: Parameters<typeof testApp>[0] = {}) {
  const config = aConfig({ limits: { ...generous, ...limits } });
  return testApp({ labs: fakeLabs([aLabState()]), config, ...deps });
}

type Call = ReturnType<typeof testApp>['call'];

async function statuses(call: Call, count: number, path: string, options: Parameters<Call>[1] = {}): Promise<number[]> {
  const all: number[] = [];
  for (let request = 0; request < count; request += 1) all.push((await call(path, options)).status);
  return all;
}

describe('a caller that calls too often', () => {
  it('is told so in the one error format, and when to come back', async () => {
    const { call } = limitedApp({ user: { perSecond: 0.2, burst: 1 } });
    await call(`${API}/labs/ada`, { as: 'ada' });
    const response = await call(`${API}/labs/ada`, { as: 'ada' });
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await response.json()).toEqual({ detail: [{ msg: 'Too many requests', type: 'too_many_requests' }] });
  });

  it('is told at least a second', async () => {
    const { call } = limitedApp({ user: { perSecond: 1000, burst: 1 } });
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(`${API}/labs/ada`, { as: 'ada' })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    expect(new Set(refused.map(({ headers }) => headers.get('retry-after')))).toEqual(new Set(['1']));
  });

  it('stands in the way of nobody else', async () => {
    const { call } = limitedApp({ user: few(2), hub: few(3), admin: few(4) });
    expect(await statuses(call, 3, `${API}/labs/ada`, { as: 'ada' })).toEqual([200, 200, 429]);
    expect(await statuses(call, 3, `${API}/labs/bob`, { as: 'bob' })).toEqual([404, 404, 429]);
    expect(await statuses(call, 4, `${API}/labs/ada`, { as: 'hub' })).toEqual([200, 200, 200, 429]);
    expect(await statuses(call, 5, `${API}/labs/ada`, { as: 'admin' })).toEqual([200, 200, 200, 200, 429]);
    expect((await call('/healthz')).status).toBe(200);
  });

  it('is one caller with all of its credentials and addresses', async () => {
    const config = aConfig({
      auth: { ...aConfig().auth, proxyHeaders: { trustedAddresses: ['10.0.0.1/32'] } },
      limits: { ...generous, user: few(2) },
    });
    const { call } = testApp({ config, labs: fakeLabs([aLabState()]) });
    const headers = { 'x-auth-request-user': 'ada' };
    expect((await call(`${API}/labs/ada`, { as: 'ada', from: '192.0.2.1' })).status).toBe(200);
    expect((await call(`${API}/labs/ada`, { headers, from: '10.0.0.1' })).status).toBe(200);
    expect((await call(`${API}/labs/ada`, { as: 'ada', from: '192.0.2.2' })).status).toBe(429);
  });

  it('is refused before its body is read, and written down', async () => {
    const { call, logs } = limitedApp({ user: few(1) });
    await call(`${API}/labs/ada`, { as: 'ada' });
    expect((await call(`${API}/labs/ada/create`, { as: 'ada', json: {} })).status).toBe(429);
    expect(logs.find(({ audit }) => audit === true)).toMatchObject({
      ...{ operation: 'createLab', result: 'refused', status: 429, code: 'too_many_requests', subject: 'ada' },
    });
  });
});

describe('requests without a credential', () => {
  it.each(['/', '/openapi.json', '/labwright/docs', '/nothing', `${API}/labs/ada`])(
    'to %s are limited per address',
    async (path) => {
      const { call } = limitedApp({ anonymous: few(2) });
      const answers = await statuses(call, 3, path, { from: '192.0.2.1' });
      expect(answers.slice(0, 2)).not.toContain(429);
      expect(answers[2]).toBe(429);
      expect((await call(path, { from: '192.0.2.2' })).status).not.toBe(429);
    },
  );

  it.each(['/healthz', '/readyz'])('to %s are answered during a flood from the same address', async (path) => {
    const { call } = limitedApp({ anonymous: few(1) });
    const from = '192.0.2.1';
    expect(await statuses(call, 3, '/openapi.json', { from })).toEqual([200, 429, 429]);
    expect(await statuses(call, 5, path, { from })).toEqual([200, 200, 200, 200, 200]);
    expect(await statuses(call, 2, path, { from, method: 'HEAD' })).toEqual([200, 200]);
  });

  it('to what only looks like a probe are limited per address', async () => {
    const { call } = limitedApp({ anonymous: few(1) });
    const from = '192.0.2.1';
    expect((await call('/healthz', { from, method: 'POST' })).status).toBe(405);
    expect((await call('/healthz/', { from })).status).toBe(429);
    expect((await call('/healthz/x', { from })).status).toBe(429);
    expect((await call('/readyz?x', { from })).status).toBe(200);
  });

  it('of one IPv6 network count together', async () => {
    const { call } = limitedApp({ anonymous: few(2) });
    const from = ['2001:db8::1', '2001:db8::ffff:1', '2001:db8:0:0:1::', '2001:db8:0:1::1'];
    const answers: number[] = [];
    for (const address of from) answers.push((await call('/openapi.json', { from: address })).status);
    expect(answers).toEqual([200, 200, 429, 200]);
  });

  it('count for the client where a trusted proxy names it, and for the peer where anybody else does', async () => {
    const config = aConfig({
      auth: { ...aConfig().auth, proxyHeaders: { trustedAddresses: ['10.0.0.1/32'] } },
      limits: { ...generous, anonymous: few(1) },
    });
    const { call } = testApp({ config });
    const ask = async (from: string, client: string) =>
      (await call('/openapi.json', { from, headers: { 'x-forwarded-for': client } })).status;
    expect(await ask('10.0.0.1', '203.0.113.1')).toBe(200);
    expect(await ask('10.0.0.1', '203.0.113.2')).toBe(200);
    expect(await ask('10.0.0.1', '203.0.113.1')).toBe(429);
    expect(await ask('192.0.2.1', '203.0.113.3')).toBe(200);
    expect(await ask('192.0.2.1', '203.0.113.4')).toBe(429);
  });

  it('count nothing for a route that then asks for a credential and gets one', async () => {
    const { call } = limitedApp({ anonymous: few(1) });
    expect(await statuses(call, 5, `${API}/labs/ada`, { as: 'ada' })).toEqual([200, 200, 200, 200, 200]);
  });
});

describe('credentials that are refused', () => {
  /** A provider that counts how often it is asked; it knows one good credential. */
  function countingApp(burst: number) {
    let asked = 0;
    const provider = {
      name: 'counting',
      matches: () => true,
      identify: () => {
        asked += 1;
        return Promise.reject(invalidToken('The token is not valid'));
      },
    };
    const app = limitedApp({ failedAuthentication: few(burst) }, { identity: [provider] });
    return { ...app, asked: () => asked };
  }

  it('too often from one address are shown to nobody any more', async () => {
    const { call, asked } = countingApp(3);
    const answers: number[] = [];
    for (let guess = 0; guess < 6; guess += 1) {
      const headers = { authorization: `Bearer guess-${guess}` };
      answers.push((await call(`${API}/labs/ada`, { headers, from: '192.0.2.1' })).status);
    }
    expect(answers).toEqual([401, 401, 401, 429, 429, 429]);
    expect(asked()).toBe(3);
    const other = await call(`${API}/labs/ada`, { headers: { authorization: 'Bearer guess' }, from: '192.0.2.2' });
    expect(other.status).toBe(401);
  });

  it('do not shut out the one that was good a moment ago, from the same address', async () => {
    const { call } = limitedApp({ failedAuthentication: few(2) });
    const bad = { headers: { authorization: 'Bearer bad' }, from: '192.0.2.1' };
    expect((await call(`${API}/labs/ada`, { as: 'hub', from: '192.0.2.1' })).status).toBe(200);
    expect(await statuses(call, 3, `${API}/labs/ada`, bad)).toEqual([401, 401, 429]);
    expect((await call(`${API}/labs/ada`, { as: 'hub', from: '192.0.2.1' })).status).toBe(200);
    expect((await call(`${API}/labs/ada`, { as: 'ada', from: '192.0.2.1' })).status).toBe(429);
    expect((await call(`${API}/labs/ada`, { as: 'ada', from: '192.0.2.2' })).status).toBe(200);
  });

  it('are shown to nobody beyond the limit when they come all at once, either', async () => {
    const { call, asked } = countingApp(3);
    const guesses = Array.from({ length: 50 }, (_, guess) =>
      call(`${API}/labs/ada`, { headers: { authorization: `Bearer guess-${guess}` }, from: '192.0.2.1' }),
    );
    const answers = (await Promise.all(guesses)).map(({ status }) => status);
    expect(answers.filter((status) => status === 401)).toHaveLength(3);
    expect(answers.filter((status) => status === 429)).toHaveLength(47);
    expect(asked()).toBe(3);
  });

  it('are not feared of one that comes many times at once', async () => {
    const { call } = limitedApp({ failedAuthentication: few(1) });
    const rush = Array.from({ length: 50 }, () => call(`${API}/labs/ada`, { as: 'hub', from: '192.0.2.1' }));
    expect(new Set((await Promise.all(rush)).map(({ status }) => status))).toEqual(new Set([200]));
  });

  it('hold no place any more once they were looked at, whatever came of it', async () => {
    const { call } = limitedApp({ failedAuthentication: few(1) });
    const from = '192.0.2.1';
    for (const as of ['ada', 'hub', 'admin'] as const) {
      expect((await call(`${API}/labs/ada`, { as, from })).status).toBe(200);
    }
  });

  it('are not counted when nobody could say whether they are good', async () => {
    const identify = () => Promise.reject(new Error('down'));
    const provider = { name: 'down', matches: () => true, identify };
    const { call } = limitedApp({ failedAuthentication: few(1) }, { identity: [provider] });
    const headers = { authorization: 'Bearer x' };
    expect(await statuses(call, 3, `${API}/labs/ada`, { headers })).toEqual([500, 500, 500]);
  });
});

describe('event streams', () => {
  let server: RunningServer | undefined;
  const sockets: Socket[] = [];
  afterEach(async () => {
    sockets.splice(0).forEach((socket) => socket.destroy());
    await server?.close(0);
    server = undefined;
  });

  /** A lab that says one thing and then nothing for as long as somebody listens. */
  async function serve() {
    const labs = fakeLabs([aLabState(), aLabState({}, { username: 'bob', servername: '' })], {
      async *events(_key, _after, signal) {
        yield { id: '1', type: 'info' as const, message: 'waiting' };
        if (!signal.aborted) await once(signal, 'abort');
      },
    });
    const { app } = limitedApp({ streamsPerUser: 2 }, { labs });
    server = await startServer({ app, host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) });
    return server.address.port;
  }

  async function open(port: number, as: keyof typeof TOKENS, method = 'GET', user = 'ada') {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    const head = [`${method} ${API}/labs/${user}/events HTTP/1.1`, 'Host: x', `Authorization: Bearer ${TOKENS[as]}`];
    socket.write([...head, '', ''].join('\r\n'));
    const [first] = (await once(socket, 'data')) as [Buffer];
    return { socket, status: Number(first.toString('latin1').slice(9, 12)), head: first.toString('latin1') };
  }

  it('beyond a number are refused to a user, and admitted again when one has ended', async () => {
    const port = await serve();
    const first = await open(port, 'ada');
    expect([first.status, (await open(port, 'ada')).status]).toEqual([200, 200]);
    const third = await open(port, 'ada');
    expect(third.status).toBe(429);
    expect(third.head).toMatch(/retry-after: 10\r\n/i);
    expect((await open(port, 'bob', 'GET', 'bob')).status).toBe(200);
    first.socket.destroy();
    await expect.poll(async () => (await open(port, 'ada')).status).toBe(200);
  });

  it('are not counted for a hub, which follows every spawn', async () => {
    const port = await serve();
    for (let stream = 0; stream < 5; stream += 1) expect((await open(port, 'hub')).status).toBe(200);
  });

  it('that nobody reads, as the answer to a HEAD, take no place', async () => {
    const port = await serve();
    for (let stream = 0; stream < 5; stream += 1) expect((await open(port, 'ada', 'HEAD')).status).toBe(200);
  });

  it('of labs that do not exist take no place', async () => {
    const { call } = limitedApp({ streamsPerUser: 1 });
    expect(await statuses(call, 3, `${API}/labs/ada/servers/none/events`, { as: 'ada' })).toEqual([404, 404, 404]);
  });
});

describe('connections', () => {
  it('beyond the limit are closed as they come, and that is written down once', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
    const limits = { ...DEFAULT_LIMITS, connections: 2 };
    const server = await startServer({ app: testApp().app, host: '127.0.0.1', port: 0, logger, limits });
    const open = [0, 1].map(() => connect(server.address.port, '127.0.0.1'));
    await Promise.all(open.map((socket) => once(socket, 'connect')));
    const ask = 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    for (let request = 0; request < 3; request += 1) {
      expect(await converse(server.address.port, ask)).toMatchObject({ answers: [], isClosed: true });
    }
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ level: 40, connections: 2 }]);
    const closed = once(open[0]!, 'close');
    open[0]?.destroy();
    await closed;
    await expect.poll(async () => (await converse(server.address.port, ask)).answers[0]?.status).toBe(200);
    open[1]?.destroy();
    await server.close();
  });
});

describe('what holds where nothing is configured', () => {
  const byDefault = () => testApp({ config: aConfig({ limits: {} }), labs: fakeLabs([aLabState()]) });

  it('leaves room for a hub that asks after 5,000 labs at once and spawns 1,000 at the same time', async () => {
    const { call } = byDefault();
    const asked = Array.from({ length: 5000 + 3 * 1000 }, () =>
      call(`${API}/labs/ada`, { as: 'hub', from: '10.1.1.1' }),
    );
    const answers = await Promise.all(asked);
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  });

  it('leaves room for a browser with many tabs, and stops a loop', async () => {
    const { call } = byDefault();
    const answers = await statuses(call, 400, `${API}/labs/ada`, { as: 'ada' });
    expect(answers.slice(0, 200)).not.toContain(429);
    expect(answers.filter((status) => status === 429).length).toBeGreaterThan(50);
  });

  it('leaves room for the probes of many nodes behind one address', async () => {
    const { call } = byDefault();
    expect(await statuses(call, 300, '/healthz', { from: '10.1.1.2' })).not.toContain(429);
  });
});
