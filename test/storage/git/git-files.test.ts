import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildGitFiles } from '../../../src/storage/git/git-files.ts';
import type { GitCredential } from '../../../src/domain/git/git-credential.ts';
import { canary } from '../../support/canary.ts';
import { CLEAN_GIT, type GitServer, type GitServerOptions, startGitServer } from '../../support/git-server.ts';
import { startSshGitServer } from '../../support/ssh-git-server.ts';
import { type ScriptedHost, startScriptedHost } from '../../support/scripted-host.ts';

const run = promisify(execFile);
const login = { username: 'ada@example.org', password: `${canary('git')} "\\:@/%'$(id)` };
const open: { close(): Promise<void> }[] = [];
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'git-files-'));
});

afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
  await rm(directory, { recursive: true, force: true });
});

async function server(options: GitServerOptions = {}): Promise<GitServer> {
  const started = await startGitServer(options);
  open.push(started);
  return started;
}

/** A host that wants a name and a password for everything, and notes whether it was given some. */
async function curious(): Promise<ScriptedHost> {
  const started = await startScriptedHost((_, response) =>
    response.writeHead(401, { 'www-authenticate': 'Basic realm="all"' }).end(),
  );
  open.push(started);
  return started;
}

function credentialFor(url: string): GitCredential {
  return { kind: 'http', url, ...login };
}

/** Clones as repo2docker does, with the files of a build. */
async function clone(
  url: string,
  credential: GitCredential | undefined,
): Promise<{ readonly target: string; readonly said: string }> {
  const secrets = join(directory, 'secrets');
  await mkdir(secrets);
  for (const [name, text] of Object.entries(buildGitFiles(credential, secrets))) {
    await writeFile(join(secrets, name), text, { mode: 0o400 });
  }
  const env = { ...CLEAN_GIT, GIT_CONFIG_GLOBAL: join(secrets, 'gitconfig') };
  const target = join(directory, 'clone');
  const { stdout, stderr } = await run('git', ['clone', '--no-checkout', '--', url, target], { env });
  await run('git', ['reset', '--hard', 'HEAD'], { env, cwd: target });
  await run('git', ['submodule', 'update', '--init', '--recursive'], { env, cwd: target });
  return { target, said: stdout + stderr };
}

const COMMIT = 'a'.repeat(40);

describe('Git in a build', () => {
  it('reads a private repository, and says nothing while it does', async () => {
    const git = await server({ credentials: login });
    const { url } = await git.addRepository('group/lab', { 'a.txt': 'a' });
    const { target, said } = await clone(url, credentialFor(git.url));
    expect(said).toBe(`Cloning into '${target}'...\n`);
    const { stdout } = await run('git', ['config', '--list', '--local'], { cwd: target });
    expect(stdout).not.toContain('canary');
    expect(git.requests.some(({ hasAuthorization }) => hasAuthorization)).toBe(true);
  });

  it('reads a private submodule of the same host', async () => {
    const git = await server({ credentials: login });
    const inner = await git.addRepository('group/inner', { 'b.txt': 'b' });
    const { url } = await git.addRepository('group/lab', {}, { submodules: { inner } });
    await clone(url, credentialFor(git.url));
    expect(git.requests.filter(({ path, hasAuthorization }) => path.includes('inner') && hasAuthorization)).not.toEqual(
      [],
    );
  });

  it('sends a submodule on another host nothing, however it asks', async () => {
    const git = await server({ credentials: login });
    const other = await curious();
    const submodules = { inner: { url: `${other.url}/inner.git`, commit: COMMIT } };
    const { url } = await git.addRepository('group/lab', {}, { submodules });
    await expect(clone(url, credentialFor(git.url))).rejects.toThrow();
    expect(other.requests.length).toBeGreaterThan(0);
    expect(other.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('sends nothing to where the host redirects', async () => {
    const git = await server({ credentials: login });
    const other = await curious();
    git.redirect('/moved', other.url);
    await expect(clone(`${git.url}/moved/lab.git`, credentialFor(git.url))).rejects.toThrow();
    expect(other.requests.length).toBeGreaterThan(0);
    expect(other.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('sends another group of the same host nothing, where the credential is for one', async () => {
    const git = await server({ credentials: login });
    const { url: inside } = await git.addRepository('group/lab', {});
    await git.addRepository('groups/lab', {});
    await clone(inside, credentialFor(`${git.url}/group`));
    const before = git.requests.length;
    await rm(join(directory, 'clone'), { recursive: true });
    await rm(join(directory, 'secrets'), { recursive: true });
    await expect(clone(`${git.url}/groups/lab.git`, credentialFor(`${git.url}/group`))).rejects.toThrow();
    expect(git.requests.slice(before).some(({ hasAuthorization }) => hasAuthorization)).toBe(false);
  });

  it('uses no helper that the image has, whose credentials may be for any host', async () => {
    const git = await server({ credentials: login });
    await git.addRepository('group/lab', {});
    const other = await curious();
    const system = join(directory, 'system');
    await writeFile(system, '[credential]\n\thelper = "!echo username=x; echo password=x; :"\n');
    const secrets = join(directory, 'secrets');
    await mkdir(secrets);
    for (const [name, text] of Object.entries(buildGitFiles(credentialFor(git.url), secrets))) {
      await writeFile(join(secrets, name), text);
    }
    const env = {
      ...CLEAN_GIT,
      GIT_CONFIG_NOSYSTEM: '0',
      GIT_CONFIG_SYSTEM: system,
      GIT_CONFIG_GLOBAL: join(secrets, 'gitconfig'),
    };
    await expect(run('git', ['ls-remote', `${other.url}/a.git`], { env })).rejects.toThrow();
    expect(other.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  it('has Git LFS say the path that it asks for, without which a credential for a group is for nothing', async () => {
    const file = join(directory, 'gitconfig');
    await writeFile(file, buildGitFiles(credentialFor('https://git.example.org/group'))['gitconfig'] ?? '');
    const { stdout } = await run('git', ['config', '--file', file, '--type=bool', 'credential.useHttpPath']);
    expect(stdout).toBe('true\n');
  });

  it('is given nothing for a public repository', () => {
    expect(buildGitFiles(undefined)).toEqual({});
  });

  it('reads a repository over SSH with the one key, and speaks to known hosts only', async () => {
    const git = await server();
    const ssh = await startSshGitServer({ directory: git.directory });
    open.push(ssh);
    await git.addRepository('group/lab', { 'a.txt': 'a' });
    const url = `ssh://git@127.0.0.1:${ssh.port}/group/lab.git`;
    const credential = { kind: 'ssh', url, privateKey: ssh.userKey } as const;
    await clone(url, { ...credential, knownHosts: `[127.0.0.1]:${ssh.port} ${ssh.hostKey}\n` });
    const commands = ssh.commands.length;
    await rm(directory, { recursive: true });
    await mkdir(directory);
    await expect(clone(url, { ...credential, knownHosts: `other.org ${ssh.hostKey}\n` })).rejects.toThrow(
      /Host key verification/,
    );
    expect(ssh.commands).toHaveLength(commands);
  });

  it('speaks SSH with the one key, and to known hosts only', () => {
    const files = buildGitFiles({
      kind: 'ssh',
      url: 'ssh://git.example.org',
      privateKey: canary('key'),
      knownHosts: 'k\n',
    });
    expect(Object.keys(files).sort()).toEqual(['gitconfig', 'known_hosts', 'ssh-privatekey']);
    expect(files['gitconfig']).toMatchInlineSnapshot(`
      "[core]
      	sshCommand = "ssh -F /dev/null -i /run/labwright/secrets/ssh-privatekey -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/run/labwright/secrets/known_hosts -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o ForwardAgent=no -o BatchMode=yes -o ConnectTimeout=30"
      "
    `);
  });
});
