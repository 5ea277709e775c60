import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { AppDeps } from '../../../src/routes/server/app.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import { aConfig, aLabState, API, fakeLabs, formRequest, IMAGE, testApp, TOKENS } from '../support.ts';

const PROXY = '10.0.0.1';

/** The app behind a trusted proxy, and its audit lines. */
function auditedApp(deps: Partial<AppDeps> = {}) {
  const auth = { ...aConfig().auth, proxyHeaders: { trustedAddresses: [`${PROXY}/32`] } };
  const { call, app, logs } = testApp({ config: aConfig({ auth }), labs: fakeLabs([aLabState()]), ...deps });
  const lines = () => logs.filter(({ audit }) => audit === true);
  return { call, app, lines, logs };
}

describe('the audit log', () => {
  it('says of a create who did it for whom, from where, with which result', async () => {
    const { call, lines } = auditedApp();
    const headers = { 'x-request-id': 'r-1', 'x-forwarded-for': '203.0.113.9, 10.0.0.1' };
    await call(`${API}/labs/carol/servers/gpu/create`, { as: 'hub', json: formRequest(), from: PROXY, headers });
    expect(lines()).toEqual([
      {
        ...{ level: 30, time: expect.any(Number) as number, pid: process.pid, hostname: expect.any(String) as string },
        ...{ msg: 'audit', audit: true, requestId: 'r-1', operation: 'createServer', result: 'done', status: 201 },
        ...{ subject: expect.stringMatching(/^hub token [0-9a-f]{8}$/) as string, role: 'hub', provider: 'token' },
        ...{ username: 'carol', server: 'gpu', remoteAddress: PROXY, forwardedFor: '203.0.113.9' },
      },
    ]);
  });

  it.each([
    ['DELETE', `${API}/labs/ada`, 'deleteLab', 204],
    ['DELETE', `${API}/labs/ada/servers/gpu`, 'deleteServer', 204],
    ['POST', `${API}/labs/ada/create`, 'createLab', 201],
    ['POST', `${API}/labs/ada/servers/gpu/create`, 'createServer', 201],
  ])('has one line for %s %s', async (method, path, operation, status) => {
    const { call, lines } = auditedApp();
    await call(path, { method, as: 'ada', ...(method === 'POST' ? { json: formRequest() } : {}) });
    expect(lines()).toHaveLength(1);
    expect(lines()[0]).toMatchObject({ operation, status, result: 'done', subject: 'ada', role: 'user' });
  });

  it('has no line for what only looks', async () => {
    const { call, lines } = auditedApp();
    for (const path of [`${API}/labs/ada`, `${API}/labs/nobody`, `${API}/lab-form/ada`, '/healthz', '/nothing']) {
      await call(path, { as: 'admin' });
    }
    expect(lines()).toEqual([]);
  });

  it('has one line for an action that fails, with the reason', async () => {
    const thrown: readonly [Error, object][] = [
      [new LabwrightError('lab_exists', 409, 'x'), { status: 409, code: 'lab_exists', result: 'failed' }],
      [
        new LabwrightError('permission_denied', 403, 'x'),
        { status: 403, code: 'permission_denied', result: 'refused' },
      ],
      [new LabwrightError('not_ready', 503, 'x'), { status: 503, code: 'not_ready', result: 'failed' }],
      [new Error('bug'), { status: 500, code: 'internal_error', result: 'failed' }],
    ];
    for (const [error, line] of thrown) {
      const { call, lines } = auditedApp({ labs: fakeLabs([], { create: () => Promise.reject(error) }) });
      await call(`${API}/labs/ada/create`, { as: 'ada', json: formRequest() });
      expect(lines()).toHaveLength(1);
      expect(lines()[0]).toMatchObject({ operation: 'createLab', ...line });
    }
  });

  it('has one line for an action whose body does not fit', async () => {
    const { call, lines } = auditedApp();
    await call(`${API}/labs/ada/create`, { as: 'ada', json: {} });
    await call(`${API}/labs/ada/create`, { as: 'ada', body: '{', headers: { 'content-type': 'application/json' } });
    expect(lines().map(({ status, code, result }) => ({ status, code, result }))).toEqual([
      { status: 422, code: 'invalid_request', result: 'failed' },
      { status: 422, code: 'invalid_request', result: 'failed' },
    ]);
  });

  it('has one line for a refusal, of anything', async () => {
    const { call, lines } = auditedApp();
    await call(`${API}/labs/ada`);
    await call(`${API}/labs/ada`, { headers: { authorization: 'Bearer wrong' } });
    await call(`${API}/labs/bob`, { as: 'ada' });
    await call(`${API}/labs`, { as: 'ada' });
    expect(
      lines().map(({ operation, status, code, subject, username }) => [operation, status, code, subject, username]),
    ).toEqual([
      ['getLab', 401, 'invalid_token', undefined, 'ada'],
      ['getLab', 401, 'invalid_token', undefined, 'ada'],
      ['getLab', 403, 'permission_denied', 'ada', 'bob'],
      ['listLabs', 403, 'permission_denied', 'ada', undefined],
    ]);
    expect(new Set(lines().map(({ result }) => result))).toEqual(new Set(['refused']));
  });

  it('has one line for what a page of another site makes a browser send, and for what our own page sends', async () => {
    const { call, lines } = auditedApp();
    const stop = (site: string) =>
      call('/labwright/account/stop', {
        from: PROXY,
        headers: { 'x-auth-request-user': 'ada', 'sec-fetch-site': site },
        body: new URLSearchParams({ server: '' }),
      });
    expect([(await stop('cross-site')).status, (await stop('same-origin')).status]).toEqual([403, 303]);
    expect(lines()).toMatchObject([
      { operation: 'stopOwnLab', result: 'refused', status: 403, code: 'permission_denied' },
      { operation: 'stopOwnLab', result: 'done', status: 303, subject: 'ada', username: 'ada' },
    ]);
  });

  it('has one line for an action whose reader goes away in the middle', async () => {
    const [gate, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const labs = fakeLabs([aLabState()], {
      delete: () => {
        begun.resolve();
        return gate.promise;
      },
    });
    const { app, lines } = auditedApp({ labs });
    const server = await startServer({ app, host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) });
    const socket = connect(server.address.port, '127.0.0.1');
    socket.write(`DELETE ${API}/labs/ada HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKENS.ada}\r\n\r\n`);
    await begun.promise;
    socket.destroy();
    await once(socket, 'close');
    gate.resolve();
    await expect.poll(lines).toHaveLength(1);
    expect(lines()[0]).toMatchObject({ operation: 'deleteLab', result: 'done', remoteAddress: '127.0.0.1' });
    await server.close();
  });
});

describe('what a line says', () => {
  it('is where the proxy says the request is from, only if the proxy is trusted', async () => {
    const forwarded: readonly [string, string, string | undefined][] = [
      [PROXY, '203.0.113.9', '203.0.113.9'],
      [PROXY, 'forged, 203.0.113.9', '203.0.113.9'],
      [PROXY, '198.51.100.1, 203.0.113.9', '203.0.113.9'],
      [PROXY, `203.0.113.9, ${PROXY}, ${PROXY}`, '203.0.113.9'],
      [PROXY, '203.0.113.9:4711', '203.0.113.9'],
      [PROXY, '[2001:db8::1]:4711', '2001:db8::1'],
      [PROXY, '203.0.113.9, nonsense', undefined],
      [PROXY, '', undefined],
      ['192.0.2.1', '203.0.113.9', undefined],
    ];
    for (const [from, value, forwardedFor] of forwarded) {
      const { call, lines } = auditedApp();
      await call(`${API}/labs/ada`, { from, headers: { 'x-forwarded-for': value } });
      expect([value, lines()[0]?.remoteAddress, lines()[0]?.forwardedFor]).toEqual([value, from, forwardedFor]);
    }
  });

  it('is bounded, and has nothing in it that could end or turn a line', async () => {
    const { call, lines } = auditedApp();
    const name = `x\n\u202e\u2028\x1b[31m${'y'.repeat(1000)}`;
    await call(`${API}/labs/${encodeURIComponent(name)}`, { as: 'ada' });
    expect(lines()[0]?.username).toBe(`x\ufffd\ufffd\ufffd\ufffd[31m${'y'.repeat(247)}…`);
  });

  it('is never a token, an environment or a query', async () => {
    const { call, lines } = auditedApp();
    const path = `${API}/labs/ada/create?token=in-the-query`;
    await call(path, { as: 'ada', json: formRequest({}, { LICENCE: 'licence-key' }) });
    await call(path, { as: 'bob', json: formRequest() });
    await call(path, { headers: { authorization: 'Bearer wrong-token', cookie: 'a=cookie' }, json: formRequest() });
    expect(lines()).toHaveLength(3);
    expect(JSON.stringify(lines())).not.toMatch(new RegExp(`canary-|query|wrong-token|cookie|licence|${IMAGE}`));
  });
});

describe('a flood of refusals', () => {
  it('from one address gets a few lines, a line about the rest, and does not hide others', async () => {
    const { call, lines, logs } = auditedApp();
    for (let request = 0; request < 200; request += 1) await call(`${API}/labs/ada`, { from: '192.0.2.1' });
    expect(lines()).toHaveLength(30);
    await call(`${API}/labs/ada`, { from: '192.0.2.2' });
    await call(`${API}/labs/ada`, { as: 'ada', method: 'DELETE', from: '192.0.2.1' });
    expect(lines()).toHaveLength(32);
    const shown = logs.filter(({ msg, level }) => msg === 'request' && level === 30);
    expect(shown).toHaveLength(32);
  });

  it('of one user gets a few lines, whatever its addresses', async () => {
    const { call, lines } = auditedApp();
    for (let request = 0; request < 100; request += 1) {
      await call(`${API}/labs/bob`, { as: 'ada', from: `192.0.2.${request}` });
    }
    expect(lines()).toHaveLength(30);
  });
});
