import { afterEach, describe, expect, it } from 'vitest';
import { AddressGuard, AddressRefused, type LookUp } from '../../../src/storage/outbound/address-guard.ts';
import {
  type OutboundAnswer,
  OutboundClient,
  OutboundRefused,
  readAll,
} from '../../../src/storage/outbound/outbound-client.ts';
import { canary } from '../../support/canary.ts';
import { type ScriptedHost, startScriptedHost } from '../../support/scripted-host.ts';

const open: { close(): Promise<void> }[] = [];
const signal = new AbortController().signal;

afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

async function host(answer?: ScriptedHost['answer']): Promise<ScriptedHost> {
  const started = await startScriptedHost(answer);
  open.push(started);
  return started;
}

function client(privateHosts: readonly string[], { lookUp, bodyBytes }: { lookUp?: LookUp; bodyBytes?: number } = {}) {
  const guard = new AddressGuard(privateHosts, lookUp);
  const made = new OutboundClient(guard, { timeoutMs: 5_000, ...(bodyBytes === undefined ? {} : { bodyBytes }) });
  open.push(made);
  return made;
}

const statusOf = ({ status }: OutboundAnswer) => Promise.resolve(status);
const textOf = async ({ body }: OutboundAnswer) => (await readAll(body, 1_000)).toString();
/** A name server for which every name has these addresses. */
const resolvesTo =
  (...addresses: string[]): LookUp =>
  (_name, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );

describe('asking hosts that users name', () => {
  it('reaches a private host that the configuration names, at that port alone', async () => {
    const one = await host((_, response) => response.end('one'));
    const other = await host();
    const asking = client([one.host]);
    expect(await asking.ask(`${one.url}/a`, { signal }, textOf)).toBe('one');
    await expect(asking.ask(other.url, { signal }, statusOf)).rejects.toThrow(AddressRefused);
    expect(other.requests).toEqual([]);
  });

  it.each(['127.0.0.1', '0x7f.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'])(
    'does not reach %s',
    async (hostname) => {
      const target = await host();
      const { port } = new URL(target.url);
      await expect(client([]).ask(`http://${hostname}:${port}/`, { signal }, statusOf)).rejects.toThrow(AddressRefused);
      expect(target.requests).toEqual([]);
    },
  );

  it('does not reach a name that leads to a private address, whatever else it leads to in the meantime', async () => {
    const target = await host();
    const { port } = new URL(target.url);
    let asked = 0;
    const lookUp: LookUp = (name, options, callback) => {
      asked += 1;
      resolvesTo('127.0.0.1', '169.254.169.254', '::1')(name, options, callback);
    };
    const asking = client([], { lookUp });
    await expect(asking.ask(`http://public.example.org:${port}/`, { signal }, statusOf)).rejects.toThrow(
      AddressRefused,
    );
    await expect(asking.ask(`http://localhost:${port}/`, { signal }, statusOf)).rejects.toThrow(AddressRefused);
    expect(asked).toBe(2);
    expect(target.requests).toEqual([]);
  });

  it('gives a connection the public addresses of a name only', () => {
    const guard = new AddressGuard([], resolvesTo('10.0.0.1', '8.8.8.8', '::1'));
    let given: unknown;
    guard.lookup('example.org', { all: true }, (error, addresses) => (given = [error, addresses]));
    expect(given).toEqual([null, [{ address: '8.8.8.8', family: 4 }]]);
  });

  it('trusts the hosts below a name, and not the name that only ends like it', () => {
    const guard = new AddressGuard(['*.corp.example', 'git.example.org', 'dev.example.org:3000']);
    expect(guard.isTrusted('git.corp.example', 443)).toBe(true);
    expect(guard.isTrusted('GIT.example.org', 22)).toBe(true);
    expect(guard.isTrusted('git.example.org', 6443)).toBe(false);
    expect(guard.isTrusted('dev.example.org', 3000)).toBe(true);
    expect(guard.isTrusted('dev.example.org', 443)).toBe(false);
    expect(guard.isTrusted('corp.example', 443)).toBe(false);
    expect(guard.isTrusted('evilcorp.example', 443)).toBe(false);
  });

  it('follows no redirect to a private host, and takes no credential to another one', async () => {
    const secret = `Bearer ${canary('outbound')}`;
    const closed = await host();
    const other = await host((_, response) => response.end('other'));
    const one = await host((request, response) => {
      const to = request.url === '/closed' ? closed.url : other.url;
      response.writeHead(302, { location: `${to}/` }).end();
    });
    const asking = client([one.host, other.host]);
    const authorization = (url: URL) => (url.host === one.host ? secret : undefined);
    await expect(asking.ask(`${one.url}/closed`, { signal, authorization }, statusOf)).rejects.toThrow(AddressRefused);
    expect(closed.requests).toEqual([]);
    expect(await asking.ask(`${one.url}/open`, { signal, authorization }, textOf)).toBe('other');
    expect(one.requests[0]?.headers.authorization).toBe(secret);
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
  });

  it.each(['file:///etc/passwd', 'gopher://127.0.0.1/', 'http://ada:pw@127.0.0.1/', 'http://'])(
    'follows no redirect to %s',
    async (location) => {
      const one = await host((_, response) => response.writeHead(301, { location }).end());
      await expect(client([one.host]).ask(one.url, { signal }, statusOf)).rejects.toThrow(OutboundRefused);
    },
  );

  it('follows only so many redirects, and none of a POST', async () => {
    const one = await host((_, response) => response.writeHead(302, { location: '/again' }).end());
    const asking = client([one.host]);
    await expect(asking.ask(one.url, { signal }, statusOf)).rejects.toThrow(OutboundRefused);
    expect(one.requests).toHaveLength(6);
    await expect(asking.ask(one.url, { signal, method: 'POST', body: Buffer.from('a') }, statusOf)).rejects.toThrow(
      OutboundRefused,
    );
    expect(one.requests).toHaveLength(7);
  });

  it('stops reading an answer without an end', async () => {
    const one = await host((_, response) => {
      response.on('error', () => undefined);
      const write = () => {
        while (response.writable && response.write('x'.repeat(10_000)));
      };
      response.on('drain', write);
      write();
    });
    const asking = client([one.host], { bodyBytes: 100_000 });
    const count = async ({ body }: OutboundAnswer) => {
      for await (const chunk of body) expect(chunk.length).toBeGreaterThan(0);
    };
    await expect(asking.ask(one.url, { signal }, count)).rejects.toThrow(OutboundRefused);
  });

  it('asks once more when a connection ends without an answer, and only once', async () => {
    const one = await host((request) => request.socket.destroy());
    await expect(client([one.host]).ask(one.url, { signal }, statusOf)).rejects.toThrow();
    expect(one.requests).toHaveLength(2);
  });

  it('ends with its caller', async () => {
    const ended = new AbortController();
    const one = await host(() => ended.abort(new Error('the caller has gone')));
    await expect(client([one.host]).ask(one.url, { signal: ended.signal }, statusOf)).rejects.toThrow(
      'the caller has gone',
    );
  });
});
