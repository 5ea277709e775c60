import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { Repository } from '../../../src/domain/build/build.ts';
import type { GitCredential } from '../../../src/domain/git/git-credential.ts';
import { startGitHost } from '../../../sandbox/git-host.ts';
import { AddressGuard } from '../../../src/storage/outbound/address-guard.ts';
import { canary } from '../../support/canary.ts';
import { type GitServer, type GitServerOptions, startGitServer } from '../../support/git-server.ts';
import { type ScriptedHost, startScriptedHost } from '../../support/scripted-host.ts';
import { problemOf, resolverOf } from './support.ts';

const login = { username: 'ada', password: canary('password') };
const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function server(options: GitServerOptions = {}): Promise<GitServer> {
  const started = await startGitServer(options);
  open.push(started);
  return started;
}

async function scripted(answer: ScriptedHost['answer']): Promise<ScriptedHost> {
  const started = await startScriptedHost(answer);
  open.push(started);
  return started;
}

function resolver(
  hosts: readonly { readonly url: string }[],
  credentials: readonly GitCredential[] = [],
  input = {},
  guard?: AddressGuard,
) {
  const privateHosts = hosts.map(({ url }) => new URL(url).host);
  const made = resolverOf({ privateHosts, ...input }, credentials, guard);
  open.push(made.resolver);
  return made.resolver;
}

const git = (url: string): Repository => ({ provider: 'git', url });
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const pkt = (text: string) => (text.length + 4).toString(16).padStart(4, '0') + text;

/** A server that knows only the oldest version of the protocol. */
function oldServer(lines: readonly string[]): ScriptedHost['answer'] {
  return (_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
    response.end(`${pkt('# service=git-upload-pack\n')}0000${lines.map(pkt).join('')}0000`);
  };
}

async function commitAt(host: GitServer, name: string, ref: string): Promise<string> {
  const { stdout } = await promisify(execFile)('git', ['-C', `${host.directory}/${name}.git`, 'rev-parse', ref]);
  return stdout.trim();
}

describe('a ref of a Git repository over HTTP', () => {
  it('is a branch, a tag, or what the server is at, and costs two requests', async () => {
    const host = await server();
    const { url, commit } = await host.addRepository(
      'group/lab',
      {},
      { branches: ['dev'], tags: ['v1'], annotatedTags: ['v2'] },
    );
    const refs = resolver([host]);
    for (const ref of ['HEAD', 'main', 'dev', 'v1', 'v2', 'refs/heads/main', 'heads/main', 'tags/v2']) {
      const before = host.requests.length;
      expect(await refs.resolve(git(url), ref)).toEqual({ provider: 'git', url, ref, commit, binderSlug: url });
      expect(host.requests.slice(before).map(({ path, protocol }) => [path, protocol])).toEqual([
        ['/group/lab.git/info/refs', 'version=2'],
        ['/group/lab.git/git-upload-pack', 'version=2'],
      ]);
    }
  });

  it('is found at the sandbox too', async () => {
    const host = await startGitHost();
    open.push(host);
    const refs = resolver([host]);
    for (const ref of ['main', 'develop', 'v1.0']) {
      const { commit } = await refs.resolve(git(`${host.url}/demo/notebooks`), ref);
      expect(commit).toBe(host.commitOf('demo/notebooks', ref));
    }
    expect((await problemOf(refs.resolve(git(`${host.url}/demo/notebooks`), 'none'))).reason).toBe('RefNotFound');
  });

  it('is a tag rather than a branch of the same name, as for Git', async () => {
    const host = await scripted(
      oldServer([
        `${'a'.repeat(40)} HEAD\0multi_ack symref=HEAD:refs/heads/main\n`,
        `${'b'.repeat(40)} refs/heads/v1\n`,
        `${'c'.repeat(40)} refs/tags/v1\n`,
        `${COMMIT} refs/tags/v1^{}\n`,
      ]),
    );
    const refs = resolver([host]);
    expect((await refs.resolve(git(`${host.url}/a`), 'v1')).commit).toBe(COMMIT);
    expect((await refs.resolve(git(`${host.url}/a`), 'heads/v1')).commit).toBe('b'.repeat(40));
    expect((await refs.resolve(git(`${host.url}/a`), 'HEAD')).commit).toBe('a'.repeat(40));
    expect((await problemOf(refs.resolve(git(`${host.url}/a`), 'v'))).reason).toBe('RefNotFound');
  });

  it('is a full commit without a question, and nothing shorter', async () => {
    const host = await server();
    const { url, commit } = await host.addRepository('lab', {});
    const refs = resolver([host]);
    expect((await refs.resolve(git(url), 'f'.repeat(40))).commit).toBe('f'.repeat(40));
    expect((await refs.resolve(git(url), 'f'.repeat(64))).commit).toBe('f'.repeat(64));
    expect(host.requests).toEqual([]);
    for (const inside of [url, url.replace('127.0.0.1', 'localhost'), 'http://169.254.169.254/latest']) {
      const problem = await problemOf(resolver([]).resolve(git(inside), 'f'.repeat(40)));
      expect(problem).toMatchObject({ reason: 'RepositoryNotAllowed', transient: false });
    }
    const { reason, message } = await problemOf(refs.resolve(git(url), commit.slice(0, 8)));
    expect([reason, message]).toEqual(['RefNotFound', expect.stringContaining('full hash')]);
  });

  it('is not found where there is none, and that is another answer than that of no repository', async () => {
    const host = await server();
    const { url } = await host.addRepository('lab', {});
    const refs = resolver([host]);
    expect(await problemOf(refs.resolve(git(url), 'mian'))).toMatchObject({ reason: 'RefNotFound', transient: false });
    expect(await problemOf(refs.resolve(git(`${host.url}/none.git`), 'main'))).toMatchObject({
      reason: 'RepositoryNotFound',
      transient: false,
    });
  });

  it('is nothing that an empty repository could have, and that is said', async () => {
    const host = await server();
    const { url } = await host.addRepository('empty', {}, { isEmpty: true });
    const old = await scripted(oldServer([`${'0'.repeat(40)} capabilities^{}\0multi_ack\n`]));
    for (const [hosts, empty] of [
      [[host], url],
      [[old], `${old.url}/empty`],
    ] as const) {
      for (const ref of ['HEAD', 'main', 'v1']) {
        const { reason, message } = await problemOf(resolver(hosts).resolve(git(empty), ref));
        expect([reason, message]).toEqual([
          'RefNotFound',
          'The repository is empty: nothing has been committed to it yet.',
        ]);
      }
    }
  });

  it('is also that of a pull request', async () => {
    const host = await server();
    const { url, commit } = await host.addRepository('lab', {}, { pulls: [7] });
    const refs = resolver([host]);
    const pulled = await commitAt(host, 'lab', 'refs/pull/7/head');
    for (const ref of ['refs/pull/7/head', 'pull/7/head']) {
      expect((await refs.resolve(git(url), ref)).commit).toBe(pulled);
    }
    expect(pulled).not.toBe(commit);
  });

  it('is read with the credential for its host, and never without one', async () => {
    const host = await server({ credentials: login });
    const { url, commit } = await host.addRepository('lab', {});
    const right = resolver([host], [{ kind: 'http', url: host.url, ...login }]);
    expect((await right.resolve(git(url), 'main')).commit).toBe(commit);
    const none = await problemOf(resolver([host]).resolve(git(url), 'main'));
    expect([none.reason, none.message]).toEqual(['RepositoryNotFound', expect.stringContaining('private')]);
    const wrong = resolver([host], [{ kind: 'http', url: host.url, username: 'ada', password: canary('wrong') }]);
    const refused = await problemOf(wrong.resolve(git(url), 'main'));
    expect([refused.reason, refused.message]).toEqual(['RepositoryNotFound', expect.stringContaining('credentials')]);
    expect(refused.message).not.toContain('canary');
  });

  it('follows a redirect to another host, without the credential', async () => {
    const old = await server();
    const host = await server();
    const { commit } = await host.addRepository('lab', {});
    old.redirect('/old', host.url, 301);
    const refs = resolver([old, host], [{ kind: 'http', url: old.url, ...login }]);
    expect((await refs.resolve(git(`${old.url}/old/lab.git`), 'main')).commit).toBe(commit);
    expect(old.requests.every(({ hasAuthorization }) => hasAuthorization)).toBe(true);
    expect(host.requests.some(({ hasAuthorization }) => hasAuthorization)).toBe(false);
  });

  it('follows no redirect into a private network', async () => {
    const old = await server();
    const host = await server();
    await host.addRepository('lab', {});
    old.redirect('/old', host.url);
    const problem = await problemOf(resolver([old]).resolve(git(`${old.url}/old/lab.git`), 'main'));
    expect(problem).toMatchObject({ reason: 'RepositoryNotAllowed', transient: false });
    expect(host.requests).toEqual([]);
  });

  it.each([
    ['a web page', 200, 'text/html', '<h1>hello'],
    ['the dumb protocol', 200, 'text/plain', `${COMMIT}\trefs/heads/main\n`],
    ['nonsense', 200, 'application/x-git-upload-pack-advertisement', 'zzzz and more'],
    ['half an answer', 200, 'application/x-git-upload-pack-advertisement', '001e# serv'],
    ['a refusal', 200, 'application/x-git-upload-pack-advertisement', pkt('ERR canary-in-a-body denied')],
    ['a missing page', 404, 'text/html', 'canary-in-a-body'],
    ['too little right', 403, 'text/html', 'canary-in-a-body'],
  ])('is not found where there is %s, of which nothing is repeated', async (_, status, type, body) => {
    const host = await scripted((_request, response) => response.writeHead(status, { 'content-type': type }).end(body));
    const { reason, message } = await problemOf(resolver([host]).resolve(git(`${host.url}/lab`), 'main'));
    expect(reason).toBe('RepositoryNotFound');
    expect(message).not.toContain('canary');
  });

  it.each([
    [429, {}, 60_000],
    [429, { 'retry-after': '90' }, 90_000],
    [403, { 'retry-after': '30' }, 30_000],
    [403, { 'retry-after': 'Fri, 31 Dec 2100 23:59:59 GMT' }, 3_600_000],
    [429, { 'retry-after': 'soon' }, 60_000],
  ])('is left alone for as long as the host says with %d and %j', async (status, headers, retryAfterMs) => {
    const host = await scripted((_, response) => response.writeHead(status, headers).end());
    const problem = await problemOf(resolver([host]).resolve(git(`${host.url}/lab`), 'main'));
    expect(problem).toMatchObject({ reason: 'RateLimited', transient: true, retryAfterMs });
  });

  it.each([500, 502, 503])('may be found later when the host answers %d', async (status) => {
    const host = await scripted((_, response) => response.writeHead(status).end());
    const problem = await problemOf(resolver([host]).resolve(git(`${host.url}/lab`), 'main'));
    expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
  });

  it('may be found later when the name of its host cannot be looked up in time', async () => {
    const refs = resolver([], [], { timeout: '200ms' }, new AddressGuard([], () => undefined));
    for (const ref of ['main', 'f'.repeat(40)]) {
      const problem = await problemOf(refs.resolve(git('https://git.example.org/lab'), ref));
      expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
    }
  });

  it('may be found later when nobody answers, or never ends to', async () => {
    const gone = await startScriptedHost();
    await gone.close();
    const silent = await scripted(() => undefined);
    const endless = await scripted((_, response) => {
      response
        .writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' })
        .write('001e# service=');
    });
    const refs = resolver([gone, silent, endless], [], { timeout: '300ms' });
    for (const { url } of [gone, silent, endless]) {
      const problem = await problemOf(refs.resolve(git(`${url}/lab`), 'main'));
      expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
    }
  });
});

describe('a commit that was given by its hash', () => {
  it('is refused before it is built where its host does not have it', async () => {
    const host = await server();
    const { url, commit } = await host.addRepository('lab', {}, { pulls: [7] });
    const refs = resolver([host]);
    const check = async (hash: string) => refs.checkCommit(await refs.resolve(git(url), hash));
    await check(commit);
    await check(await commitAt(host, 'lab', 'refs/pull/7/head'));
    expect(await problemOf(check('f'.repeat(40)))).toMatchObject({
      reason: 'RefNotFound',
      message: `127.0.0.1:${new URL(host.url).port} does not have the commit ${'f'.repeat(40)} in this repository, or does not give it.`,
    });
    const gone = await refs.resolve(git(`${host.url}/none.git`), commit);
    expect((await problemOf(refs.checkCommit(gone))).reason).toBe('RepositoryNotFound');
  });

  it('is taken where no branch has it any more and the host gives it', async () => {
    const host = await server();
    const { url } = await host.addRepository('lab', {}, { pulls: [7] });
    const pulled = await commitAt(host, 'lab', 'refs/pull/7/head');
    await promisify(execFile)('git', ['-C', `${host.directory}/lab.git`, 'update-ref', '-d', 'refs/pull/7/head']);
    const refs = resolver([host]);
    await refs.checkCommit(await refs.resolve(git(url), pulled));
  });

  it('is not looked for where the ref was just asked for, and is one question for all who want it', async () => {
    const host = await server();
    const { url, commit } = await host.addRepository('lab', {});
    const refs = resolver([host], [], { refCache: '1h' });
    const resolved = await refs.resolve(git(url), 'main');
    const before = host.requests.length;
    await refs.checkCommit(resolved);
    expect(host.requests).toHaveLength(before);
    const given = await refs.resolve(git(url), commit);
    await Promise.all(Array.from({ length: 20 }, () => refs.checkCommit(given)));
    expect(host.requests).toHaveLength(before + 2);
  });

  it.each([
    ['knows only the old protocol', oldServer([`${COMMIT} refs/heads/main\0multi_ack\n`])],
    ['has a fault', (_, response) => response.writeHead(502).end()],
    ['wants to be left alone', (_, response) => response.writeHead(429).end()],
  ])('is left to the build where the host %s', async (_, answer) => {
    const host = await scripted(answer);
    const refs = resolver([host]);
    await refs.checkCommit(await refs.resolve(git(`${host.url}/lab`), 'f'.repeat(40)));
  });
});
