import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GitCredentials } from '../../../src/storage/git/git-credentials.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { canary } from '../../support/canary.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { problemOf, repositoriesConfig } from './support.ts';

const HOST_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==';
const entries = [
  { url: 'https://git.example.org', secret: 'host' },
  { url: 'https://git.example.org/group/', secret: 'group' },
  { url: 'ssh://git.example.org', secret: 'ssh' },
  { url: 'https://token.example.org', secret: 'token' },
  { url: 'https://broken.example.org', secret: 'broken' },
  { url: 'https://missing.example.org', secret: 'missing' },
];

let cluster: TestCluster;
let client: KubeClient;
let namespace: string;
let credentials: GitCredentials;

beforeAll(async () => {
  cluster = await startCluster();
  namespace = cluster.uniqueName('git-credentials');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  const secrets: Record<string, Record<string, string>> = {
    host: { username: 'ada', password: `${canary('host')}\n` },
    group: { username: 'grace', password: canary('group') },
    ssh: { 'ssh-privatekey': canary('key'), known_hosts: `git.example.org ${HOST_KEY}\nother.org ${HOST_KEY}\n` },
    token: { password: canary('token') },
    broken: { username: 'ada', password: `${canary('one')}\nurl=https://evil.example.org` },
  };
  for (const [name, stringData] of Object.entries(secrets)) {
    await cluster.client.create(Secrets, { metadata: { name, namespace }, stringData });
  }
});

beforeEach(() => {
  client = new KubeClient({ connection: cluster.connection() });
  credentials = new GitCredentials({ client, namespace, config: repositoriesConfig({ credentials: entries }) });
});

afterEach(async () => {
  cluster.proxy.onCall = () => 'pass';
  await client.close();
});

afterAll(() => cluster.close());

const http = (url: string, username: string, password: string) => ({ kind: 'http', url, username, password });

describe('the credential for a URL', () => {
  it.each([
    ['https://git.example.org/ada/lab', http('https://git.example.org', 'ada', canary('host'))],
    ['https://git.example.org:443/ada/lab', http('https://git.example.org', 'ada', canary('host'))],
    ['https://git.example.org/group/lab', http('https://git.example.org/group/', 'grace', canary('group'))],
    ['https://git.example.org/groups/lab', http('https://git.example.org', 'ada', canary('host'))],
    ['https://token.example.org/a', http('https://token.example.org', 'git', canary('token'))],
    ['http://git.example.org/group/lab', undefined],
    ['https://git.example.org:8443/group/lab', undefined],
    ['https://git.example.org.evil.example/group/lab', undefined],
    ['https://sub.git.example.org/lab', undefined],
    ['ssh://git@git.example.org:2222/lab', undefined],
  ])('%s is that of the smallest part it lies in', async (url, expected) => {
    expect(await credentials.forUrl(url)).toEqual(expected);
  });

  it('for SSH knows the keys of that host only', async () => {
    expect(await credentials.forUrl('ssh://git@git.example.org/lab')).toEqual({
      kind: 'ssh',
      url: 'ssh://git.example.org',
      privateKey: `${canary('key')}\n`,
      knownHosts: `git.example.org ${HOST_KEY}\n`,
    });
  });

  it.each(['https://missing.example.org/a', 'https://broken.example.org/a'])(
    '%s is a problem when its Secret is not there or has what Git cannot read',
    async (url) => {
      const { reason, message } = await problemOf(credentials.forUrl(url));
      expect(reason).toBe('MissingSecret');
      expect(message).not.toContain('canary');
    },
  );

  it('is read once, however many want it', async () => {
    const asked: string[] = [];
    cluster.proxy.onCall = (_, { path }) => {
      asked.push(path);
      return 'pass';
    };
    const url = 'https://git.example.org/ada/lab';
    await Promise.all([credentials.forUrl(url), credentials.forUrl(url)]);
    await credentials.forUrl(url);
    expect(asked).toHaveLength(1);
  });

  it('may be had later when it cannot be read', async () => {
    cluster.proxy.onCall = () => ({ status: 403 });
    const problem = await problemOf(credentials.forUrl('https://git.example.org/ada/lab'));
    expect(problem).toMatchObject({ reason: 'RepositoryUnavailable', transient: true });
  });
});

describe('the files for a build', () => {
  it('are those of the credential of its repository, and none for others', async () => {
    const files = await credentials.filesFor({ provider: 'git', url: 'https://git.example.org/group/lab' });
    expect(Object.keys(files).sort()).toEqual(['git-credentials', 'gitconfig']);
    expect(files['git-credentials']).toBe(`username=grace\npassword=${canary('group')}\n`);
    expect(await credentials.filesFor({ provider: 'gh', url: 'https://github.com/ada/lab' })).toEqual({});
    expect(await credentials.filesFor({ provider: 'zenodo', url: '10.5281/zenodo.1' })).toEqual({});
  });
});
