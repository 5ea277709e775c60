import type { IncomingMessage, ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DockerEngine } from '../../../src/storage/docker-engine/docker-engine.ts';
import { EngineError } from '../../../src/storage/docker-engine/engine-error.ts';
import { canary } from '../../support/canary.ts';
import '../../support/leaks.ts';
import { startScriptedHost } from '../../support/scripted-host.ts';

const VERSION = JSON.stringify({ ApiVersion: '1.45', MinAPIVersion: '1.24' });

/** An engine that says its version, and to everything else what the test says. */
async function start(answer: (request: IncomingMessage, response: ServerResponse) => void, timeoutMs = 5_000) {
  const host = await startScriptedHost((request, response) => {
    if (request.url === '/version') response.end(VERSION);
    else answer(request, response);
  });
  const engine = new DockerEngine({ address: `tcp://${host.host}`, timeoutMs });
  onTestFinished(async () => {
    await engine.close();
    await host.close();
  });
  return { host, engine };
}

const failed = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe('a pull', () => {
  it.each(['{"status": "', '"'])(
    'that is told of in what is no JSON fails and quotes nothing of it: %j',
    async (line) => {
      const secret = canary('progress');
      const { engine } = await start((_, response) => response.end(`{"status":"Pulling"}\n${line}${secret}\n`));
      const heard: string[] = [];
      const { signal } = new AbortController();
      const error = await failed(engine.pullImage('r.example/a:1', { signal, onProgress: (text) => heard.push(text) }));
      expect(error).toBeInstanceOf(EngineError);
      expect((error as Error).message).toBe('pull an image: a line of the stream is not JSON');
      expect(heard).toEqual(['Pulling']);
      expect(inspect(error, { depth: 9 })).not.toContain(secret);
    },
  );

  it('that is told of in a line without an end is given up', async () => {
    const { engine } = await start((_, response) => {
      response.on('error', () => undefined);
      const write = () => {
        while (response.writable && response.write('x'.repeat(10_000)));
      };
      response.on('drain', write);
      write();
    });
    const error = await failed(engine.pullImage('r.example/a:1', { signal: new AbortController().signal }));
    expect(error).toMatchObject({ status: 0, message: 'pull an image: a line of the stream is too long' });
  });
});

describe('a call to an engine', () => {
  it('has a deadline, and ends with its caller', async () => {
    const { engine } = await start(() => undefined, 50);
    expect(await failed(engine.inspectContainer('a'))).toMatchObject({ name: 'EngineError', status: 0 });
    const { engine: patient } = await start(() => gone.abort(new Error('gone')));
    const gone = new AbortController();
    await expect(patient.inspectContainer('a', gone.signal)).rejects.toThrow('gone');
  });

  it('says what the engine complains of, in front of what was asked', async () => {
    const { engine } = await start((_, response) => {
      response.writeHead(500).end(JSON.stringify({ message: 'no space left' }));
    });
    const opening = engine.openLog('a', { since: null, follow: true, signal: new AbortController().signal });
    expect(await failed(opening)).toMatchObject({ status: 500, message: 'read a log: 500 no space left' });
    const error = await failed(engine.createContainer('a', {}));
    expect(error).toMatchObject({ status: 500, message: 'create a container: 500 no space left' });
  });

  it('asks for the version once, and again when there was no answer', async () => {
    const { host, engine } = await start((_, response) => response.writeHead(404).end());
    const say = host.answer;
    host.answer = (_, response) => response.writeHead(503).end();
    expect(await failed(engine.version())).toMatchObject({ status: 503 });
    host.answer = say;
    await Promise.all([engine.inspectContainer('a'), engine.inspectContainer('b')]);
    expect(host.requests.filter(({ url }) => url === '/version')).toHaveLength(2);
  });
});
