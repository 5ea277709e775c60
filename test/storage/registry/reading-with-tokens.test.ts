import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OciRegistry } from '../../../src/storage/registry/image-registry.ts';
import { canary } from '../../support/canary.ts';
import { Contents, makeRegistry, type RegistryOptions } from './image-registry.ts';
import { type Script, ScriptedServer } from './scripted-registry.ts';

const PASSWORD = canary('reading-password');
const { signal } = new AbortController();
const TAGS = ['a', 'b', 'c', 'd'];

let server: ScriptedServer;
let contents: Contents;
/** What the registry takes at the moment. */
let good: string;
let issued: number;
const opened: OciRegistry[] = [];
let logs: string[] = [];

beforeEach(async () => {
  server = await ScriptedServer.start();
  contents = new Contents();
  [good, issued] = ['', 0];
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((registry) => registry.close()));
  await server.close();
  expect(logs.join('')).not.toContain(PASSWORD);
});

function open(options: Partial<RegistryOptions> = {}): OciRegistry {
  const auths = { [server.host]: { username: 'ada', password: PASSWORD } };
  const made = makeRegistry({ host: server.host, url: server.url, auths, ...options });
  opened.push(made.registry);
  logs = made.logs;
  return made.registry;
}

/** A registry whose tokens are good for so many answers, whatever it says of their time. */
function tokensFor(answers: number, realm = () => `${server.url}/token`): void {
  let left = 0;
  server.answer((seen) => {
    if (seen.url.startsWith('/token')) {
      [good, left] = [`token-${(issued += 1)}`, answers];
      return { status: 200, body: JSON.stringify({ token: good, expires_in: 3600 }) };
    }
    if (seen.headers.authorization !== `Bearer ${good}` || left === 0) {
      return { status: 401, headers: { 'www-authenticate': `Bearer realm="${realm()}",service="s"` } };
    }
    left -= 1;
    return seen.url.includes('/tags/list') ? pageOf(seen.url) : contents.answer(seen);
  });
}

function pageOf(url: string): Script {
  const last = new URL(url, server.url).searchParams.get('last');
  const tag = TAGS[last === null ? 0 : TAGS.indexOf(last) + 1] ?? '';
  const link = tag === TAGS.at(-1) ? {} : { headers: { link: `<?last=${tag}>; rel="next"` } };
  return { status: 200, body: JSON.stringify({ tags: [tag] }), ...link };
}

describe('tokens', () => {
  it.each([1, 2, 3])('that are over after %d pages are renewed, and the listing goes on', async (answers) => {
    tokensFor(answers);
    expect(await open().listTags('labs/a', signal)).toEqual(TAGS);
    expect(issued).toBe(Math.ceil(TAGS.length / answers));
  });

  it('that are over in the middle of an image are renewed', async () => {
    contents.putImage('labs/a', '1', [7]);
    tokensFor(1);
    expect(await open().findImage('labs/a', '1', { signal })).toMatchObject({ size: 7, architectures: ['amd64'] });
    expect(issued).toBe(2);
  });

  it('are fetched once for many who want one at the same moment', async () => {
    contents.putImage('labs/a', '1', [7]);
    tokensFor(1_000);
    const registry = open();
    const ask = () => Promise.all(Array.from({ length: 8 }, () => registry.findImage('labs/a', '1', { signal })));
    expect(new Set((await ask()).map((image) => image?.size))).toEqual(new Set([7]));
    good = 'another';
    await ask();
    expect(issued).toBe(2);
  });

  it('that are never taken are a denial', async () => {
    tokensFor(0);
    await expect(open().listTags('labs/a', signal)).rejects.toMatchObject({ reason: 'RegistryDenied' });
    expect(issued).toBe(1);
  });
});

describe('a token server of another domain', () => {
  const realm = () => server.url.replace('127.0.0.1', 'localhost');

  it('is not shown the credentials of the registry, and named', async () => {
    tokensFor(10, () => `${realm()}/token`);
    const problem: unknown = await open()
      .listTags('labs/a', signal)
      .catch((error: unknown) => error);
    expect(problem).toMatchObject({ name: 'RegistryProblem', reason: 'RegistryDenied', transient: false });
    expect(String(problem)).toContain(new URL(realm()).host);
    expect(String(problem)).toContain('tokenHosts');
    expect(issued).toBe(0);
  });

  it('is shown them where an administrator has named it', async () => {
    tokensFor(10, () => `${realm()}/token`);
    const registry = open({ tokenHosts: ['localhost'] });
    expect(await registry.listTags('labs/a', signal)).toEqual(TAGS);
    expect(server.seen.find(({ url }) => url.startsWith('/token'))?.headers.authorization).toMatch(/^Basic /);
  });

  it('is asked for a token that is for nobody', async () => {
    tokensFor(10, () => `${realm()}/token`);
    expect(await open({ auths: {} }).listTags('labs/a', signal)).toEqual(TAGS);
    expect(server.seen.find(({ url }) => url.startsWith('/token'))?.headers.authorization).toBeUndefined();
  });
});

describe('name and password', () => {
  const basic = `Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`;

  it('are shown once they were asked for', async () => {
    server.answer(({ url, headers }) =>
      headers.authorization === basic
        ? pageOf(url)
        : { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
    );
    expect(await open().listTags('labs/a', signal)).toEqual(TAGS);
    expect(server.seen).toHaveLength(TAGS.length + 1);
  });

  it('are not shown to an origin that the registry redirects to, nor a token fetched for it', async () => {
    const other = await ScriptedServer.start();
    other.answer(() => ({ status: 401, headers: { 'www-authenticate': `Bearer realm="${other.url}/token"` } }));
    server.answer(() => ({ status: 307, headers: { location: `${other.url}/stored` } }));
    await expect(open().listTags('labs/a', signal)).rejects.toMatchObject({ reason: 'RegistryDenied' });
    expect(other.lines).toEqual(['GET /stored']);
    expect(other.seen[0]?.headers.authorization).toBeUndefined();
    await other.close();
  });
});
