import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FoundImage, OciRegistry } from '../../../src/storage/registry/image-registry.ts';
import { RegistryProblem } from '../../../src/storage/registry/problems.ts';
import { Contents, digestOf, DOCKER, makeRegistry, OCI } from './image-registry.ts';
import { makeClient, type Script, ScriptedServer, type Seen } from './scripted-registry.ts';

const { signal } = new AbortController();
const PATH = '/v2/labs/a/manifests/1';
const OTHER = `sha256:${'b'.repeat(64)}`;

let server: ScriptedServer;
let contents: Contents;
let registry: OciRegistry;

beforeEach(async () => {
  server = await ScriptedServer.start();
  contents = new Contents();
  server.answer((seen) => contents.answer(seen));
  ({ registry } = makeRegistry({ host: server.host, url: server.url }));
});

afterEach(async () => {
  await registry.close();
  await server.close();
});

function find(known?: FoundImage, reference = '1'): Promise<FoundImage | null> {
  return registry.findImage('labs/a', reference, { known, signal });
}

async function problemOf(promise: Promise<unknown>): Promise<RegistryProblem> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryProblem);
  return error as RegistryProblem;
}

/** An index for some platforms, each with one layer, and an attestation beside them. */
function putIndex(platforms: readonly [string, string, number][], types = OCI): string {
  const manifests = platforms.map(([os, architecture, size]) => ({
    mediaType: types.manifest,
    digest: contents.putImage('labs/a', null, [size], architecture, types),
    size: 1,
    platform: { os, architecture },
  }));
  const attestation = {
    mediaType: OCI.manifest,
    digest: OTHER,
    size: 1,
    platform: { os: 'unknown', architecture: 'unknown' },
  };
  return contents.put('labs/a', '1', types.index, {
    schemaVersion: 2,
    mediaType: types.index,
    manifests: [attestation, ...manifests],
  });
}

describe('an image of one architecture', () => {
  it.each([
    ['OCI', OCI],
    ['Docker', DOCKER],
  ])('is found with its size and architecture, in the form of %s', async (_form, types) => {
    const digest = contents.putImage('labs/a', '1', [1_000, 20], 'arm64', types);
    expect(await find()).toEqual({ digest, size: 1_020, architectures: ['arm64'] });
    expect(server.lines).toEqual([`GET ${PATH}`, expect.stringMatching(/^GET \/v2\/labs\/a\/blobs\/sha256:/)]);
  });

  it('is found by its digest', async () => {
    const digest = contents.putImage('labs/a', '1', [7]);
    expect(await find(undefined, digest)).toMatchObject({ digest, size: 7 });
  });

  it('is not read again while its tag names it', async () => {
    const digest = contents.putImage('labs/a', '1', [7]);
    const known = await find();
    server.seen.length = 0;
    expect(await find(known ?? undefined)).toBe(known);
    expect(server.lines).toEqual([`HEAD ${PATH}`]);
    expect(server.seen[0]?.headers['if-none-match']).toBe(`"${digest}"`);
  });

  it('is not read again by a registry that has no ETag', async () => {
    contents.putImage('labs/a', '1', [7]);
    const known = await find();
    server.answer(({ headers, ...seen }) => contents.answer({ ...seen, headers: { ...headers, 'if-none-match': '' } }));
    server.seen.length = 0;
    expect(await find(known ?? undefined)).toBe(known);
    expect(server.lines).toEqual([`HEAD ${PATH}`]);
  });

  it('is another one when its tag has moved', async () => {
    contents.putImage('labs/a', '1', [7]);
    const known = await find();
    const digest = contents.putImage('labs/a', '1', [8]);
    server.seen.length = 0;
    expect(await find(known ?? undefined)).toEqual({ digest, size: 8, architectures: ['amd64'] });
    expect(server.lines.slice(0, 2)).toEqual([`HEAD ${PATH}`, `GET /v2/labs/a/manifests/${digest}`]);
    expect(server.lines).toHaveLength(3);
  });

  it('is not read again for another tag that names it, now or once that has moved', async () => {
    contents.putImage('labs/a', '1', [7]);
    contents.putImage('labs/a', '2', [7]);
    contents.putImage('labs/a', '3', [8]);
    const [first, second, third] = [await find(), await find(undefined, '2'), await find(undefined, '3')];
    expect(second).toEqual(first);
    contents.putImage('labs/a', '3', [7]);
    expect(await find(third ?? undefined, '3')).toEqual(first);
    expect(server.lines.filter((line) => !line.includes('/blobs/'))).toEqual([
      ...[1, 2, 3].map((tag) => `GET /v2/labs/a/manifests/${tag}`),
      'HEAD /v2/labs/a/manifests/3',
    ]);
  });

  it('is null when its tag is gone', async () => {
    contents.putImage('labs/a', '1', [7]);
    const known = await find();
    contents.remove('labs/a/manifests/1');
    expect(await find(known ?? undefined)).toBeNull();
    expect(server.lines.slice(-2)).toEqual([`HEAD ${PATH}`, `GET ${PATH}`]);
  });

  it('is not thought gone because of a web page', async () => {
    server.answer(() => ({ status: 404, body: '<html>404</html>' }));
    expect(await problemOf(find())).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });

  it('is null where Docker Hub does not take its own token', async () => {
    server.answer(({ url }) =>
      url.startsWith('/token')
        ? { status: 200, body: '{"token":"tok"}' }
        : { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } },
    );
    const hub = makeRegistry({ host: 'docker.io', url: server.url }).registry;
    expect(await hub.findImage('library/none', '1', { signal })).toBeNull();
    await hub.close();
    await expect(find()).rejects.toMatchObject({ reason: 'RegistryDenied', transient: false });
  });

  it('is found where HEAD is not known, or says nothing', async () => {
    const digest = contents.putImage('labs/a', '1', [7]);
    for (const status of [405, 501, 200]) {
      server.answer((seen) => (seen.method === 'HEAD' ? { status } : contents.answer(seen)));
      server.seen.length = 0;
      const known = { digest: OTHER, size: 1, architectures: null };
      expect(await find(known)).toEqual({ digest, size: 7, architectures: ['amd64'] });
      expect(server.lines.slice(0, 2)).toEqual([`HEAD ${PATH}`, `GET ${PATH}`]);
    }
  });

  it('has no architecture that is known where its configuration cannot be read, or is too large', async () => {
    const digest = contents.putImage('labs/a', '1', [7]);
    for (const body of ['other', undefined]) {
      server.answer((seen) => {
        if (!seen.url.includes('/blobs/')) return contents.answer(seen);
        return body === undefined ? { status: 404 } : { status: 200, body };
      });
      expect(await find()).toEqual({ digest, size: 7, architectures: null });
    }
    const config = { mediaType: OCI.config, digest: OTHER, size: 2 ** 20 };
    contents.put('labs/a', '1', OCI.manifest, { schemaVersion: 2, config, layers: [] });
    server.seen.length = 0;
    expect(await find()).toMatchObject({ size: 0, architectures: null });
    expect(server.lines).toHaveLength(1);
  });
});

describe('an image of several architectures', () => {
  it.each([
    ['OCI', OCI],
    ['Docker', DOCKER],
  ])('is found with the size for linux/amd64, in the form of %s', async (_form, types) => {
    const platforms = [
      ['linux', 'arm64', 5],
      ['linux', 'amd64', 6],
      ['linux', 'arm64', 7],
      ['windows', 'amd64', 8],
    ] as [string, string, number][];
    const digest = putIndex(platforms, types);
    expect(await find()).toEqual({ digest, size: 6, architectures: ['arm64', 'amd64'] });
    expect(server.lines).toHaveLength(2);
  });

  it('has the size of the first where none is for linux/amd64', async () => {
    const digest = putIndex([
      ['linux', 'arm64', 5],
      ['linux', 's390x', 6],
    ]);
    expect(await find()).toEqual({ digest, size: 5, architectures: ['arm64', 's390x'] });
  });

  it('has no size that is known where the registry holds a part of it only', async () => {
    const manifests = [
      { mediaType: OCI.manifest, digest: OTHER, size: 1, platform: { os: 'linux', architecture: 'amd64' } },
    ];
    const digest = contents.put('labs/a', '1', OCI.index, { schemaVersion: 2, mediaType: OCI.index, manifests });
    expect(await find()).toEqual({ digest, size: null, architectures: ['amd64'] });
  });

  it('may be empty, or of indexes', async () => {
    const digest = contents.put('labs/a', '1', OCI.index, { schemaVersion: 2, mediaType: OCI.index, manifests: [] });
    expect(await find()).toEqual({ digest, size: null, architectures: null });
    const manifests = [{ mediaType: OCI.index, digest, size: 1, platform: { os: 'linux', architecture: 'amd64' } }];
    contents.put('labs/a', '1', OCI.index, { schemaVersion: 2, mediaType: OCI.index, manifests });
    expect(await find()).toMatchObject({ size: null, architectures: ['amd64'] });
  });
});

describe('a registry that sends a body after HEAD', () => {
  it('is read all the same', async () => {
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: OCI.manifest, layers: [{ size: 5 }] });
    const rude = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.on('data', (data) => {
        const isHead = data.toString().startsWith('HEAD');
        const body = isHead ? '<html>' : manifest;
        const status = isHead ? '404 Not Found' : '200 OK';
        socket.write(`HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      });
    }).listen(0, '127.0.0.1');
    await once(rude, 'listening');
    const host = `127.0.0.1:${(rude.address() as AddressInfo).port}`;
    const reader = makeRegistry({ host, url: `http://${host}` }).registry;
    const builds = makeClient({ host, url: `http://${host}` }).client;
    const digest = digestOf(manifest);
    for (let round = 0; round < 5; round += 1) {
      const known = { digest: OTHER, size: 1, architectures: null };
      expect(await reader.findImage('labs/a', '1', { known, signal })).toEqual({
        digest,
        size: 5,
        architectures: null,
      });
      expect(await builds.findDigest(`${host}/labs/a:1`)).toBe(digest);
    }
    await Promise.all([reader.close(), builds.close()]);
    rude.close();
    await once(rude, 'close');
  });
});

describe('a manifest that is not to be trusted', () => {
  it('is refused with another digest than it was named by', async () => {
    contents.putImage('labs/a', '1', [7]);
    const spoilt = ({ method, ...seen }: Seen): Script => {
      const answer = contents.answer({ ...seen, method });
      return typeof answer === 'object' && method === 'GET' ? { ...answer, body: `${answer.body} ` } : answer;
    };
    server.answer(spoilt);
    for (const known of [undefined, { digest: OTHER, size: 1, architectures: null }]) {
      expect((await problemOf(find(known))).message).toContain('another digest');
    }
  });

  it.each([
    { schemaVersion: 1, fsLayers: [] },
    { schemaVersion: 2, layers: [{ size: -1 }] },
    { schemaVersion: 2, layers: [{ size: 1e300 }] },
    { schemaVersion: 2, layers: 'none' },
    { schemaVersion: 2 },
  ])('is no image: %o', async (value) => {
    contents.put('labs/a', '1', OCI.manifest, value);
    expect(await problemOf(find())).toMatchObject({ reason: 'RegistryUnavailable', transient: false });
  });

  it('is not read beyond what a manifest has', async () => {
    server.answer(({ method }) =>
      method === 'HEAD' ? { status: 405 } : { status: 200, body: 'x'.repeat(5 * 2 ** 20) },
    );
    expect((await problemOf(find())).message).toContain('more than it should');
  });
});

it.each([
  ['../a', '1'],
  ['labs/a', '../1'],
  ['labs/a', '1?x'],
  ['labs/a', 'sha256:1'],
  ['Labs', '1'],
  ['', '1'],
])('is not asked for what is no name of an image: %s, %s', async (repository, reference) => {
  await expect(registry.findImage(repository, reference, { signal })).rejects.toThrow(TypeError);
  expect(server.seen).toEqual([]);
});

describe('a registry that is asked for many images', () => {
  it('is asked for eight at the same moment', async () => {
    const gate = Promise.withResolvers<undefined>();
    let [now, most] = [0, 0];
    contents.putImage('labs/a', '1', [7]);
    server.answer(async (seen) => {
      most = Math.max(most, ++now);
      if (most === 8) gate.resolve(undefined);
      await gate.promise;
      now -= 1;
      return contents.answer(seen);
    });
    const found = await Promise.all(Array.from({ length: 30 }, () => find()));
    expect(found.every((image) => image?.size === 7)).toBe(true);
    expect(most).toBe(8);
  });

  it('is not asked for those that nobody waits for any more', async () => {
    server.answer(() => 'hang');
    const leaving = new AbortController();
    const all = Array.from({ length: 20 }, () => registry.findImage('labs/a', '1', { signal: leaving.signal }));
    const ends = Promise.allSettled(all);
    leaving.abort(new Error('gone'));
    expect((await ends).every(({ status }) => status === 'rejected')).toBe(true);
    expect(server.seen.length).toBeLessThanOrEqual(8);
  });

  it.each([429, 503])('is asked again after %d at any step', async (status) => {
    const digest = contents.putImage('labs/a', '1', [7]);
    server.answer((seen) => (server.seen.length % 2 === 1 ? { status } : contents.answer(seen)));
    expect(await find()).toEqual({ digest, size: 7, architectures: ['amd64'] });
    expect(server.seen).toHaveLength(4);
  });
});
