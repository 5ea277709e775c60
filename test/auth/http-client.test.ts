import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import '../support/leaks.ts';
import {
  createHttpClient,
  type HttpClient,
  HttpClientError,
  type HttpClientOptions,
} from '../../src/auth/http-client.ts';

const open: (Server | HttpClient)[] = [];

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  open.push(server);
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(options: HttpClientOptions = {}): HttpClient {
  const made = createHttpClient({ timeoutMs: 500, ...options });
  open.push(made);
  return made;
}

afterEach(async () => {
  for (const each of open.splice(0)) {
    if ('closeAllConnections' in each) each.closeAllConnections();
    await each.close();
  }
});

describe('asking another party', () => {
  it('gives the status and what the JSON says', async () => {
    const url = await serve((request, response) => {
      response.writeHead(403, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ seen: request.headers.authorization, accept: request.headers.accept }));
    });
    expect(await client().get(url, { authorization: 'Bearer a' })).toEqual({
      status: 403,
      body: { seen: 'Bearer a', accept: 'application/json' },
    });
  });

  it('gives no body where the answer is no JSON', async () => {
    const url = await serve((_, response) => response.end('<html>'));
    expect(await client().get(url)).toEqual({ status: 200, body: undefined });
  });

  it('follows no redirect: the credential is for one address', async () => {
    const url = await serve((_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end());
    expect((await client().get(url)).status).toBe(302);
  });

  it('asks once more when no answer came at all', async () => {
    let asked = 0;
    const url = await serve((request, response) => {
      asked += 1;
      if (asked === 1) request.socket.destroy();
      else response.end('{}');
    });
    expect(await client().get(url)).toEqual({ status: 200, body: {} });
    expect(asked).toBe(2);
  });

  it('ends after its deadline, and says where and why without what was sent', async () => {
    const url = await serve(() => undefined);
    const error: unknown = await client({ timeoutMs: 50, attempts: 1 })
      .get(`${url}/user?secret=in-query`, { authorization: 'Bearer hush' })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HttpClientError);
    expect((error as Error).message).toContain(`no answer from ${url}/user: `);
    expect((error as Error).message).not.toMatch(/hush|in-query/);
  });

  it('reads no answer without an end', async () => {
    const url = await serve((_, response) => {
      response.on('error', () => undefined);
      response.write(Buffer.alloc(2 * 1024 * 1024, ' '));
    });
    await expect(client({ attempts: 1, timeoutMs: 2000 }).get(url)).rejects.toThrow(HttpClientError);
  });
});
