import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { addressOf, ask, HttpFailure, inTime, isSilence, nextHop, pool, send } from '../../src/util/http.ts';
import '../support/leaks.ts';
import { startScriptedHost } from '../support/scripted-host.ts';

const NEVER = new AbortController().signal;
const LIMIT = 1_000;

async function start(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const host = await startScriptedHost(answer);
  const agent = pool({ connect: { timeout: 1_000 } });
  onTestFinished(async () => {
    await agent.destroy();
    await host.close();
  });
  return { host, agent, address: addressOf(new URL(`${host.url}/a?b=c`)) };
}

const failed = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe('a question over HTTP', () => {
  it('has a status, headers and all of the answer', async () => {
    const { host, agent, address } = await start((_, response) => response.writeHead(418, { 'x-a': 'b' }).end('tea'));
    const request = { ...address, method: 'POST' as const, headers: { 'x-c': 'd' }, body: 'water', signal: NEVER };
    const { status, headers, body } = await ask(agent, request, LIMIT);
    expect([status, headers['x-a'], body.toString()]).toEqual([418, 'b', 'tea']);
    expect(host.requests).toMatchObject([{ method: 'POST', url: '/a?b=c', headers: { 'x-c': 'd' } }]);
  });

  it('fails as too long beyond its bound, however the answer comes', async () => {
    const { agent, address } = await start((_, response) => {
      response.on('error', () => undefined);
      const write = () => {
        while (response.writable && response.write('x'.repeat(100)));
      };
      response.on('drain', write);
      write();
    });
    expect(await failed(ask(agent, { ...address, signal: NEVER }, LIMIT))).toMatchObject({ reason: 'too long' });
  });

  it.each([
    ['nothing comes', () => undefined],
    ['the answer does not end', (_: IncomingMessage, response: ServerResponse) => void response.write('a')],
  ])('fails as late when %s, and the connection is given up', async (_, answer) => {
    const { agent, address } = await start(answer);
    const question = inTime(50, NEVER, (signal) => ask(agent, { ...address, signal }, LIMIT));
    expect(await failed(question)).toMatchObject({ name: 'HttpFailure', reason: 'late' });
  });

  it('ends with the reason of its signal, before the answer and in the middle of it', async () => {
    for (const begins of [false, true]) {
      const gone = new AbortController();
      const { agent, address } = await start((_, response) => {
        if (begins) response.write('a');
        setImmediate(() => gone.abort(new Error('gone')));
      });
      const question = inTime(10_000, gone.signal, (signal) => ask(agent, { ...address, signal }, LIMIT));
      await expect(question).rejects.toThrow('gone');
    }
  });

  it('says why nobody answers, and nothing of what was sent', async () => {
    const { host, agent, address } = await start(() => undefined);
    await host.close();
    const request = { ...address, path: '/hush', headers: { authorization: 'hush' }, signal: NEVER };
    const error = await failed(ask(agent, request, LIMIT));
    expect(error).toBeInstanceOf(HttpFailure);
    expect(error).toMatchObject({ reason: 'no answer', code: 'ECONNREFUSED' });
    expect((error as Error).message).not.toContain('hush');
  });

  it('fails when the connection breaks in the middle of the answer', async () => {
    const { agent, address } = await start((request, response) => {
      response.writeHead(200, { 'content-length': '10' }).write('half', () => request.socket.destroy());
    });
    expect(await failed(ask(agent, { ...address, signal: NEVER }, LIMIT))).toMatchObject({ reason: 'no answer' });
  });

  it.each([
    ['a DELETE with a body', 'DELETE', '{}'],
    ['a HEAD', 'HEAD', undefined],
  ] as const)('keeps its connection after whatever was asked, also after %s', async (_what, method, body) => {
    const { host, agent, address } = await start((_, response) => response.end('{}'));
    const sockets = new Set<unknown>();
    host.answer = (request, response) => {
      sockets.add(request.socket);
      response.end('{}');
    };
    for (let count = 0; count < 20; count += 1) {
      const request = count % 2 === 0 ? { method, body } : ({ method: 'POST', body: '{}' } as const);
      await ask(agent, { ...address, ...request, signal: NEVER }, LIMIT);
    }
    // The next call may begin before the connection of the last one is free.
    expect(sockets.size).toBeLessThanOrEqual(2);
  });
});

describe('an answer that is a stream', () => {
  it('goes on after the deadline for its beginning, until its signal aborts', async () => {
    const answers: ServerResponse[] = [];
    const { agent, address } = await start((_, response) => {
      answers.push(response);
      response.write('first');
    });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const gone = new AbortController();
    const { body } = await inTime(1_000, gone.signal, (signal) => send(agent, { ...address, signal }));
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    expect(String((await chunks.next()).value)).toBe('first');
    vi.advanceTimersByTime(2_000);
    answers[0]!.write('second');
    expect(String((await chunks.next()).value)).toBe('second');
    gone.abort(new Error('gone'));
    await expect(chunks.next()).rejects.toThrow('gone');
  });

  it('ends when nothing comes for too long, and this can be told from other ends', async () => {
    const { agent, address } = await start((_, response) => void response.write('first'));
    // undici looks at its timers about once in a second.
    const { body } = await send(agent, { ...address, signal: NEVER, silenceMs: 10 });
    const error = await failed(body.text());
    expect(isSilence(error)).toBe(true);
    expect(isSilence(new Error('other'))).toBe(false);
  });
});

describe('a redirect', () => {
  const from = (url: string) => (status: number, location?: string, mayDowngrade?: boolean) => {
    const hop = nextHop(new URL(url), { status, headers: location === undefined ? {} : { location } }, mayDowngrade);
    return hop instanceof URL ? hop.href : hop;
  };

  it('is one by its status and address', () => {
    const next = from('https://a.example/b/c');
    for (const status of [301, 302, 303, 307, 308]) expect(next(status, '../d')).toBe('https://a.example/d');
    expect([next(200, '/d'), next(304, '/d'), next(302)]).toEqual([undefined, undefined, undefined]);
    expect(next(302, 'https://other.example/')).toBe('https://other.example/');
  });

  it.each(['http://a.example/', 'file:///etc/passwd', 'https://ada:pw@a.example/', 'https://', 'javascript:alert(1)'])(
    'from https to %s is refused',
    (location) => {
      expect(from('https://a.example/')(302, location)).toBe('refused');
    },
  );

  it('goes on in plain text from plain text, and otherwise only where that is allowed', () => {
    expect(from('http://a.example/')(302, 'http://b.example/')).toBe('http://b.example/');
    expect(from('https://a.example/')(302, 'http://b.example/', true)).toBe('http://b.example/');
    expect(from('https://a.example/')(302, 'http://ada:pw@b.example/', true)).toBe('refused');
  });
});
