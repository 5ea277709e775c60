import { describe, expect, it, vi } from 'vitest';
import { tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { KubeError } from '../../src/storage/kubernetes/kube-error.ts';
import { ConfigMaps, Pods, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { freePort } from '../support/free-port.ts';
import { errorOf, startScripted } from './support/client.ts';
import type { Answer } from './support/scripted-server.ts';

const REF = { namespace: 'ns', name: 'x' };
const OBJECT = { metadata: REF };
const FINE: Answer = (exchange) => exchange.json({ kind: 'Pod' });
const RESET: Answer = (exchange) => exchange.reset();
const STALL: Answer = () => undefined;

describe('a call that failed', () => {
  const calls = {
    get: (client: KubeClient) => client.get(Pods, REF),
    list: (client: KubeClient) => client.list(Pods),
    apply: (client: KubeClient) => client.apply(Pods, OBJECT),
    patch: (client: KubeClient) => client.patch(Pods, REF, {}),
    delete: (client: KubeClient) => client.delete(Pods, REF),
    create: (client: KubeClient) => client.create(Pods, OBJECT),
    replace: (client: KubeClient) => client.replace(Pods, OBJECT),
    bind: (client: KubeClient) => client.createSubresource(Pods, REF, 'binding', {}),
  };
  const faults: Record<string, Answer> = {
    'a reset': RESET,
    'a 500': (exchange) => exchange.status(500, 'InternalError'),
    'a 503': (exchange) => exchange.status(503, 'ServiceUnavailable'),
    'a 429': (exchange) => exchange.status(429, 'TooManyRequests'),
  };
  const safe = ['get', 'list', 'apply', 'patch', 'delete'] as const;
  const unsafe = ['create', 'replace', 'bind'] as const;

  it.each(safe.flatMap((call) => Object.keys(faults).map((fault) => ({ call, fault }))))(
    '$call is done again after $fault',
    async ({ call, fault }) => {
      const { server, client } = await startScripted();
      server.answers.push(faults[fault]!);
      server.otherwise = FINE;
      await calls[call](client);
      expect(server.exchanges).toHaveLength(2);
    },
  );

  it.each(unsafe.flatMap((call) => Object.keys(faults).map((fault) => ({ call, fault }))))(
    '$call is done again after $fault only if the server did nothing',
    async ({ call, fault }) => {
      const { server, client } = await startScripted();
      server.answers.push(faults[fault]!);
      server.otherwise = FINE;
      if (fault === 'a 429') {
        await calls[call](client);
        expect(server.exchanges).toHaveLength(2);
      } else {
        expect(await errorOf(calls[call](client))).toBeInstanceOf(KubeError);
        expect(server.exchanges).toHaveLength(1);
      }
    },
  );

  it('is done again when the connection was refused, whatever it was', async () => {
    const port = await freePort();
    const connection = tokenConnection({ server: `http://127.0.0.1:${port}`, token: 't' });
    const client = new KubeClient({ connection });
    const started = performance.now();
    const error = await errorOf(client.create(Pods, OBJECT));
    await client.close();
    expect(error).toMatchObject({ status: 0, reason: 'NoAnswer', isTransient: true });
    // Three waits of at least 50, 100 and 200 ms lie between four attempts.
    expect(performance.now() - started).toBeGreaterThan(340);
  });

  it.each([400, 401, 403, 404, 409, 410, 422])('with %i is not done again: it would fail again', async (code) => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.status(code, 'Refused');
    expect(await errorOf(client.list(Pods))).toMatchObject({ status: code, isTransient: false });
    expect(server.exchanges).toHaveLength(1);
  });

  it('for ever is given up after four attempts', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.status(500, 'InternalError');
    expect(await errorOf(client.get(Pods, REF))).toMatchObject({ status: 500, reason: 'InternalError' });
    expect(server.exchanges).toHaveLength(4);
  });

  it('waits at least as long as the server asks for', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const { server, client } = await startScripted();
    const at: number[] = [];
    server.answers.push((exchange) => {
      at.push(performance.now());
      exchange.status(429, 'TooManyRequests', { 'retry-after': '1' });
    });
    server.otherwise = (exchange) => {
      at.push(performance.now());
      exchange.json({});
    };
    await client.create(Pods, OBJECT);
    // A timer may fire a millisecond early.
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(998);
  });

  it('is given up at once when the server asks for more than there is time', async () => {
    const { server, client } = await startScripted({ timeoutMs: 300_000 });
    // Longer than the test: it would not end if it waited for its time or for that of the server.
    server.otherwise = (exchange) => exchange.status(429, 'TooManyRequests', { 'retry-after': '400' });
    expect(await errorOf(client.get(Pods, REF))).toMatchObject({ status: 429, retryAfterMs: 400_000 });
  });
});

describe('a call without an answer', () => {
  it('ends at its deadline', async () => {
    const { server, client } = await startScripted({ timeoutMs: 100 });
    server.otherwise = STALL;
    const error = await errorOf(client.get(Pods, REF));
    expect(error).toMatchObject({ status: 0, reason: 'Timeout', message: 'get Pod ns/x: no answer in time' });
    await expect.poll(() => server.exchanges.map(({ closed }) => closed)).toEqual([true]);
  });

  it('ends at its deadline, also when it is the turn of others', async () => {
    const { server, client } = await startScripted({ timeoutMs: 100, inFlight: 1 });
    server.otherwise = STALL;
    const [first, second] = await Promise.all([errorOf(client.get(Pods, REF)), errorOf(client.get(Pods, REF))]);
    expect(first).toMatchObject({ reason: 'Timeout' });
    expect(second).toMatchObject({ reason: 'Timeout' });
    expect(server.exchanges).toHaveLength(1);
  });

  it('ends at its deadline, also when it is the credentials that do not come', async () => {
    const dispatcherOf = tokenConnection({ server: 'http://127.0.0.1:1', token: 't' });
    const hung = { ...dispatcherOf, headers: () => Promise.withResolvers<Record<string, string>>().promise };
    const client = new KubeClient({ connection: hung, timeoutMs: 100 });
    expect(await errorOf(client.get(Pods, REF))).toMatchObject({ reason: 'Timeout' });
    await client.close();
  });

  it('ends when the caller has gone, and is not tried again', async () => {
    const { server, client } = await startScripted();
    const caller = new AbortController();
    server.otherwise = () => caller.abort();
    const error = await errorOf(client.get(Pods, REF, { signal: caller.signal }));
    expect(error).toBeInstanceOf(KubeError);
    expect(server.exchanges).toHaveLength(1);
  });

  it('is not sent at all when the caller has gone before', async () => {
    const { server, client } = await startScripted();
    await errorOf(client.get(Pods, REF, { signal: AbortSignal.abort() }));
    expect(server.exchanges).toHaveLength(0);
  });

  it('gives up waiting for the next attempt when the caller goes', async () => {
    const { server, client } = await startScripted({ timeoutMs: 400_000 });
    const caller = new AbortController();
    server.otherwise = (exchange) => {
      // Longer than the test.
      exchange.status(429, 'TooManyRequests', { 'retry-after': '300' });
      setImmediate(() => caller.abort());
    };
    await errorOf(client.get(Pods, REF, { signal: caller.signal }));
    expect(server.exchanges).toHaveLength(1);
  });
});

describe('the error of a call', () => {
  it('says what the API server said', async () => {
    const { server, client } = await startScripted();
    const details = { kind: 'namespaces', name: 'ns', causes: [{ reason: 'NamespaceTerminating' }] };
    server.otherwise = (exchange) => exchange.status(403, 'Forbidden', {}, details);
    const error = await errorOf(client.create(Pods, OBJECT));
    expect(error).toMatchObject({
      name: 'KubeError',
      message: 'create Pod ns/x: scripted Forbidden',
      status: 403,
      reason: 'Forbidden',
      details,
      isNamespaceTerminating: true,
    });
  });

  it.each(['<html>gateway</html>', '', 'null', '"Status"', '{"kind":"Pod"}'])(
    'is the bare status when the body %j is no Status',
    async (body) => {
      const { server, client } = await startScripted();
      server.otherwise = (exchange) => exchange.text(body, 404);
      expect(await errorOf(client.list(Pods))).toMatchObject({
        status: 404,
        reason: 'Unknown',
        message: 'list Pod: HTTP status 404',
      });
    },
  );

  it('tells when what should be JSON is not', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.text('{"kind":');
    expect(await errorOf(client.get(Pods, REF))).toMatchObject({
      status: 0,
      message: 'get Pod ns/x: the answer is not JSON',
    });
  });

  it('holds nothing of a Secret, neither of the one sent nor of the one received', async () => {
    const { server, client } = await startScripted();
    const hush = { ...OBJECT, data: { token: 'aHVzaA==' } };
    server.answers.push((exchange) => exchange.status(422, 'Invalid'), RESET);
    server.otherwise = (exchange) => exchange.text('{"token":aHVzaA==}');
    const errors = [
      await errorOf(client.create(Secrets, hush)),
      await errorOf(client.create(Secrets, hush)),
      await errorOf(client.get(Secrets, REF)),
    ];
    for (const error of errors) {
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
        expect(`${cause.stack}${JSON.stringify(cause)}`).not.toContain('aHVzaA');
      }
    }
  });

  it('names the failure of the network, without numbers that mean nothing', async () => {
    const { server, client } = await startScripted();
    server.otherwise = RESET;
    expect(await errorOf(client.create(ConfigMaps, OBJECT))).toMatchObject({
      message: expect.stringMatching(/^create ConfigMap ns\/x: (ECONNRESET|UND_ERR_SOCKET): /) as string,
    });
    const caller = new AbortController();
    server.otherwise = () => caller.abort();
    expect(await errorOf(client.get(Pods, REF, { signal: caller.signal }))).toMatchObject({
      message: expect.not.stringMatching(/\d/) as string,
    });
  });
});
