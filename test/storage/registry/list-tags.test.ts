import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RegistryProblem } from '../../../src/storage/registry/problems.ts';
import type { OciRegistry } from '../../../src/storage/registry/image-registry.ts';
import { canary } from '../../support/canary.ts';
import { makeRegistry, type RegistryOptions } from './image-registry.ts';
import { type Script, ScriptedServer } from './scripted-registry.ts';

const PASSWORD = canary('listing-password');
const { signal } = new AbortController();

let server: ScriptedServer;
let other: ScriptedServer;
const opened: OciRegistry[] = [];
let logs: string[] = [];

beforeEach(async () => {
  server = await ScriptedServer.start();
  other = await ScriptedServer.start();
});

afterEach(async () => {
  await Promise.all(opened.splice(0).map((registry) => registry.close()));
  await server.close();
  await other.close();
  expect(logs.join('')).not.toContain(PASSWORD);
});

function open(options: Partial<RegistryOptions> = {}): OciRegistry {
  const made = makeRegistry({ host: server.host, url: server.url, ...options });
  opened.push(made.registry);
  logs = made.logs;
  return made.registry;
}

function list(options: Partial<RegistryOptions> = {}): Promise<readonly string[]> {
  return open(options).listTags('labs/a', signal);
}

async function problemOf(promise: Promise<unknown>): Promise<RegistryProblem> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RegistryProblem);
  expect(String((error as Error).stack)).not.toContain(PASSWORD);
  return error as RegistryProblem;
}

function page(tags: unknown, link?: string): Script {
  return {
    status: 200,
    body: JSON.stringify({ name: 'labs/a', tags }),
    ...(link === undefined ? {} : { headers: { link } }),
  };
}

/** Pages of two tags, as the reference implementation gives them. */
function paged(tags: readonly string[], target: (query: string) => string): void {
  server.answer(({ url }) => {
    const last = new URL(url, server.url).searchParams.get('last');
    const begin = last === null ? 0 : tags.indexOf(last) + 1;
    const some = tags.slice(begin, begin + 2);
    const isLast = begin + 2 >= tags.length;
    return page(some, isLast ? undefined : `<${target(`?last=${some.at(-1)}&n=2`)}>; rel="next"`);
  });
}

describe('the tags of a repository', () => {
  it('are asked for a thousand at a time', async () => {
    server.answer(() => page(['1', '2']));
    expect(await list()).toEqual(['1', '2']);
    expect(server.lines).toEqual(['GET /v2/labs/a/tags/list?n=1000']);
  });

  it.each<[string, (query: string) => string]>([
    ['a path', (query) => `/v2/labs/a/tags/list${query}`],
    ['a whole address', (query) => `${server.url}/v2/labs/a/tags/list${query}`],
    ['a query', (query) => query],
    ['a name beside the page', (query) => `list${query}`],
  ])('are read to the end where the next page is %s', async (_what, target) => {
    paged(['a', 'b', 'c', 'd', 'e'], target);
    expect(await list()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(server.seen).toHaveLength(3);
  });

  it('are read below a path that the registry is reached at', async () => {
    paged(['a', 'b', 'c'], (query) => `/mirror/v2/labs/a/tags/list${query}`);
    expect(await list({ url: `${server.url}/mirror` })).toEqual(['a', 'b', 'c']);
    expect(server.lines).toEqual([
      'GET /mirror/v2/labs/a/tags/list?n=1000',
      'GET /mirror/v2/labs/a/tags/list?last=b&n=2',
    ]);
  });

  it('may be all on one page, none, or null', async () => {
    const tags = Array.from({ length: 5_000 }, (_, at) => `w_${at}`);
    server.answer(() => page(tags));
    expect(await list()).toHaveLength(5_000);
    for (const none of [[], null, undefined]) {
      server.answer(() => page(none));
      expect(await list()).toEqual([]);
    }
  });

  it('are told once each, and without what cannot be a tag', async () => {
    server.answer(({ url }) =>
      url.includes('last') ? page(['b', 'c']) : page(['a', 'b', '../x', '', 'a b'], '<?last=b>; rel=next'),
    );
    expect(await list()).toEqual(['a', 'b', 'c']);
  });

  it.each([
    '</v2/labs/a/tags/list?last=1>; rel="prev"',
    '</v2/labs/a/tags/list?last=1>; title="rel=next"; rel="last"',
    '</v2/labs/a/tags/list?last=1>',
    'rel="next"',
    `<${'x'.repeat(9_000)}>; rel="next"`,
  ])('end with a page whose link leads to no next one: %#', async (link) => {
    server.answer(() => page(['1'], link));
    expect(await list()).toEqual(['1']);
    expect(server.seen).toHaveLength(1);
  });

  it('go on by the one of several links that leads to the next page', async () => {
    server.answer(({ url }) =>
      url.includes('last')
        ? page(['b'])
        : page(['a'], '<?first=1>; rel="first", <?last=a>; title="a, b"; rel="x next"'),
    );
    expect(await list()).toEqual(['a', 'b']);
  });
});

describe('a listing that is not to be trusted', () => {
  it.each<[string, () => string, RegExp]>([
    ['another host', () => `<${other.url}/v2/labs/a/tags/list?last=1>`, /another address/],
    ['another scheme', () => `<https://${server.host}/v2/labs/a/tags/list?last=1>`, /another address/],
    ['a name with a password', () => `<http://u:p@${server.host}/v2/labs/a/tags/list?last=1>`, /another address/],
    ['a file', () => '<file:///etc/passwd>', /another address/],
    ['no address', () => '<http://[>', /another address/],
    ['itself', () => '</v2/labs/a/tags/list?n=1000>', /in a circle/],
  ])('is not followed to %s', async (_what, target, words) => {
    server.answer(() => page(['1'], `${target()}; rel="next"`));
    const problem = await problemOf(list({ auths: { [server.host]: { username: 'ada', password: PASSWORD } } }));
    expect(problem).toMatchObject({ reason: 'RegistryUnavailable', transient: false });
    expect(problem.message).toMatch(words);
    expect(server.seen).toHaveLength(1);
    expect(other.seen).toEqual([]);
  });

  it('is not followed round a longer circle', async () => {
    server.answer(({ url }) => page(['1'], `<?last=${url.includes('last=a') ? 'b' : 'a'}>; rel="next"`));
    expect((await problemOf(list())).message).toContain('in a circle');
    expect(server.seen).toHaveLength(3);
  });

  it('is not followed without an end', async () => {
    server.answer(() => page([], `<?last=${server.seen.length}>; rel="next"`));
    expect((await problemOf(list())).message).toContain('more than 100 pages');
    expect(server.seen).toHaveLength(100);
  });

  it('is not kept with more tags than anybody has', async () => {
    const tags = (begin: number) => Array.from({ length: 10_001 }, (_, at) => String(begin + at));
    server.answer(() => page(tags(server.seen.length * 20_000), '<?last=x>; rel="next"'));
    const problem = await problemOf(list());
    expect(problem).toMatchObject({ transient: false });
    expect(problem.message).toContain('more than 20000 tags');
    expect(server.seen).toHaveLength(2);
  });

  it('is not read beyond what a page can have', async () => {
    server.answer(() => ({ status: 200, body: `{"tags":["${'x'.repeat(5 * 2 ** 20)}"]}` }));
    expect((await problemOf(list())).message).toContain('more than it should');
  });

  it.each(['<html>Log in</html>', '[]', '{"tags":{}}', '{"tags":[1]}', ''])(
    'is not what has no tags: %s',
    async (body) => {
      server.answer(() => ({ status: 200, body }));
      expect(await problemOf(list())).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
    },
  );

  it.each(['hang', 'cut'] as const)('ends in time when its second page does: %s', async (script) => {
    server.answer(({ url }) => (url.includes('last') ? script : page(['1'], '<?last=1>; rel="next"')));
    expect(await problemOf(list({ timeout: 30 }))).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });
});

describe('a repository that cannot be listed', () => {
  it.each(['../a', 'a/../../b', 'a?b', 'A', '/a', ''])('has no name that could be one: %s', async (name) => {
    await expect(open().listTags(name, signal)).rejects.toThrow(TypeError);
    expect(server.seen).toEqual([]);
  });

  it.each<[string, Script]>([
    ['as a registry says it', { status: 404, body: '{"errors":[{"code":"NAME_UNKNOWN"}]}' }],
    ['without a word', { status: 404 }],
  ])('is missing, %s', async (_what, answer) => {
    server.answer(() => answer);
    const problem = await problemOf(list());
    expect(problem).toMatchObject({ reason: 'RegistryRepositoryMissing', transient: false });
    expect(problem.message).toContain('labs/a');
  });

  it('is not thought missing because of a web page', async () => {
    server.answer(() => ({ status: 404, body: '<html>404</html>' }));
    expect(await problemOf(list())).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
  });

  it('is missing where Docker Hub does not take its own token', async () => {
    server.answer(({ url }) =>
      url.startsWith('/token')
        ? { status: 200, body: '{"token":"tok"}' }
        : { status: 401, headers: { 'www-authenticate': `Bearer realm="${server.url}/token"` } },
    );
    expect(await problemOf(list({ host: 'docker.io' }))).toMatchObject({ reason: 'RegistryRepositoryMissing' });
  });

  it.each([401, 403])('is denied with %d, and not asked for again', async (status) => {
    server.answer(() => ({ status }));
    expect(await problemOf(list())).toMatchObject({ reason: 'RegistryDenied', transient: false });
    expect(server.seen).toHaveLength(1);
  });

  it.each([429, 500, 502, 503, 504])('is asked for again after %d, page by page', async (status) => {
    server.answer(({ url }) => {
      if (server.seen.length % 2 === 1) return { status };
      return url.includes('last') ? page(['b']) : page(['a'], '<?last=a>; rel="next"');
    });
    expect(await list()).toEqual(['a', 'b']);
    expect(server.seen).toHaveLength(4);
  });

  it('is given up when the outage lasts, and named with what the registry has asked for', async () => {
    server.answer(() => ({ status: 503 }));
    expect(await problemOf(list())).toMatchObject({ reason: 'RegistryUnavailable', transient: true });
    expect(server.seen).toHaveLength(4);
    server.answer(() => ({ status: 429, headers: { 'retry-after': '600' } }));
    expect(await problemOf(list())).toMatchObject({ transient: true, retryAfterMs: 600_000 });
    expect(server.seen).toHaveLength(5);
  });

  it('ends with its reader, and with the client', async () => {
    server.answer(() => 'hang');
    const leaving = new AbortController();
    const registry = open();
    const left = registry.listTags('labs/a', leaving.signal);
    const staying = registry.listTags('labs/b', signal);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await registry.close();
    expect((await problemOf(staying)).message).toContain('stops');
  });
});
