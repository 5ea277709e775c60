import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import { aLabState, API, fakeLabs, testApp, TOKENS } from '../support.ts';

const logger = pino({ level: 'silent' });
const serve = (labs = fakeLabs(), port = 0) =>
  startServer({ app: testApp({ labs }).app, host: '127.0.0.1', port, logger });

/** Sends lines and reads what comes back until the other end closes. */
async function raw(port: number, ...lines: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

describe('the server', () => {
  it('says which address it got', async () => {
    const server = await serve();
    const response = await fetch(`http://127.0.0.1:${String(server.address.port)}/healthz`);
    expect(await response.json()).toEqual({ status: 'ok' });
    await server.close();
  });

  it('rejects when the address is taken', async () => {
    const first = await serve();
    await expect(serve(fakeLabs(), first.address.port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await first.close();
  });

  it('answers what is no HTTP in the one error format', async () => {
    const server = await serve();
    expect(await raw(server.address.port, 'NONSENSE')).toMatch(/^HTTP\/1\.1 400 [^]*"type":"invalid_request"/);
    const long = await raw(server.address.port, 'GET / HTTP/1.1', 'Host: x', `X: ${'y'.repeat(20_000)}`);
    expect(long).toMatch(/^HTTP\/1\.1 431 [^]*"type":"invalid_request"/);
    await server.close();
  });

  it('refuses a credential that is sent twice, where only the first would be seen otherwise', async () => {
    const server = await serve(fakeLabs([aLabState()]));
    const credentials = [`Authorization: Bearer ${TOKENS.ada}`, 'Authorization: Bearer x'];
    const head = [`GET ${API}/labs/ada HTTP/1.1`, 'Host: x', 'Connection: close'];
    expect(await raw(server.address.port, ...head, ...credentials.slice(0, 1))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await raw(server.address.port, ...head, ...credentials)).toMatch(/^HTTP\/1\.1 401 /);
    await server.close();
  });

  it('holds nothing of a request whose body nobody read, however many come on one connection', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => warnings.push(warning);
    process.on('warning', note);
    const server = await serve();
    const socket = connect(server.address.port, '127.0.0.1');
    for (let sent = 0; sent < 20; sent += 1) {
      socket.write('POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n');
      await once(socket, 'data');
      socket.write('{}');
    }
    socket.destroy();
    await server.close();
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('ends a request with the app that it has begun with, and begins the next one with the app that has followed', async () => {
    const gate = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    const ready = () => {
      begun.resolve(undefined);
      return gate.promise;
    };
    const server = await serve(fakeLabs([aLabState()], { ready }));
    const ask = () =>
      fetch(`http://127.0.0.1:${String(server.address.port)}${API}/labs/ada`, {
        headers: { authorization: `Bearer ${TOKENS.ada}` },
      });
    const before = ask();
    await begun.promise;
    server.use(testApp({ labs: fakeLabs() }).app);
    expect((await ask()).status).toBe(404);
    gate.resolve(undefined);
    expect((await before).status).toBe(200);
    await server.close();
  });

  it('lets a request finish that is in progress when it closes', async () => {
    const gate = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    const labs = fakeLabs([aLabState()], {
      delete: () => {
        begun.resolve(undefined);
        return gate.promise;
      },
    });
    const server = await serve(labs);
    const url = `http://127.0.0.1:${String(server.address.port)}${API}/labs/ada`;
    const answer = fetch(url, { method: 'DELETE', headers: { authorization: `Bearer ${TOKENS.hub}` } });
    await begun.promise;
    const closed = server.close();
    gate.resolve(undefined);
    expect((await answer).status).toBe(204);
    await closed;
  });

  it('cuts what does not finish in the time it is given', async () => {
    const server = await serve(fakeLabs([], { ready: () => new Promise(() => undefined) }));
    const socket = connect(server.address.port, '127.0.0.1');
    socket.write(`GET ${API}/labs/ada HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKENS.ada}\r\n\r\n`);
    await once(socket, 'connect');
    const closed = once(socket, 'close');
    await server.close(20);
    await closed;
  });
});
