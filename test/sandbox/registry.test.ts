import { createHash, randomBytes } from 'node:crypto';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SandboxRegistry, startRegistry } from '../../sandbox/registry/index.ts';
import { pushImage } from '../../sandbox/registry/push.ts';
import { canary } from '../support/canary.ts';

const OCI = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
const DOCKER = 'application/vnd.docker.distribution.manifest.v2+json';

const dispatcher = new Agent();
afterAll(() => dispatcher.destroy());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
  readonly code: string | undefined;
}

async function ask(method: string, url: string, options: { headers?: object; body?: string } = {}): Promise<Answer> {
  const answer = await request(url, {
    dispatcher,
    method: method as 'GET',
    headers: { ...options.headers },
    body: options.body ?? null,
  });
  const text = await answer.body.text();
  const { errors } = (text.startsWith('{') ? JSON.parse(text) : {}) as { errors?: { code: string }[] };
  return { status: answer.statusCode, headers: answer.headers as Answer['headers'], text, code: errors?.[0]?.code };
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function imageManifest(config: string, type = OCI): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: type,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(config), size: config.length },
    layers: [],
  });
}

/** With this set, the same is asked of a real registry (plain HTTP, deletes allowed, nobody has to log in). */
const REAL = process.env['LABWRIGHT_REGISTRY'];

describe('a registry', () => {
  let registry: SandboxRegistry | undefined;
  let base = '';
  const name = `conformance/${randomBytes(6).toString('hex')}`;
  const config = '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}';
  const manifest = imageManifest(config);
  const digest = digestOf(manifest);

  beforeAll(async () => {
    registry = REAL === undefined ? await startRegistry() : undefined;
    base = `${registry?.url ?? REAL ?? ''}/v2`;
  });
  afterAll(() => registry?.close());

  async function beginUpload(): Promise<string> {
    const { status, headers } = await ask('POST', `${base}/${name}/blobs/uploads/`);
    expect(status).toBe(202);
    return headers['location'] ?? '';
  }

  function upload(location: string, body: string): Promise<Answer> {
    return ask('PATCH', location, { headers: { 'content-type': 'application/octet-stream' }, body });
  }

  function put(reference: string, body: string, type = OCI): Promise<Answer> {
    return ask('PUT', `${base}/${name}/manifests/${reference}`, { headers: { 'content-type': type }, body });
  }

  it('says that it is one', async () => {
    const { status, headers, text } = await ask('GET', `${base}/`);
    expect([status, headers['docker-distribution-api-version'], text]).toEqual([200, 'registry/2.0', '{}']);
  });

  it.each([
    ['GET', '/none/x/manifests/1', 404, 'MANIFEST_UNKNOWN'],
    ['HEAD', '/none/x/manifests/1', 404, undefined],
    ['GET', `/none/x/manifests/${digestOf('none')}`, 404, 'MANIFEST_UNKNOWN'],
    ['GET', '/none/tags/list', 404, 'NAME_UNKNOWN'],
    ['GET', `/none/blobs/${digestOf('none')}`, 404, 'BLOB_UNKNOWN'],
    ['GET', '/none/blobs/sha256:abc', 400, 'DIGEST_INVALID'],
    ['GET', '/UPPER/manifests/1', 404, undefined],
    ['GET', '/none/manifests/-1', 404, undefined],
    ['GET', '/none/nothing/1', 404, undefined],
    ['PATCH', '/none/manifests/1', 405, undefined],
    ['DELETE', '/none/manifests/1', 400, 'DIGEST_INVALID'],
    ['DELETE', `/none/manifests/${digestOf('none')}`, 404, 'MANIFEST_UNKNOWN'],
  ])('answers %s %s with %d', async (method, path, status, code) => {
    const answer = await ask(method, `${base}${path}`);
    expect([answer.status, answer.code]).toEqual([status, code]);
  });

  it('takes a blob in one piece', async () => {
    const location = await beginUpload();
    const done = await ask('PUT', `${location}&digest=${digestOf(config)}`, { body: config });
    expect([done.status, done.headers['docker-content-digest']]).toEqual([201, digestOf(config)]);
    const head = await ask('HEAD', `${base}/${name}/blobs/${digestOf(config)}`);
    expect([head.status, head.headers['content-length']]).toEqual([200, String(config.length)]);
    expect((await ask('GET', `${base}/${name}/blobs/${digestOf(config)}`)).text).toBe(config);
  });

  it('takes a blob in pieces, and says how far it is', async () => {
    const first = await upload(await beginUpload(), 'he');
    expect([first.status, first.headers['range']]).toEqual([202, '0-1']);
    const status = await ask('GET', first.headers['location'] ?? '');
    expect([status.status, status.headers['range']]).toEqual([204, '0-1']);
    const second = await upload(first.headers['location'] ?? '', 'llo');
    expect([second.status, second.headers['range']]).toEqual([202, '0-4']);
    const done = await ask('PUT', `${second.headers['location'] ?? ''}&digest=${digestOf('hello')}`);
    expect(done.status).toBe(201);
    expect((await ask('GET', `${base}/${name}/blobs/${digestOf('hello')}`)).text).toBe('hello');
  });

  it('does not take a piece that does not follow', async () => {
    const location = await beginUpload();
    await upload(location, 'he');
    const again = await upload(location, 'he');
    expect([again.status, again.code]).toEqual([404, 'BLOB_UPLOAD_INVALID']);
  });

  it('does not take a blob that is another than was said', async () => {
    const wrong = await ask('PUT', `${await beginUpload()}&digest=${digestOf('other')}`, { body: config });
    expect([wrong.status, wrong.code]).toEqual([400, 'DIGEST_INVALID']);
    expect((await ask('GET', `${base}/${name}/blobs/${digestOf('other')}`)).status).toBe(404);
    const none = await ask('PUT', await beginUpload(), { body: config });
    expect([none.status, none.code]).toEqual([400, 'DIGEST_INVALID']);
  });

  it('forgets an upload that is given up', async () => {
    const location = await beginUpload();
    expect((await ask('DELETE', location)).status).toBe(204);
    const answer = await ask('GET', location);
    expect([answer.status, answer.code]).toEqual([404, 'BLOB_UPLOAD_UNKNOWN']);
  });

  it.each([
    ['another type', 'text/plain', manifest, 400, 'MANIFEST_INVALID'],
    ['no JSON', OCI, 'not json', 400, 'MANIFEST_INVALID'],
    ['another type in it', OCI, imageManifest(config, DOCKER), 400, 'MANIFEST_INVALID'],
    ['a blob that is not there', OCI, imageManifest('missing'), 400, 'MANIFEST_BLOB_UNKNOWN'],
  ])('does not take a manifest of %s', async (_what, type, body, status, code) => {
    const answer = await put('bad', body, type);
    expect([answer.status, answer.code]).toEqual([status, code]);
  });

  it('does not take a manifest under a digest that is not its own', async () => {
    const answer = await put(digestOf('other'), manifest);
    expect([answer.status, answer.code]).toEqual([400, 'DIGEST_INVALID']);
  });

  it('keeps a manifest under its tag and its digest', async () => {
    const done = await put('v1', manifest);
    expect([done.status, done.headers['docker-content-digest']]).toEqual([201, digest]);
    for (const reference of ['v1', digest]) {
      const found = await ask('GET', `${base}/${name}/manifests/${reference}`, { headers: { accept: OCI } });
      expect([found.status, found.headers['content-type'], found.text]).toEqual([200, OCI, manifest]);
      const head = await ask('HEAD', `${base}/${name}/manifests/${reference}`, { headers: { accept: OCI } });
      expect([head.status, head.headers['docker-content-digest'], head.text]).toEqual([200, digest, '']);
    }
  });

  it.each([undefined, '*/*', DOCKER, INDEX])('does not show an OCI manifest to who accepts %s', async (accept) => {
    const answer = await ask('GET', `${base}/${name}/manifests/v1`, {
      headers: accept === undefined ? {} : { accept },
    });
    expect([answer.status, answer.code]).toEqual([404, 'MANIFEST_UNKNOWN']);
  });

  it('keeps an index of manifests that are there', async () => {
    const index = (of: string, size: number) =>
      JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [{ mediaType: OCI, digest: of, size }] });
    const missing = await put('all', index(digestOf('none'), 4), INDEX);
    expect([missing.status, missing.code]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN']);
    expect((await put('all', index(digest, manifest.length), INDEX)).status).toBe(201);
    const found = await ask('HEAD', `${base}/${name}/manifests/all`, { headers: { accept: `${OCI}, ${INDEX};q=0.5` } });
    expect([found.status, found.headers['content-type']]).toEqual([200, INDEX]);
    expect((await ask('HEAD', `${base}/${name}/manifests/all`, { headers: { accept: OCI } })).status).toBe(404);
    const own = found.headers['docker-content-digest'] ?? '';
    expect((await ask('DELETE', `${base}/${name}/manifests/${own}`)).status).toBe(202);
  });

  it('lists its tags', async () => {
    await put('v2', manifest);
    const { text } = await ask('GET', `${base}/${name}/tags/list`);
    const { tags, ...rest } = JSON.parse(text) as { tags: string[] };
    expect([rest, tags.toSorted()]).toEqual([{ name }, ['v1', 'v2']]);
  });

  it('takes away what a digest names, and every tag of it', async () => {
    expect((await ask('DELETE', `${base}/${name}/manifests/v1`)).status).toBe(400);
    expect((await ask('DELETE', `${base}/${name}/manifests/${digest}`)).status).toBe(202);
    for (const reference of ['v1', 'v2', digest]) {
      const answer = await ask('HEAD', `${base}/${name}/manifests/${reference}`, { headers: { accept: OCI } });
      expect(answer.status).toBe(404);
    }
    expect((await ask('DELETE', `${base}/${name}/manifests/${digest}`)).status).toBe(404);
  });
});

describe("the sandbox's registry", () => {
  async function withRegistry(
    options: Parameters<typeof startRegistry>[0],
    use: (registry: SandboxRegistry) => Promise<void>,
  ) {
    const registry = await startRegistry(options);
    try {
      await use(registry);
    } finally {
      await registry.close();
    }
  }
  const credentials = { username: 'ada', password: canary('registry-password') };
  const basic = `Basic ${Buffer.from(`ada:${credentials.password}`).toString('base64')}`;

  it('holds what is pushed, with a digest that follows from the content', async () => {
    await withRegistry({}, async (registry) => {
      const first = await pushImage(`${registry.host}/labs/ada--notebooks:1`, 'one');
      expect(registry.digestOf('labs/ada--notebooks', '1')).toBe(first);
      expect(await pushImage(`${registry.host}/labs/other:2`, 'one')).toBe(first);
      expect(await pushImage(`${registry.host}/labs/ada--notebooks:1`, 'two')).not.toBe(first);
      expect(registry.digestOf('labs/ada--notebooks', '1')).not.toBe(first);
    });
  });

  it('is what the sandbox pushes to, and nothing beyond this machine', async () => {
    await expect(pushImage('registry.example.org/labs/x:1', '')).rejects.toThrow(/this machine only/);
    await expect(pushImage('127.0.0.1.example.org/labs/x:1', '')).rejects.toThrow(/this machine only/);
    await expect(pushImage('localhost:5000/labs/x', '')).rejects.toThrow(TypeError);
  });

  it('takes no more than it may hold', async () => {
    await withRegistry({ maxBytes: 2_000 }, async (registry) => {
      await pushImage(`${registry.host}/a:1`, 'small');
      await expect(pushImage(`${registry.host}/a:2`, 'large'.repeat(1_000))).rejects.toThrow(/413/);
      // What was refused does not count.
      await pushImage(`${registry.host}/a:2`, 'small, too');
    });
  });

  it('asks for a name and a password', async () => {
    await withRegistry({ access: { kind: 'basic', ...credentials } }, async (registry) => {
      const refused = await ask('GET', `${registry.url}/v2/`);
      expect([refused.status, refused.code, refused.headers['www-authenticate']]).toEqual([
        ...[401, 'UNAUTHORIZED'],
        'Basic realm="sandbox"',
      ]);
      expect((await ask('GET', `${registry.url}/v2/`, { headers: { authorization: basic } })).status).toBe(200);
      const wrong = `Basic ${Buffer.from('ada:wrong').toString('base64')}`;
      expect((await ask('GET', `${registry.url}/v2/`, { headers: { authorization: wrong } })).status).toBe(401);
      await pushImage(`${registry.host}/a:1`, 'x', { authorization: basic });
    });
  });

  it('exchanges them for a token that is for one repository', async () => {
    await withRegistry({ access: { kind: 'bearer', ...credentials } }, async (registry) => {
      const refused = await ask('GET', `${registry.url}/v2/labs/a/manifests/1`);
      expect([refused.status, refused.headers['www-authenticate']]).toEqual([
        401,
        `Bearer realm="${registry.url}/token",service="sandbox",scope="repository:labs/a:pull"`,
      ]);
      expect((await ask('GET', `${registry.url}/token`)).status).toBe(401);
      const url = `${registry.url}/token?service=sandbox&scope=repository:labs/a:pull`;
      const { text } = await ask('GET', url, { headers: { authorization: basic } });
      const { token } = JSON.parse(text) as { token: string };
      const headers = { authorization: `Bearer ${token}` };
      expect((await ask('GET', `${registry.url}/v2/labs/a/manifests/1`, { headers })).status).toBe(404);
      expect((await ask('GET', `${registry.url}/v2/labs/b/manifests/1`, { headers })).status).toBe(401);
      expect((await ask('POST', `${registry.url}/v2/labs/a/blobs/uploads/`, { headers })).status).toBe(401);
    });
  });

  it('goes down and comes back with what it held', async () => {
    await withRegistry({}, async (registry) => {
      const digest = await pushImage(`${registry.host}/a:1`, 'x');
      await registry.setFault({ kind: 'down' });
      await expect(ask('GET', `${registry.url}/v2/`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await registry.setFault(null);
      const found = await ask('HEAD', `${registry.url}/v2/a/manifests/1`, { headers: { accept: OCI } });
      expect(found.headers['docker-content-digest']).toBe(digest);
    });
  });

  it('answers with an error, late, or not at all', async () => {
    await withRegistry({}, async (registry) => {
      await registry.setFault({ kind: 'status', status: 503, retryAfter: '7' });
      const error = await ask('GET', `${registry.url}/v2/`);
      expect([error.status, error.headers['retry-after']]).toEqual([503, '7']);
      await registry.setFault({ kind: 'slow', ms: 1 });
      expect((await ask('GET', `${registry.url}/v2/`)).status).toBe(200);
      await registry.setFault({ kind: 'hang' });
      const answer = ask('GET', `${registry.url}/v2/`);
      const ended = expect(answer).rejects.toThrow(/closed/);
      await registry.close();
      await ended;
    });
  });
});
