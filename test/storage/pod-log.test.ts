import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { errorOf, startScripted } from './support/client.ts';

const REF = { namespace: 'ns', name: 'build-1' };
const NEVER = new AbortController().signal;
const OPTIONS = { container: 'builder', follow: true, timestamps: true, signal: NEVER };

describe('the log of a pod', () => {
  it('is asked for as the API takes it, and comes as it is', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.text('one\ntwo \ufffd');
    const stream = await client.podLog(REF, { ...OPTIONS, sinceTime: '2026-01-01T00:00:00Z' });
    expect(await text(stream)).toBe('one\ntwo \ufffd');
    const [exchange] = server.exchanges;
    expect(exchange?.path).toBe('/api/v1/namespaces/ns/pods/build-1/log');
    expect(Object.fromEntries(exchange!.query)).toEqual({
      container: 'builder',
      follow: 'true',
      timestamps: 'true',
      sinceTime: '2026-01-01T00:00:00Z',
    });
  });

  it('is empty of a pod that has no node yet', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.text('', 204);
    expect(await text(await client.podLog(REF, OPTIONS))).toBe('');
  });

  it('says what is wrong, once', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => exchange.status(400, 'BadRequest');
    expect(await errorOf(client.podLog(REF, OPTIONS))).toMatchObject({ status: 400, reason: 'BadRequest' });
    server.otherwise = (exchange) => exchange.status(503, 'ServiceUnavailable');
    expect(await errorOf(client.podLog(REF, OPTIONS))).toMatchObject({ status: 503, isTransient: true });
    server.otherwise = (exchange) => exchange.reset();
    expect(await errorOf(client.podLog(REF, OPTIONS))).toMatchObject({ status: 0, reason: 'NoAnswer' });
    expect(server.exchanges).toHaveLength(3);
  });

  it('is not waited for longer than for any answer', async () => {
    const { server, client } = await startScripted({ timeoutMs: 100 });
    server.otherwise = () => undefined;
    expect(await errorOf(client.podLog(REF, OPTIONS))).toMatchObject({ status: 0, reason: 'Timeout' });
  });

  it('may be silent for longer than an answer may take', async () => {
    const { server, client } = await startScripted({ timeoutMs: 100 });
    server.otherwise = (exchange) => {
      exchange.open();
      setTimeout(() => exchange.write('late').end(), 250);
    };
    expect(await text(await client.podLog(REF, OPTIONS))).toBe('late');
  });

  it('ends with its signal', async () => {
    const { server, client } = await startScripted();
    server.otherwise = (exchange) => void exchange.open();
    const stop = new AbortController();
    const stream = await client.podLog(REF, { ...OPTIONS, signal: stop.signal });
    stop.abort();
    expect(await errorOf(text(stream))).toMatchObject({ name: 'AbortError' });
  });

  it('does not wait for the rest of a refusal longer than for an answer', async () => {
    const { server, client } = await startScripted({ timeoutMs: 100 });
    server.otherwise = (exchange) => void exchange.open(500);
    expect(await errorOf(client.podLog(REF, OPTIONS))).toMatchObject({ status: 0, reason: 'Timeout' });
  });
});
