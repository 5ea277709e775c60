import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  inClusterConnection,
  isInCluster,
  ownNamespace,
  tokenConnection,
} from '../../../src/storage/kubernetes/connection.ts';
import { kubeconfigConnection } from '../../../src/storage/kubernetes/kubeconfig.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { canary } from '../../support/canary.ts';
import { ScriptedServer } from '../support/scripted-server.ts';

const IN_CLUSTER = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

async function temporaryFolder(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-connection-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

async function startServer(): Promise<ScriptedServer> {
  const server = await ScriptedServer.start();
  server.otherwise = (exchange) => exchange.json({ metadata: { resourceVersion: '1' }, items: [] });
  onTestFinished(() => server.close());
  return server;
}

function kubeconfig(server: string, user: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'first',
    clusters: [{ name: 'here', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'me', user }],
    contexts: [
      { name: 'first', context: { cluster: 'here', user: 'me' } },
      { name: 'broken', context: { cluster: 'nowhere', user: 'me' } },
    ],
  });
}

describe('a connection', () => {
  it('uses few sockets for many calls, one after the other and at once', async () => {
    const server = await startServer();
    const client = new KubeClient({
      connection: tokenConnection({ server: server.server, token: 't' }),
      inFlight: 4,
    });
    for (let call = 0; call < 10; call += 1) await client.list(Pods);
    // The next call may begin before the connection of the last one is free.
    expect(server.connections).toBeLessThanOrEqual(2);
    await Promise.all(Array.from({ length: 40 }, () => client.list(Pods)));
    expect(server.connections).toBeLessThanOrEqual(8);
    await client.close();
    await expect.poll(() => server.openConnections).toBe(0);
  });

  it('may lead to an API server behind a path', async () => {
    const server = await startServer();
    const client = new KubeClient({ connection: tokenConnection({ server: `${server.server}/k8s/one/`, token: 't' }) });
    await client.list(Pods);
    await client.close();
    expect(server.exchanges[0]?.path).toBe('/k8s/one/api/v1/pods');
  });
});

describe('the connection of a pod', () => {
  it('follows the token when it is replaced', async () => {
    const folder = await temporaryFolder({ token: 'first\n', 'ca.crt': '', namespace: 'hub\n' });
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const connection = inClusterConnection(IN_CLUSTER, folder);
    onTestFinished(() => connection.close());
    expect(await connection.headers()).toEqual({ authorization: 'Bearer first' });
    await writeFile(join(folder, 'token'), 'second\n');
    expect(await connection.headers()).toEqual({ authorization: 'Bearer first' });
    vi.advanceTimersByTime(31_000);
    expect(await connection.headers()).toEqual({ authorization: 'Bearer second' });
  });

  it('recovers when the token could not be read for a moment', async () => {
    const folder = await temporaryFolder({ 'ca.crt': '' });
    const connection = inClusterConnection(IN_CLUSTER, folder);
    onTestFinished(() => connection.close());
    await expect(connection.headers()).rejects.toThrow('ENOENT');
    await writeFile(join(folder, 'token'), 'late');
    expect(await connection.headers()).toEqual({ authorization: 'Bearer late' });
  });

  it.each([
    ['10.96.0.1', 'https://10.96.0.1:443'],
    ['fd00::1', 'https://[fd00::1]:443'],
  ])('leads to %s', async (host, server) => {
    const folder = await temporaryFolder({ token: 't', 'ca.crt': '' });
    const connection = inClusterConnection({ ...IN_CLUSTER, KUBERNETES_SERVICE_HOST: host }, folder);
    onTestFinished(() => connection.close());
    expect(connection.server).toBe(server);
  });

  it('is there only where Kubernetes says so', async () => {
    expect(isInCluster(IN_CLUSTER)).toBe(true);
    expect(isInCluster({})).toBe(false);
    expect(ownNamespace(await temporaryFolder({ namespace: 'hub\n' }))).toBe('hub');
    expect(ownNamespace(await temporaryFolder({}))).toBeUndefined();
  });
});

describe('the connection of a kubeconfig', () => {
  it('sends the token of its user and keeps its sockets', async () => {
    const server = await startServer();
    const folder = await temporaryFolder({ config: kubeconfig(server.server, { token: 'mine' }) });
    const client = new KubeClient({ connection: await kubeconfigConnection(join(folder, 'config')) });
    for (let call = 0; call < 10; call += 1) await client.list(Pods);
    await client.close();
    expect(server.exchanges[0]?.headers.authorization).toBe('Bearer mine');
    expect(server.connections).toBeLessThanOrEqual(2);
    await expect.poll(() => server.openConnections).toBe(0);
  });

  it('asks a plugin for credentials once, however many calls wait for them', async () => {
    const server = await startServer();
    const folder = await temporaryFolder({ asked: '' });
    const credential = JSON.stringify({
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'from the plugin', expirationTimestamp: '2001-01-01T00:00:00Z' },
    });
    const script = `echo >> '${join(folder, 'asked')}'; echo '${credential}'`;
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', script] };
    await writeFile(join(folder, 'config'), kubeconfig(server.server, { exec }));
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const connection = await kubeconfigConnection(join(folder, 'config'));
    onTestFinished(() => connection.close());
    vi.advanceTimersByTime(31_000);
    const headers = await Promise.all(Array.from({ length: 10 }, () => connection.headers()));
    expect(headers[9]).toMatchObject({ Authorization: 'Bearer from the plugin' });
    expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('\n\n');
  });

  it.each([
    ['of a cluster that it does not have', 'broken', 'has no cluster for the context "broken"'],
    ['that it does not have', 'missing', 'missing'],
  ])('says plainly when it is asked for a context %s', async (_what, context, message) => {
    const folder = await temporaryFolder({ config: kubeconfig('http://127.0.0.1:1', { token: 'mine' }) });
    await expect(kubeconfigConnection(join(folder, 'config'), context)).rejects.toThrow(message);
  });

  it('says plainly that a file is no kubeconfig, and nothing of what is in it', async () => {
    const folder = await temporaryFolder({ config: `users: [\n  token: ${canary('kubeconfig')}\n` });
    const file = join(folder, 'config');
    await expect(kubeconfigConnection(file)).rejects.toThrow(`The kubeconfig ${file} cannot be used`);
    await expect(kubeconfigConnection(file)).rejects.not.toThrow('canary');
    await expect(kubeconfigConnection(join(folder, 'none'))).rejects.toThrow('none cannot be used: ENOENT');
  });
});
