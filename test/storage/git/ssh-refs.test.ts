import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { GitCredential } from '../../../src/domain/git/git-credential.ts';
import { KnownHosts } from '../../../src/storage/git/known-hosts.ts';
import { AddressGuard } from '../../../src/storage/outbound/address-guard.ts';
import { startGitServer } from '../../support/git-server.ts';
import { type SshGitServer, startSshGitServer } from '../../support/ssh-git-server.ts';
import { problemOf, resolverOf } from './support.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

async function server(options: { acceptsProtocol?: boolean } = {}) {
  const git = await startGitServer();
  const ssh = await startSshGitServer({ directory: git.directory, ...options });
  open.push(git, ssh);
  const repository = { provider: 'git', url: `ssh://git@127.0.0.1:${ssh.port}/group/it's.git` } as const;
  const add = () => git.addRepository("group/it's", {}, { branches: ['dev'], annotatedTags: ['v1'] });
  return { ssh, repository, add };
}

function resolver(
  ssh: SshGitServer,
  credential: Partial<Extract<GitCredential, { kind: 'ssh' }>> = {},
  privateHosts = true,
) {
  const url = `ssh://127.0.0.1:${ssh.port}`;
  const knownHosts = `[127.0.0.1]:${ssh.port} ${ssh.hostKey}\n`;
  const made = resolverOf({ privateHosts: privateHosts ? [`127.0.0.1:${ssh.port}`] : [] }, [
    { kind: 'ssh', url, privateKey: ssh.userKey, knownHosts, ...credential },
  ]);
  open.push(made.resolver);
  return made;
}

describe('a ref of a Git repository over SSH', () => {
  it.each([true, false])('is found, by version 2 of the protocol or without (%s)', async (acceptsProtocol) => {
    const { ssh, repository, add } = await server({ acceptsProtocol });
    const { commit } = await add();
    const { resolver: refs } = resolver(ssh);
    for (const ref of ['HEAD', 'main', 'dev', 'v1']) expect((await refs.resolve(repository, ref)).commit).toBe(commit);
    expect((await problemOf(refs.resolve(repository, 'none'))).reason).toBe('RefNotFound');
    expect(ssh.commands[0]).toBe("git-upload-pack '/group/it'\\''s.git'");
  });

  it('is not asked of a host that shows another key than the known one', async () => {
    const { ssh, repository, add } = await server();
    await add();
    const other = await startSshGitServer({ directory: '/nonexistent' });
    open.push(other);
    for (const knownHosts of [
      `[127.0.0.1]:${ssh.port} ${other.hostKey}\n`,
      `127.0.0.1 ${ssh.hostKey}\n`,
      `@revoked [127.0.0.1]:${ssh.port} ${ssh.hostKey}\n[127.0.0.1]:${ssh.port} ${ssh.hostKey}\n`,
      '',
    ]) {
      const problem = await problemOf(resolver(ssh, { knownHosts }).resolver.resolve(repository, 'main'));
      expect(problem).toMatchObject({ reason: 'RepositoryNotAllowed', transient: false });
    }
    expect(ssh.commands).toEqual([]);
  });

  it('is not found with a key that the host does not take, or in a repository that is not there', async () => {
    const { ssh, repository } = await server();
    const other = await startSshGitServer({ directory: '/nonexistent' });
    open.push(other);
    const denied = await problemOf(resolver(ssh, { privateKey: other.userKey }).resolver.resolve(repository, 'main'));
    expect(denied).toMatchObject({ reason: 'RepositoryNotFound', transient: false });
    const missing = await problemOf(resolver(ssh).resolver.resolve(repository, 'main'));
    expect(missing).toMatchObject({ reason: 'RepositoryNotFound', transient: false });
  });

  it('may be found later when the host does not say a word, or cannot be looked up', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const sockets = new Set<Socket>();
    silent.on('connection', (socket) => sockets.add(socket));
    const known = { kind: 'ssh', privateKey: (await server()).ssh.userKey } as const;
    const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n';
    const credentials = [
      { ...known, url: `ssh://127.0.0.1:${port}`, knownHosts: `[127.0.0.1]:${port} ${key}` },
      { ...known, url: 'ssh://git.example.org', knownHosts: `git.example.org ${key}` },
    ];
    const guard = new AddressGuard([`127.0.0.1:${port}`], () => undefined);
    const { resolver: refs } = resolverOf({ timeout: '300ms' }, credentials, guard);
    open.push(refs);
    for (const url of [`ssh://git@127.0.0.1:${port}/a`, 'ssh://git@git.example.org/a']) {
      const problem = await problemOf(refs.resolve({ provider: 'git', url }, 'main'));
      expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
    }
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('says whose fault it is when the key cannot be read, and nothing of it', async () => {
    const { ssh, repository } = await server();
    const { resolver: refs, lines } = resolver(ssh, { privateKey: 'canary-no-key\n' });
    const problem = await problemOf(refs.resolve(repository, 'main'));
    expect(problem.reason).toBe('RepositoryNotAllowed');
    expect(problem.message + lines.join('')).not.toContain('canary');
  });

  it('is not asked of a private address, nor without a key', async () => {
    const { ssh, repository } = await server();
    expect((await problemOf(resolver(ssh, {}, false).resolver.resolve(repository, 'main'))).reason).toBe(
      'RepositoryNotAllowed',
    );
    const { resolver: refs } = resolverOf({ privateHosts: [`127.0.0.1:${ssh.port}`] });
    open.push(refs);
    const { reason, message } = await problemOf(refs.resolve(repository, 'main'));
    expect([reason, message]).toEqual(['RepositoryNotAllowed', expect.stringContaining('https')]);
  });
});

describe('a file of known hosts', () => {
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==';
  const algorithms = (text: string, host: string, port = 22) => new KnownHosts(text, host, port).algorithms;

  it('knows hosts by name, pattern, port and hash', () => {
    const salt = Buffer.from('salt');
    const hash = createHmac('sha1', salt).update('git.example.org').digest('base64');
    for (const hosts of [
      'git.example.org',
      'a,git.example.org',
      '*.example.org',
      `|1|${salt.toString('base64')}|${hash}`,
    ]) {
      expect(algorithms(`${hosts} ${key} comment\n`, 'git.example.org')).toEqual(['ssh-ed25519']);
      expect(algorithms(`${hosts} ${key}\n`, 'example.org')).toEqual([]);
      expect(algorithms(`${hosts} ${key}\n`, 'git.example.org', 2222)).toEqual([]);
    }
    expect(algorithms(`*.example.org,!git.example.org ${key}`, 'git.example.org')).toEqual([]);
    expect(algorithms(`[git.example.org]:2222 ${key}`, 'git.example.org', 2222)).toEqual(['ssh-ed25519']);
    expect(algorithms('git.example.org ssh-rsa AAAA', 'git.example.org')).toEqual(['rsa-sha2-512', 'rsa-sha2-256']);
  });

  it('keeps the lines of one host only, and no authorities', () => {
    const text = `# a\n\na.org ${key}\nb.org ${key}\n@cert-authority a.org ${key}\n@revoked a.org ${key}\n`;
    expect(new KnownHosts(text, 'a.org', 22).text).toBe(`a.org ${key}\n@revoked a.org ${key}\n`);
  });
});
