import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SandboxGitHost, startGitHost } from '../../sandbox/git-host.ts';
import { canary } from '../support/canary.ts';

const run = promisify(execFile);
const PASSWORD = canary('git-host-password');
const COMMIT = /^[0-9a-f]{40}$/;

const dispatcher = new Agent();
afterAll(() => dispatcher.destroy());
let host: SandboxGitHost;
beforeAll(async () => {
  host = await startGitHost({
    repositories: {
      'demo/notebooks': { branches: ['main', 'develop', 'feature/x'], tags: ['v1.0'] },
      'demo/private': { branches: ['main'], access: { username: 'ada', password: PASSWORD } },
    },
  });
});
afterAll(() => host.close());

const ENV = { PATH: process.env['PATH'], GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_GLOBAL: '/dev/null', LC_ALL: 'C' };

/** What real Git reads: commits by the name of the ref. */
async function lsRemote(
  version: 0 | 2,
  url: string,
  refs: readonly string[] = [],
  options: readonly string[] = [],
): Promise<Record<string, string>> {
  const args = ['-c', `protocol.version=${version}`, 'ls-remote', ...options, url, ...refs];
  const { stdout } = await run('git', args, { env: ENV, timeout: 10_000 });
  const lines = stdout.split('\n').filter((line) => line !== '');
  return Object.fromEntries(lines.map((line) => line.split('\t').toReversed() as [string, string]));
}

describe.each([0, 2] as const)('the Git host of the sandbox, in version %d of the protocol', (version) => {
  it('tells real Git its refs', async () => {
    const main = host.commitOf('demo/notebooks', 'main') ?? '';
    const refs = await lsRemote(version, `${host.url}/demo/notebooks`);
    expect(refs).toEqual({
      HEAD: main,
      'refs/heads/main': main,
      'refs/heads/develop': host.commitOf('demo/notebooks', 'develop'),
      'refs/heads/feature/x': host.commitOf('demo/notebooks', 'feature/x'),
      'refs/tags/v1.0': expect.stringMatching(COMMIT) as string,
      'refs/tags/v1.0^{}': main,
    });
    expect(refs['refs/tags/v1.0']).not.toBe(main);
    expect(new Set([main, refs['refs/heads/develop'], refs['refs/heads/feature/x']]).size).toBe(3);
  });

  it('tells it one ref, and what HEAD is', async () => {
    const url = `${host.url}/demo/notebooks.git`;
    expect(Object.keys(await lsRemote(version, url, ['develop']))).toEqual(['refs/heads/develop']);
    expect(await lsRemote(version, url, ['HEAD'], ['--symref'])).toMatchObject({
      HEAD: host.commitOf('demo/notebooks', 'main'),
    });
    expect(await lsRemote(version, url, ['none'])).toEqual({});
  });

  it('tells it one ref of many that it asks for', async () => {
    const many = Array.from({ length: 60 }, (_, index) => `branch-with-a-long-name-${index}`);
    const refs = await lsRemote(version, `${host.url}/demo/notebooks`, [...many, 'main']);
    expect(Object.keys(refs)).toEqual(['refs/heads/main']);
  });

  it('has no repository but its own', async () => {
    await expect(lsRemote(version, `${host.url}/demo/none`)).rejects.toMatchObject({
      stderr: expect.stringContaining('not found') as string,
    });
  });

  it('shows a private repository to whom it is for', async () => {
    const url = `${host.url}/demo/private`;
    await expect(lsRemote(version, url)).rejects.toThrow();
    const own = url.replace('http://', `http://ada:${PASSWORD}@`);
    expect(Object.keys(await lsRemote(version, own))).toEqual(['HEAD', 'refs/heads/main']);
  });
});

it('has nothing to fetch from the Git host, and says so', async () => {
  const answer = await request(`${host.url}/demo/notebooks/git-upload-pack`, {
    dispatcher,
    method: 'POST',
    headers: { 'git-protocol': 'version=2' },
    body: '0011command=fetch0001000fno-progress0000',
  });
  expect(await answer.body.text()).toContain('ERR this host has refs only');
});

describe('the commits of the Git host', () => {
  it('are the same every time it starts', async () => {
    const [one, other] = await Promise.all([startGitHost(), startGitHost()]);
    try {
      expect(one.commitOf('demo/notebooks', 'main')).toMatch(COMMIT);
      expect(one.commitOf('demo/notebooks', 'main')).toBe(other.commitOf('demo/notebooks', 'main'));
      expect(one.commitOf('demo/notebooks', 'v1.0')).toBe(one.commitOf('demo/notebooks', 'main'));
      expect(one.commitOf('demo/notebooks', 'none')).toBeUndefined();
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  });

  it('move on with a push', () => {
    const before = host.commitOf('demo/private', 'main');
    const after = host.push('demo/private', 'main');
    expect(after).toMatch(COMMIT);
    expect(after).not.toBe(before);
    expect(host.commitOf('demo/private', 'main')).toBe(after);
    expect(host.commitOf('demo/private', 'new')).toBeUndefined();
    expect(host.push('demo/private', 'new')).toBe(host.commitOf('demo/private', 'new'));
  });
});
