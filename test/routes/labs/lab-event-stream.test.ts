import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { LabEvent, LabKey } from '../../../src/domain/lab/lab.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import { aLabState, API, eventsOf, fakeLabs, testApp, TOKENS } from '../support.ts';

const EVENTS = `${API}/labs/ada/events`;

const started: LabEvent = { id: 'a-1', type: 'info', message: 'Starting lab creation for ada', progress: 1 };
const complete: LabEvent = { id: 'a-9', type: 'complete', message: 'Lab Kubernetes pod started for ada' };

/** An app whose labs have just these events. */
function appWith(
  events: (key: LabKey, after: string | undefined, signal: AbortSignal) => AsyncIterable<LabEvent>,
  deps = {},
) {
  return testApp({ labs: fakeLabs([aLabState()], { events }), ...deps });
}

/** Gives its events, then waits until the signal aborts, and counts what it was asked for. */
function endless(first: readonly LabEvent[]) {
  const seen = { given: 0, ended: 0 };
  async function* events(_: LabKey, __: string | undefined, signal: AbortSignal): AsyncGenerator<LabEvent> {
    try {
      for (const event of first) {
        seen.given += 1;
        yield event;
      }
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      seen.ended += 1;
    }
  }
  return { seen, events };
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the bytes of an event stream', () => {
  it('are those of Nublado, with ids', async () => {
    const error: LabEvent = { id: 'a-2', type: 'error', message: 'Zoë said "no"\nand\t\u007f\u{1f600}' };
    const failed: LabEvent = { id: 'a-3', type: 'failed', message: 'Lab spawn failed' };
    const { call } = appWith(() => eventsOf([started, error, failed]));
    const response = await call(EVENTS, { as: 'ada' });
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    });
    expect(await response.text()).toBe(
      'id: a-1\r\nevent: info\r\ndata: {"message": "Starting lab creation for ada", "progress": 1}\r\n\r\n' +
        'id: a-2\r\nevent: error\r\ndata: {"message": "Zo\\u00eb said \\"no\\"\\nand\\t\\u007f\\ud83d\\ude00"}\r\n\r\n' +
        'id: a-3\r\nevent: failed\r\ndata: {"message": "Lab spawn failed"}\r\n\r\n',
    );
  });

  it('end with the terminal event, whatever the source would still say', async () => {
    const { seen, events } = endless([started, complete, { ...started, id: 'a-10' }]);
    const text = await (await appWith(events).call(EVENTS, { as: 'ada' })).text();
    expect(text).toMatch(/event: complete\r\ndata: \{"message": "Lab Kubernetes pod started for ada"\}\r\n\r\n$/);
    await until(() => seen.ended === 1);
  });

  it('say that the stream is alive when nothing happens', async () => {
    const { events } = endless([started]);
    const response = await appWith(events, { keepAliveMs: 5 }).call(EVENTS, { as: 'ada' });
    const reader = response.body!.getReader();
    expect(await readChunk(reader)).toMatch(/^id: a-1/);
    expect(await readChunk(reader)).toBe(': keep-alive\r\n');
    expect(await readChunk(reader)).toBe(': keep-alive\r\n');
    await reader.cancel();
  });
});

describe('a reader', () => {
  it('that comes back is given what it has not seen', async () => {
    const asked: (string | undefined)[] = [];
    const { call } = appWith((_, after) => {
      asked.push(after);
      return eventsOf([complete]);
    });
    await (await call(EVENTS, { as: 'ada', headers: { 'last-event-id': 'a-1' } })).text();
    await (await call(EVENTS, { as: 'ada' })).text();
    await (await call(EVENTS, { as: 'ada', headers: { 'last-event-id': 'x'.repeat(10_000) } })).text();
    expect(asked).toEqual(['a-1', undefined, undefined]);
  });

  it('of a lab that nobody knows gets a 404, not an empty stream', async () => {
    const response = await testApp().call(EVENTS, { as: 'ada' });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ detail: [{ type: 'unknown_user', loc: ['path', 'username'] }] });
  });

  it('that asks for the headers only costs nothing', async () => {
    const { seen, events } = endless([started]);
    const response = await appWith(events).call(EVENTS, { as: 'ada', method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(seen.given).toBe(0);
  });

  it('that is slow makes the source wait', async () => {
    const { seen, events } = endless(Array.from({ length: 1000 }, (_, at) => ({ ...started, id: String(at) })));
    const response = await appWith(events).call(EVENTS, { as: 'ada' });
    const reader = response.body!.getReader();
    await readChunk(reader);
    await readChunk(reader);
    expect(seen.given).toBe(2);
    await reader.cancel();
  });

  it('that goes away ends the source, also one that is waiting', async () => {
    const { seen, events } = endless([started]);
    const response = await appWith(events).call(EVENTS, { as: 'ada' });
    const reader = response.body!.getReader();
    await readChunk(reader);
    const waiting = reader.read();
    await reader.cancel();
    await waiting;
    await until(() => seen.ended === 1);
  });

  it('is let go without a terminal event when the program stops, so that it comes back', async () => {
    const stopping = new AbortController();
    const { seen, events } = endless([started]);
    const { call } = appWith(events, { stopping: stopping.signal });
    const text = (await call(EVENTS, { as: 'ada' })).text();
    await until(() => seen.given === 1);
    stopping.abort();
    expect(await text).toMatch(/^id: a-1[^]*\r\n\r\n$/);
    expect(await text).not.toMatch(/complete|failed/);
    expect(await (await call(EVENTS, { as: 'ada' })).text()).toBe('');
    await until(() => seen.ended === 1);
  });

  it('sees the stream end when its source fails, and the log says why', async () => {
    // eslint-disable-next-line @typescript-eslint/require-await
    const { call, logs } = appWith(async function* () {
      yield started;
      throw new Error('the source broke');
    });
    const text = await (await call(EVENTS, { as: 'ada' })).text();
    expect(text).not.toContain('broke');
    expect(logs).toContainEqual(expect.objectContaining({ msg: 'event stream failed', username: 'ada' }));
  });
});

describe('on a socket', () => {
  const logger = pino({ level: 'silent' });

  async function serve(app: ReturnType<typeof testApp>['app']) {
    const server = await startServer({ app, host: '127.0.0.1', port: 0, logger });
    return { server, origin: `http://127.0.0.1:${String(server.address.port)}`, port: server.address.port };
  }

  function rawReader(port: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1');
    socket.write(`GET ${EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKENS.ada}\r\n\r\n`);
    return once(socket, 'connect').then(() => socket);
  }

  it('a thousand readers all get the terminal event', async () => {
    const waiting: (() => void)[] = [];
    const { app } = appWith(async function* (_, __, signal) {
      yield started;
      const gate = Promise.withResolvers<undefined>();
      waiting.push(() => gate.resolve(undefined));
      signal.addEventListener('abort', () => gate.resolve(undefined), { once: true });
      await gate.promise;
      yield complete;
    });
    const { server, port } = await serve(app);
    const texts = Array.from({ length: 1000 }, async () => {
      const socket = await rawReader(port);
      let text = '';
      for await (const chunk of socket) {
        text += String(chunk);
        // The body's last chunk; the connection itself would be kept.
        if (text.endsWith('\r\n0\r\n\r\n')) break;
      }
      return text;
    });
    await until(() => waiting.length === 1000);
    for (const release of waiting) release();
    for (const text of await Promise.all(texts)) expect(text).toContain('event: complete');
    await server.close();
  });

  it('a reader that vanishes ends its source', async () => {
    const { seen, events } = endless([started]);
    const { server, port } = await serve(appWith(events).app);
    const socket = await rawReader(port);
    await once(socket, 'data');
    socket.destroy();
    await until(() => seen.ended === 1);
    await server.close();
  });

  it('a reader that never reads stops the source instead of filling the memory', async () => {
    const big = 'x'.repeat(64 * 1024);
    let given = 0;
    const { app } = appWith(async function* () {
      for (; given < 10_000; given += 1) yield await Promise.resolve({ ...started, message: big });
    });
    const { server, port } = await serve(app);
    const socket = await rawReader(port);
    socket.pause();
    let before = -1;
    const settled = async () => {
      // What fits into the buffers of both sockets is written; then nothing moves any more.
      for (let still = 0; still < 50; still = before === given ? still + 1 : 0) {
        before = given;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    await settled();
    expect(given).toBeLessThan(1000);
    socket.destroy();
    await server.close();
  });

  it('stopping ends the open streams and then the server', async () => {
    const stopping = new AbortController();
    const { seen, events } = endless([started]);
    const { server, port } = await serve(appWith(events, { stopping: stopping.signal }).app);
    const socket = await rawReader(port);
    await once(socket, 'data');
    stopping.abort();
    socket.resume();
    await server.close();
    await until(() => seen.ended === 1);
    socket.destroy();
  });
});
