import { once } from 'node:events';
import { connect } from 'node:net';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import '../../support/leaks.ts';
import type { BuildEvent } from '../../../src/domain/build/build.ts';
import { startServer } from '../../../src/routes/server/server.ts';
import {
  BUILD_ID,
  buildApp,
  BUILDS,
  config,
  DIGEST,
  endless,
  EVENTS,
  fakeBuilds,
  inOrder,
  PINNED,
  readChunk,
  TAGGED,
  until,
} from './build-support.ts';
import { aConfig, TOKENS } from '../support.ts';

const STREAM = `${BUILDS}/${BUILD_ID}/events`;
const first = EVENTS[0]!;

const appWith = (events: NonNullable<Parameters<typeof fakeBuilds>[1]>['events'], deps = {}) =>
  buildApp(fakeBuilds(undefined, events === undefined ? {} : { events }), deps);

describe('the events of a build', () => {
  it('are told by type, each with its id, and end with the terminal one', async () => {
    const more: BuildEvent = { ...first, id: 'a-8' };
    const response = await appWith(() => inOrder([...EVENTS, more])).call(STREAM, { as: 'ada' });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    expect(await response.text()).toBe(
      [
        'id: a-1\r\nevent: phase\r\ndata: {"phase":"queued","message":"Waiting for 2 other builds","position":3}',
        'id: a-2\r\nevent: phase\r\ndata: {"phase":"fetching","message":"Fetching the repository"}',
        'id: a-3\r\nevent: log\r\ndata: {"line":1,"phase":null,"text":"Picked Git content provider.\\n"}',
        'id: a-4\r\nevent: log\r\ndata: {"line":2,"phase":"fetching","text":"Cloning into Zoë\\n"}',
        'id: a-5\r\nevent: log\r\ndata: {"line":3,"phase":"building","text":"Step 1/5 : FROM x\\n"}',
        'id: a-6\r\nevent: phase\r\ndata: {"phase":"confirming","message":"Asking the registry"}',
        `id: a-7\r\nevent: ready\r\ndata: {"message":"The image is there","image":"${TAGGED}",` +
          `"image_reference":"${PINNED}","image_digest":"${DIGEST}","cached":false}`,
        '',
      ].join('\r\n\r\n'),
    );
  });

  it.each(['failed', 'cancelled'] as const)('end with %s, with the reason', async (type) => {
    const last: BuildEvent = { id: 'a-9', type, reason: 'BuildFailed', message: 'It has failed.' };
    const text = await (await appWith(() => inOrder([last, first])).call(STREAM, { as: 'ada' })).text();
    expect(text).toBe(`id: a-9\r\nevent: ${type}\r\ndata: {"reason":"BuildFailed","message":"It has failed."}\r\n\r\n`);
  });

  it('cannot be made to look like others by what is in a line', async () => {
    const text = 'x\r\n\r\nevent: ready\r\ndata: {}\r\n\r\n\u2028\ud800';
    const line: BuildEvent = { id: 'a\r\n-1', type: 'log', line: 1, phase: 'building', text };
    const stream = await (await appWith(() => inOrder([line, EVENTS.at(-1)!])).call(STREAM, { as: 'ada' })).text();
    const frames = stream.split('\r\n\r\n').filter((frame) => frame !== '');
    expect(frames).toHaveLength(2);
    expect(frames[0]).toMatch(/^id: a-1\r\nevent: log\r\ndata: [^\r\n]*$/);
  });

  it('go on after the last one that the reader has seen', async () => {
    const asked: (string | undefined)[] = [];
    const { call } = appWith((_, after) => {
      asked.push(after);
      return inOrder(EVENTS.slice(-1));
    });
    await (await call(STREAM, { as: 'ada', headers: { 'last-event-id': 'a-6' } })).text();
    await (await call(STREAM, { as: 'ada' })).text();
    await (await call(STREAM, { as: 'ada', headers: { 'last-event-id': 'x'.repeat(10_000) } })).text();
    expect(asked).toEqual(['a-6', undefined, undefined]);
  });

  it('are asked for when there is room, kept alive when they are quiet, and ended by who goes away', async () => {
    const text = 'x'.repeat(1024);
    const lines = Array.from({ length: 100 }, (_, at): BuildEvent => {
      return { id: String(at), type: 'log', line: at + 1, phase: null, text };
    });
    const { seen, events } = endless(lines);
    const response = await appWith(events, { keepAliveMs: 5 }).call(STREAM, { as: 'ada' });
    const reader = response.body!.getReader();
    let read = await readChunk(reader);
    expect(seen.given).toBeLessThan(20);
    while (!read.includes('"line":100')) read += await readChunk(reader);
    expect(read.match(/"line":\d+/g)).toEqual(lines.map((_, at) => `"line":${String(at + 1)}`));
    expect(await readChunk(reader)).toBe(': keep-alive\r\n');
    await reader.cancel();
    await until(() => seen.ended === 1);
  });

  it('cost nothing where only the headers are asked for', async () => {
    const { seen, events } = endless(EVENTS);
    const response = await appWith(events).call(STREAM, { as: 'ada', method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(seen.given).toBe(0);
  });

  it('end without a terminal event when the program stops or the source fails', async () => {
    const stopping = new AbortController();
    const { seen, events } = endless([first]);
    const text = (await appWith(events, { stopping: stopping.signal }).call(STREAM, { as: 'ada' })).text();
    await until(() => seen.given === 1);
    stopping.abort();
    expect(await text).toMatch(/^id: a-1[^]*\r\n\r\n$/);
    expect(await text).not.toMatch(/event: (?:ready|failed|cancelled)/);

    // eslint-disable-next-line @typescript-eslint/require-await
    const broken = appWith(async function* () {
      yield first;
      throw new Error('the source broke');
    });
    expect(await (await broken.call(STREAM, { as: 'ada' })).text()).not.toContain('broke');
    expect(broken.logs).toContainEqual(expect.objectContaining({ msg: 'stream of a build failed', build: BUILD_ID }));
  });
});

describe('on a socket', () => {
  const logger = pino({ level: 'silent' });
  const request = (path: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${TOKENS.ada}\r\n\r\n`;

  async function open(port: number, path: string) {
    const socket = connect(port, '127.0.0.1');
    socket.write(request(path));
    await once(socket, 'connect');
    return socket;
  }

  // With as much time as a machine needs that has other things to do.
  it('a thousand readers of one build all get every event', { timeout: 120_000 }, async () => {
    const gate = Promise.withResolvers<undefined>();
    let waiting = 0;
    const { app } = appWith(async function* () {
      yield* EVENTS.slice(0, -1);
      waiting += 1;
      if (waiting === 1000) gate.resolve(undefined);
      await gate.promise;
      yield EVENTS.at(-1)!;
    });
    const server = await startServer({ app, host: '127.0.0.1', port: 0, logger });
    const texts = Array.from({ length: 1000 }, async () => {
      const socket = await open(server.address.port, STREAM);
      let text = '';
      for await (const chunk of socket) {
        text += String(chunk);
        if (text.endsWith('\r\n0\r\n\r\n')) break;
      }
      return text;
    });
    for (const text of await Promise.all(texts)) {
      expect(text.match(/^id: .*$/gm)).toEqual(EVENTS.map(({ id }) => `id: ${id}`));
    }
    await server.close();
  });

  it('a reader that vanishes ends its source', async () => {
    const { seen, events } = endless(EVENTS.slice(0, 1));
    const vanishing = await startServer({ app: appWith(events).app, host: '127.0.0.1', port: 0, logger });
    const socket = await open(vanishing.address.port, STREAM);
    await once(socket, 'data');
    socket.destroy();
    await until(() => seen.ended === 1);
    await vanishing.close();
  });

  it('no user has more streams open than allowed, of labs and builds together', async () => {
    const { limits } = aConfig();
    const { events } = endless(EVENTS.slice(0, 1));
    const { app } = appWith(events, { config: { ...config, limits: { ...limits, streamsPerUser: 1 } } });
    const server = await startServer({ app, host: '127.0.0.1', port: 0, logger });
    const socket = await open(server.address.port, STREAM);
    await once(socket, 'data');
    const origin = `http://127.0.0.1:${String(server.address.port)}`;
    const headers = { authorization: `Bearer ${TOKENS.ada}`, accept: 'text/event-stream' };
    for (const path of [STREAM, STREAM.replace('events', 'log')]) {
      const refused = await fetch(`${origin}${path}`, { headers });
      expect(refused.status).toBe(429);
      await refused.text();
    }
    const binder = await fetch(`${origin}/labwright/build/gh/a/b/c?build_only=true`, { headers });
    expect(binder.status).toBe(200);
    expect(await binder.text()).toBe(
      'data: {"phase": "failed", "status_code": 429, "message": "Rate limit exceeded. Try again in 10 seconds.\\n"}\n\n',
    );
    socket.destroy();
    await server.close();
  });
});
