import { EventEmitter, once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import type { Repository } from '../../../src/domain/build/build.ts';
import { startGitServer } from '../../support/git-server.ts';
import { type ScriptedHost, startScriptedHost } from '../../support/scripted-host.ts';
import { problemOf, resolverOf } from './support.ts';

const open: { close(): Promise<void> }[] = [];
const pkt = (text: string) => (text.length + 4).toString(16).padStart(4, '0') + text;
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function scripted(answer: ScriptedHost['answer']): Promise<ScriptedHost> {
  const started = await startScriptedHost(answer);
  open.push(started);
  return started;
}

function resolver(input: Parameters<typeof resolverOf>[0]) {
  const made = resolverOf(input).resolver;
  open.push(made);
  return made;
}

const git = (url: string): Repository => ({ provider: 'git', url });
const refs: ScriptedHost['answer'] = (_, response) => {
  response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
  response.end(`${pkt('# service=git-upload-pack\n')}0000${pkt(`${COMMIT} refs/heads/main\n`)}0000`);
};

describe('which repositories may be built', () => {
  it.each([
    [{ providers: ['gh' as const] }, 'https://git.example.org/a'],
    [{ allowed: ['^https://git\\.example\\.org/ada/'] }, 'https://git.example.org/grace/a'],
    [{ allowed: ['git\\.example\\.org'], denied: ['/ADA/'] }, 'https://git.example.org/ada/a'],
  ])('is said by the configuration: %j', async (input, url) => {
    const host = await scripted(refs);
    const asked = resolver({ ...input, privateHosts: [host.host] });
    for (const ref of ['main', 'a'.repeat(40)]) {
      expect((await problemOf(asked.resolve(git(url), ref))).reason).toBe('RepositoryNotAllowed');
    }
    expect(host.requests).toEqual([]);
  });

  it.each([{ denied: ['/secret/'] }, { allowed: ['/open/'] }])(
    'is judged again where a host sends on to: %j',
    async (lists) => {
      const host = await scripted((request, response) => {
        if (!request.url?.startsWith('/open/')) return refs(request, response);
        response.writeHead(301, { location: request.url.replace('/open/', '/secret/') });
        response.end();
      });
      const asked = resolver({ ...lists, privateHosts: [host.host] });
      for (const ref of ['main', 'a'.repeat(40)]) {
        const problem = await problemOf(asked.resolve(git(`${host.url}/open/lab`), ref));
        expect(problem.reason).toBe('RepositoryNotAllowed');
      }
    },
  );

  it('is no pull request of an allowed one, unless that is said', async () => {
    const host = await scripted((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-advertisement' });
      response.end(`${pkt('# service=git-upload-pack\n')}0000${pkt(`${COMMIT} refs/pull/7/head\n`)}0000`);
    });
    const from = (input: object) => resolver({ privateHosts: [host.host], ...input });
    const ask = (input: object) => from(input).resolve(git(`${host.url}/lab`), 'refs/pull/7/head');
    for (const input of [{ allowed: ['/lab'] }, { unreachedCommits: false }]) {
      const { reason, message } = await problemOf(ask(input));
      expect([reason, message]).toEqual([
        'RepositoryNotAllowed',
        'Only branches and tags are built here, and no pull requests.',
      ]);
    }
    expect(host.requests).toEqual([]);
    for (const input of [{}, { allowed: ['/lab'], unreachedCommits: true }]) {
      expect(await ask(input)).toMatchObject({ commit: COMMIT });
    }
  });

  it('is the same where a host only adds to the address', async () => {
    const host = await scripted((request, response) => {
      if (request.url?.startsWith('/lab.git/') === true) return refs(request, response);
      response.writeHead(301, { location: request.url?.replace('/lab/', '/lab.git/') });
      response.end();
    });
    const asked = resolver({ allowed: ['/lab$'], denied: ['/other$'], privateHosts: [host.host] });
    expect(await asked.resolve(git(`${host.url}/lab`), 'main')).toMatchObject({ commit: COMMIT });
  });

  it('is no place that has only private addresses', async () => {
    const host = await scripted(refs);
    const problem = await problemOf(resolver({}).resolve(git(`${host.url}/lab`), 'main'));
    expect(problem).toMatchObject({ reason: 'RepositoryNotAllowed', transient: false });
    expect(host.requests).toEqual([]);
  });
});

describe('what is not there', () => {
  it('is one question, however often it is asked for, and for all who ask', async () => {
    const host = await scripted((request, response) =>
      request.url?.startsWith('/none') === true ? response.writeHead(404).end() : refs(request, response),
    );
    const asked = resolver({ privateHosts: [host.host], refCache: '1m' });
    for (let ask = 0; ask < 50; ask += 1) {
      expect((await problemOf(asked.resolve(git(`${host.url}/lab`), 'mian'))).reason).toBe('RefNotFound');
      expect((await problemOf(asked.resolve(git(`${host.url}/none`), 'main'))).reason).toBe('RepositoryNotFound');
    }
    expect(host.requests).toHaveLength(2);
    expect((await asked.resolve(git(`${host.url}/lab`), 'main')).commit).toBe(COMMIT);
  });

  it('is asked for again where nothing is to be believed', async () => {
    const host = await scripted((_, response) => response.writeHead(404).end());
    const asked = resolver({ privateHosts: [host.host], refCache: '0s' });
    for (let ask = 0; ask < 2; ask += 1) await problemOf(asked.resolve(git(`${host.url}/none`), 'main'));
    expect(host.requests).toHaveLength(2);
  });
});

describe('many who want one ref', () => {
  it('are one question, and an answer holds for a moment', async () => {
    const host = await scripted(refs);
    const asked = resolver({ privateHosts: [host.host], refCache: '1h' });
    const all = await Promise.all(Array.from({ length: 50 }, () => asked.resolve(git(`${host.url}/lab`), 'main')));
    expect(new Set(all.map(({ commit }) => commit))).toEqual(new Set([COMMIT]));
    await asked.resolve(git(`${host.url}/lab`), 'main');
    expect(host.requests).toHaveLength(1);
    await asked.resolve(git(`${host.url}/other`), 'main');
    expect(host.requests).toHaveLength(2);
  });

  it('ask again after a failure', async () => {
    let isUp = false;
    const host = await scripted((request, response) => {
      if (isUp) refs(request, response);
      else response.writeHead(503).end();
    });
    const asked = resolver({ privateHosts: [host.host], refCache: '1h' });
    await problemOf(asked.resolve(git(`${host.url}/lab`), 'main'));
    isUp = true;
    expect((await asked.resolve(git(`${host.url}/lab`), 'main')).commit).toBe(COMMIT);
  });

  it('go without taking the answer from the others', async () => {
    const going = new AbortController();
    const waiting: (() => void)[] = [];
    const host = await scripted((request, response) => {
      waiting.push(() => refs(request, response));
      going.abort(new Error('gone'));
    });
    const asked = resolver({ privateHosts: [host.host] });
    const gone = asked.resolve(git(`${host.url}/lab`), 'main', going.signal);
    const stays = asked.resolve(git(`${host.url}/lab`), 'main');
    await expect(gone).rejects.toThrow('gone');
    for (const answer of waiting) answer();
    expect((await stays).commit).toBe(COMMIT);
    expect(host.requests).toHaveLength(1);
  });

  it('end the question when all of them have gone, and the place of the user is free again', async () => {
    const begun = new EventEmitter();
    const host = await scripted((request) => {
      request.socket.once('close', () => begun.emit('closed'));
      begun.emit('asked');
    });
    const asked = resolver({ privateHosts: [host.host], timeout: '1h' });
    for (let count = 0; count < 20; count += 1) {
      const [one, other] = [new AbortController(), new AbortController()];
      const asking = once(begun, 'asked');
      const both = [one, other].map(({ signal }) => asked.resolve(git(`${host.url}/lab`), 'main', signal, 'ada'));
      const ended = Promise.allSettled(both);
      await asking;
      const closed = once(begun, 'closed');
      for (const each of [one, other]) each.abort(new Error('gone'));
      expect(await ended).toMatchObject([{ reason: { message: 'gone' } }, { reason: { message: 'gone' } }]);
      await closed;
    }
    expect(host.requests).toHaveLength(20);
  });

  it('are refused for now beyond a bound, and all let go at the end', async () => {
    const host = await scripted(() => undefined);
    const asked = resolver({ privateHosts: [host.host], timeout: '1h' });
    const waiting = Array.from({ length: 64 }, (_, number) => {
      return problemOf(asked.resolve(git(`${host.url}/lab${number}`), 'main'));
    });
    const problem = await problemOf(asked.resolve(git(`${host.url}/more`), 'main'));
    expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
    await asked.close();
    expect(new Set((await Promise.all(waiting)).map(({ reason }) => reason))).toEqual(
      new Set(['RepositoryUnavailable']),
    );
    expect((await problemOf(asked.resolve(git(`${host.url}/late`), 'main'))).transient).toBe(true);
  });
});

describe('questions of one user', () => {
  it('leave places for others, however many hosts of theirs do not answer', async () => {
    const host = await scripted(() => undefined);
    const other = await startGitServer();
    open.push(other);
    const { url, commit } = await other.addRepository('grace/lab', {});
    const asked = resolver({ privateHosts: [host.host, new URL(url).host], timeout: '1h' });
    const ask = (name: string) => problemOf(asked.resolve(git(`${host.url}/${name}`), 'main', undefined, 'ada'));
    const waiting = Array.from({ length: 16 }, (_, number) => ask(`lab${number}`));
    expect(await ask('more')).toMatchObject({ reason: 'QueueFull', transient: true });
    expect((await asked.resolve(git(url), 'main', undefined, 'grace')).commit).toBe(commit);
    await asked.close();
    await Promise.all(waiting);
  });
});

describe('a gist', () => {
  it('is a Git repository with one branch, whatever that is called', async () => {
    const host = await startGitServer();
    open.push(host);
    const { url, commit } = await host.addRepository('8a9b0c1d2e3f4a5b6c7d8', {});
    const asked = resolver({ privateHosts: [new URL(url).host] });
    for (const ref of ['HEAD', 'master', 'main']) {
      const resolved = await asked.resolve({ provider: 'gist', url }, ref);
      expect(resolved).toMatchObject({ commit, binderSlug: '8a9b0c1d2e3f4a5b6c7d8' });
    }
  });
});

describe('a DOI', () => {
  async function zenodo(paths: Readonly<Record<string, string | number>>) {
    const host = await scripted((request, response) => {
      const found = paths[request.url ?? ''];
      if (typeof found === 'string') response.writeHead(302, { location: found }).end();
      else response.writeHead(found ?? 404).end('a page');
    });
    const asked = resolver({
      privateHosts: [host.host],
      zenodo: { url: host.url, doiUrl: `${host.url}/dois` },
    });
    return asked.resolve({ provider: 'zenodo', url: '10.5281/zenodo.3242073' }, 'HEAD');
  }

  it('is the record that it leads to in the end', async () => {
    const resolved = await zenodo({
      '/dois/10.5281/zenodo.3242073': '/doi/10.5281/zenodo.3242073',
      '/doi/10.5281/zenodo.3242073': '/records/3242074',
      '/records/3242074': 200,
    });
    expect(resolved).toEqual({
      provider: 'zenodo',
      url: '10.5281/zenodo.3242073',
      ref: 'HEAD',
      commit: '3242074',
      binderSlug: 'zenodo-3242074',
    });
  });

  it('is not found, or may be later', async () => {
    expect((await problemOf(zenodo({}))).reason).toBe('RepositoryNotFound');
    const down = await problemOf(zenodo({ '/dois/10.5281/zenodo.3242073': 503 }));
    expect(down).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
  });

  it('leads to Zenodo, or cannot be built', async () => {
    const problem = await problemOf(zenodo({ '/dois/10.5281/zenodo.3242073': '/articles/1', '/articles/1': 200 }));
    expect(problem.reason).toBe('RepositoryInvalid');
  });
});
