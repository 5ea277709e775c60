import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { waitFor } from './wait-for.ts';
import { type Fault, FaultProxy } from './fault-proxy.ts';

/** A scripted upstream: it counts what it sees and answers each POST with its number. */
let seen: string[];
let proxy: FaultProxy;
let server: ReturnType<typeof createServer>;
let watcher: ServerResponse | undefined;

function answer(request: IncomingMessage, response: ServerResponse): void {
  seen.push(`${request.method} ${request.url}`);
  request.resume();
  if (request.url?.includes('watch=true') === true) {
    watcher = response;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
  } else {
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ n: seen.length }));
  }
}

beforeEach(async () => {
  seen = [];
  watcher = undefined;
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await FaultProxy.start({ server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});

afterEach(async () => {
  await proxy.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const PODS = '/api/v1/namespaces/a/pods';

async function post(): Promise<{ status: number; n: number | undefined; body: unknown; retryAfter: string | null }> {
  const response = await fetch(`${proxy.server}${PODS}`, {
    method: 'POST',
    body: '{}',
    headers: { connection: 'close' },
  });
  const body = (await response.json()) as { n?: number };
  return { status: response.status, body, n: body.n, retryAfter: response.headers.get('retry-after') };
}

function faultOn(n: number, fault: Fault): void {
  proxy.onCall = (call) => (call === n ? fault : 'pass');
}

describe('a call through the fault proxy', () => {
  it('passes with its body and answer when nothing is asked for', async () => {
    expect(await post()).toMatchObject({ status: 201, n: 1 });
  });

  it('never reaches the server when it is reset before', async () => {
    faultOn(1, 'reset-before');
    await expect(post()).rejects.toThrow('fetch failed');
    expect(seen).toEqual([]);
  });

  it('is done by the server and looks broken to the client when it is reset after', async () => {
    faultOn(1, 'reset-after');
    await expect(post()).rejects.toThrow('fetch failed');
    expect(seen).toEqual([`POST ${PODS}`]);
  });

  it('is done twice when it is duplicated, and the client sees the second answer', async () => {
    faultOn(1, 'duplicate');
    expect(await post()).toMatchObject({ n: 2 });
    expect(seen).toHaveLength(2);
  });

  it('is answered by the proxy alone when a status is given', async () => {
    faultOn(1, { status: 429, reason: 'TooManyRequests', retryAfter: 2 });
    const { status, retryAfter, body } = await post();
    expect({ status, retryAfter }).toEqual({ status: 429, retryAfter: '2' });
    expect(body).toMatchObject({
      kind: 'Status',
      code: 429,
      reason: 'TooManyRequests',
      details: { retryAfterSeconds: 2 },
    });
    expect(seen).toEqual([]);
  });

  it('waits before the server sees it, until it is released', async () => {
    faultOn(1, 'hold-before');
    const answered = post();
    const held = await proxy.nextHeld(5_000);
    expect(held.request).toMatchObject({ n: 1, verb: 'create', resource: 'pods', namespace: 'a' });
    expect(seen).toEqual([]);
    held.release();
    expect(await answered).toMatchObject({ status: 201, n: 1 });
  });

  it('waits after the server did it, until it is released', async () => {
    faultOn(1, 'hold-after');
    const answered = post();
    const held = await proxy.nextHeld(5_000);
    expect(seen).toHaveLength(1);
    held.release();
    expect(await answered).toMatchObject({ status: 201, n: 1 });
  });

  it('is forgotten when its client goes away while it waits', async () => {
    faultOn(1, 'hold-before');
    const abort = new AbortController();
    const answered = fetch(`${proxy.server}${PODS}`, { method: 'POST', body: '{}', signal: abort.signal });
    const held = await proxy.nextHeld(5_000);
    abort.abort();
    await expect(answered).rejects.toThrow();
    await waitFor('the held call to be dropped', 5_000, () => (proxy.held.size === 0 ? true : undefined));
    held.release();
    expect(seen).toEqual([]);
  });

  it('stays without an answer when it stalls', async () => {
    faultOn(1, 'stall');
    const answered = fetch(`${proxy.server}${PODS}`, { method: 'POST', body: '{}', signal: AbortSignal.timeout(100) });
    await expect(answered).rejects.toThrow('timeout');
    expect(seen).toEqual([]);
  });

  it('is answered late when it is delayed', async () => {
    faultOn(1, { delayMs: 150 });
    const start = performance.now();
    expect(await post()).toMatchObject({ n: 1 });
    expect(performance.now() - start).toBeGreaterThan(140);
  });
});

describe('a watch through the fault proxy', () => {
  const events = ['{"n":1}\n', '{"n":2}\n', '{"n":3}\n'];

  /** Opens a watch with one fault, sends three events, reads what arrives until the end. */
  async function watch(fault: Fault): Promise<{ text: string; broken: boolean }> {
    proxy.onCall = () => fault;
    const response = await fetch(`${proxy.server}${PODS}?watch=true`);
    for (const event of events) watcher?.write(event);
    watcher?.end();
    let text = '';
    try {
      for await (const chunk of response.body!) text += Buffer.from(chunk as Uint8Array).toString('utf8');
      return { text, broken: false };
    } catch {
      return { text, broken: true };
    }
  }

  it('passes as it comes', async () => {
    expect(await watch('pass')).toEqual({ text: events.join(''), broken: false });
  });

  it('breaks in the middle of an event when it is truncated', async () => {
    const { text, broken } = await watch({ watch: { frames: 1, then: 'truncate' } });
    expect({ text, broken }).toEqual({ text: '{"n":1}\n{"n"', broken: true });
  });

  it('breaks between two events when it is reset', async () => {
    const { text, broken } = await watch({ watch: { frames: 2, then: 'reset' } });
    expect({ text, broken }).toEqual({ text: events.slice(0, 2).join(''), broken: true });
  });

  it('ends cleanly and early', async () => {
    expect(await watch({ watch: { frames: 1, then: 'end' } })).toEqual({ text: events[0], broken: false });
  });

  it('reports 410 inside the stream', async () => {
    const { text } = await watch({ watch: { frames: 1, then: 'gone' } });
    const [, last] = text.trim().split('\n');
    expect(JSON.parse(last!)).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
  });

  it('carries a line that is no JSON and goes on', async () => {
    const { text } = await watch({ watch: { frames: 1, then: 'garbage' } });
    const lines = text.trim().split('\n');
    expect(lines).toHaveLength(4);
    expect(() => JSON.parse(lines[1]!) as unknown).toThrow();
  });

  it('carries every event twice', async () => {
    const { text } = await watch({ watch: { duplicate: true } });
    expect(text.trim().split('\n')).toHaveLength(6);
  });

  it('is counted as open until it ends', async () => {
    proxy.onCall = () => 'pass';
    const response = await fetch(`${proxy.server}${PODS}?watch=true`);
    expect(proxy.requests.openWatches.size).toBe(1);
    watcher?.end();
    await response.text();
    await waitFor('the watch to be closed', 5_000, () => (proxy.requests.openWatches.size === 0 ? true : undefined));
  });

  it('breaks with everything else when the proxy is reset', async () => {
    proxy.onCall = () => 'pass';
    const response = await fetch(`${proxy.server}${PODS}?watch=true`);
    proxy.reset();
    await expect(response.text()).rejects.toThrow();
  });
});
