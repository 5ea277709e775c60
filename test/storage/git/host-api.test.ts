import { afterEach, describe, expect, it } from 'vitest';
import { HostApiClient } from '../../../src/storage/git/host-api.ts';
import { githubApi } from '../../../src/storage/git/known-apis.ts';
import { AddressGuard } from '../../../src/storage/outbound/address-guard.ts';
import { OutboundClient } from '../../../src/storage/outbound/outbound-client.ts';
import type { GitCredential } from '../../../src/domain/git/git-credential.ts';
import { canary } from '../../support/canary.ts';
import { startGitServer } from '../../support/git-server.ts';
import { type ScriptedHost, startScriptedHost } from '../../support/scripted-host.ts';
import { problemOf, resolverOf } from './support.ts';

const open: { close(): Promise<void> }[] = [];
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const signal = new AbortController().signal;

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

/** An API, and a host of Git beside it that has what the API may not be asked for. */
async function github(answer?: ScriptedHost['answer'], token?: string) {
  const api = await startScriptedHost(answer);
  const git = await startGitServer();
  open.push(api, git);
  const credentials: GitCredential[] =
    token === undefined ? [] : [{ kind: 'http', url: git.url, username: 'git', password: token }];
  const { resolver, lines } = resolverOf(
    {
      privateHosts: [api.host, new URL(git.url).host],
      github: { url: git.url, apiUrl: `${api.url}/api/v3` },
      refCache: 0,
    },
    credentials,
  );
  open.push(resolver);
  const repository = { provider: 'gh', url: `${git.url}/ada/notebooks` } as const;
  /** As GitHub has it: with and without `.git`. */
  const addRepository = async () => {
    const { commit } = await git.addRepository('ada/notebooks', {});
    git.redirect('/ada/notebooks/', `${git.url}/ada/notebooks.git/`);
    return commit;
  };
  return { api, git, resolver, lines, repository, addRepository };
}

function limited(status: number, headers: Readonly<Record<string, string>>, text = ''): ScriptedHost['answer'] {
  return (_, response) => response.writeHead(status, headers).end(`${canary('body')}${text}`);
}

describe('a ref of GitHub', () => {
  it('is asked of its API, with the token in a header', async () => {
    const token = canary('token');
    const { api, resolver, repository } = await github((_, response) => response.end(COMMIT), token);
    const resolved = await resolver.resolve(repository, 'feature/one');
    expect(resolved).toEqual({ ...repository, ref: 'feature/one', commit: COMMIT, binderSlug: 'ada-notebooks' });
    const [{ url, headers } = { url: '', headers: {} }] = api.requests;
    expect(url).toBe('/api/v3/repos/ada/notebooks/commits/feature%2Fone');
    expect(headers).toMatchObject({ accept: 'application/vnd.github.sha', authorization: `Bearer ${token}` });
  });

  it('costs nothing of the limit while it has not changed', async () => {
    const { api, resolver, repository } = await github((request, response) => {
      if (request.headers['if-none-match'] === '"one"') response.writeHead(304).end();
      else response.writeHead(200, { etag: '"one"' }).end(COMMIT);
    });
    for (let time = 0; time < 3; time += 1) {
      expect((await resolver.resolve(repository, 'main')).commit).toBe(COMMIT);
    }
    expect(api.requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"one"', '"one"']);
  });

  it('is of a renamed repository where the API sends on, with the token to itself only', async () => {
    const token = canary('token');
    const { api, git, resolver, repository } = await github((request, response) => {
      const isFirst = request.url?.startsWith('/api/v3/repos/') === true;
      const other = request.url?.endsWith('/HEAD') === true ? git.url : '';
      if (isFirst) response.writeHead(301, { location: `${other}/repositories/1/commits/main` }).end();
      else response.end(COMMIT);
    }, token);
    expect((await resolver.resolve(repository, 'main')).commit).toBe(COMMIT);
    expect(api.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${token}`, `Bearer ${token}`]);
    await problemOf(resolver.resolve(repository, 'HEAD'));
    expect(git.requests.map(({ path, hasAuthorization }) => [path, hasAuthorization])).toEqual([
      ['/repositories/1/commits/main', false],
    ]);
  });

  it.each([
    [404, 'RepositoryNotFound'],
    [451, 'RepositoryNotFound'],
    [401, 'RepositoryNotFound'],
    [403, 'RepositoryNotFound'],
    [409, 'RefNotFound'],
    [422, 'RefNotFound'],
    [500, 'RepositoryUnavailable'],
  ])('of status %d is %s, and the body is not repeated', async (status, reason) => {
    const { resolver, repository, lines } = await github(limited(status, {}));
    const problem = await problemOf(resolver.resolve(repository, 'main'));
    expect(problem).toMatchObject({ reason, transient: status === 500 });
    expect(problem.message + lines.join('')).not.toContain('canary');
  });

  it('is asked of Git where the API knows none and Git may: that of a pull request, and of an empty repository', async () => {
    const { git, resolver, repository } = await github((_, response) => response.writeHead(422).end());
    await git.addRepository('ada/notebooks', {}, { pulls: [7] });
    git.redirect('/ada/notebooks/', `${git.url}/ada/notebooks.git/`);
    await git.addRepository('ada/empty', {}, { isEmpty: true });
    git.redirect('/ada/empty/', `${git.url}/ada/empty.git/`);
    const pulled = await resolver.resolve(repository, 'refs/pull/7/head');
    expect(pulled.commit).not.toBe((await resolver.resolve(repository, 'HEAD')).commit);
    const { message } = await problemOf(resolver.resolve({ ...repository, url: `${git.url}/ada/empty` }, 'main'));
    expect(message).toBe('The repository is empty: nothing has been committed to it yet.');
  });

  it('is HEAD where "master" or "main" is asked for and there is none', async () => {
    const { api, resolver, repository } = await github((request, response) => {
      if (request.url?.endsWith('/HEAD') === true) response.end(COMMIT);
      else response.writeHead(422).end();
    });
    expect(await resolver.resolve(repository, 'master')).toMatchObject({ ref: 'master', commit: COMMIT });
    expect(await resolver.resolve(repository, 'main')).toMatchObject({
      ...{ ref: 'main', commit: COMMIT, isFallback: true },
    });
    expect((await problemOf(resolver.resolve(repository, 'trunk'))).reason).toBe('RefNotFound');
    expect(api.requests.map(({ url }) => url.split('/').at(-1))).toEqual(['master', 'HEAD', 'main', 'HEAD', 'trunk']);
  });

  it.each([
    [
      'primary',
      403,
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1_000) + 600) },
    ],
    ['secondary', 403, { 'retry-after': '60' }],
    ['secondary, without a header,', 403, {}, '{"message":"You have exceeded a secondary rate limit. Please wait."}'],
    ['plain', 429, {}],
  ] as [string, number, Record<string, string>, string?][])(
    'is asked of Git when the API wants to be left alone (%s limit), and the API then is',
    async (_, status, headers, text) => {
      const { api, resolver, repository, addRepository } = await github(limited(status, headers, text));
      const commit = await addRepository();
      expect((await resolver.resolve(repository, 'main')).commit).toBe(commit);
      expect((await resolver.resolve(repository, 'HEAD')).commit).toBe(commit);
      expect(api.requests).toHaveLength(1);
      expect((await problemOf(resolver.resolve(repository, 'mian'))).reason).toBe('RefNotFound');
    },
  );

  it('has to wait when Git does not answer either, for as long as the API said', async () => {
    const { git, resolver, repository } = await github(limited(403, { 'retry-after': '120' }));
    await git.close();
    const problem = await problemOf(resolver.resolve(repository, 'main'));
    expect(problem).toMatchObject({ reason: 'RateLimited', transient: true, retryAfterMs: 120_000 });
    expect(problem.message).toContain('2 minutes');
  });

  it('is asked of the API again when the limit is over, and for each account by itself', async () => {
    const clock = { now: 1_000_000, monotonic: 5_000 };
    const api = await startScriptedHost((request, response) => {
      if (clock.monotonic < 35_000 && request.headers.authorization === undefined) {
        response.writeHead(403, { 'retry-after': '30' }).end();
      } else response.end(COMMIT);
    });
    const client = new OutboundClient(new AddressGuard([api.host]), { timeoutMs: 5_000 });
    open.push(client, api);
    const asked = new HostApiClient(client, githubApi({ url: 'https://github.com', apiUrl: api.url }), {
      now: () => clock.now,
      monotonic: () => clock.monotonic,
    });
    const repository = { provider: 'gh', url: 'https://github.com/ada/notebooks' } as const;
    const account = { kind: 'http', url: 'https://github.com', username: 'git', password: canary('token') } as const;
    const find = (credential?: GitCredential) => asked.find(repository, 'main', credential, signal);
    expect(await find()).toEqual({ limitedForMs: 30_000 });
    clock.monotonic += 10_000;
    // What somebody sets the time of day to makes no limit longer or shorter.
    clock.now -= 3_600_000;
    expect(await find()).toEqual({ limitedForMs: 20_000 });
    clock.now += 7_200_000;
    expect(await find()).toEqual({ limitedForMs: 20_000 });
    expect(await find(account)).toEqual({ commit: COMMIT });
    clock.monotonic += 20_000;
    expect(await find()).toEqual({ commit: COMMIT });
    expect(api.requests).toHaveLength(3);
  });
});

describe('a ref of GitLab', () => {
  async function gitlab(answer: ScriptedHost['answer'], token?: string) {
    const host = await startScriptedHost(answer);
    open.push(host);
    const credentials: GitCredential[] =
      token === undefined ? [] : [{ kind: 'http', url: host.url, username: 'git', password: token }];
    const { resolver } = resolverOf({ privateHosts: [host.host], gitlab: { url: `${host.url}/git` } }, credentials);
    open.push(resolver);
    return { host, resolver, repository: { provider: 'gl', url: `${host.url}/git/group/sub/lab.git` } as const };
  }

  it('is asked of its API, with the token in a header and not in the address', async () => {
    const token = canary('token');
    const { host, resolver, repository } = await gitlab((_, response) => {
      response.end(JSON.stringify({ id: COMMIT, title: 'Begin' }));
    }, token);
    expect((await resolver.resolve(repository, 'a/b')).commit).toBe(COMMIT);
    const [{ url, headers } = { url: '', headers: {} }] = host.requests;
    expect(url).toBe('/git/api/v4/projects/group%2Fsub%2Flab/repository/commits/a%2Fb?stats=false');
    expect(headers.authorization).toBe(`Bearer ${token}`);
  });

  it.each([
    ['404 Commit Not Found', 'RefNotFound'],
    ['404 Project Not Found', 'RepositoryNotFound'],
  ])('"%s" is %s', async (message, reason) => {
    const { resolver, repository } = await gitlab((_, response) => {
      response.writeHead(404).end(JSON.stringify({ message }));
    });
    expect((await problemOf(resolver.resolve(repository, 'main'))).reason).toBe(reason);
  });

  it('is not believed when it is no commit', async () => {
    const { resolver, repository } = await gitlab((_, response) => response.end(JSON.stringify({ id: '--output=/x' })));
    expect((await problemOf(resolver.resolve(repository, 'main'))).reason).toBe('RepositoryUnavailable');
  });
});
