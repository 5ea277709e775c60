import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import '../../support/leaks.ts';
import { type Certificate, selfSigned } from '../../../sandbox/kubelet/self-signed.ts';
import { inClusterConnection, type KubeConnection } from '../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { kubeconfigConnection } from '../../../src/storage/kubernetes/kubeconfig.ts';
import { ConfigMaps, Pods } from '../../../src/storage/kubernetes/resources.ts';
import { errorOf } from '../support/client.ts';

let folder: string;
const write = (name: string, text: string) => writeFile(join(folder, name), text);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'labwright-rotation-'));
  const made = folder;
  onTestFinished(() => rm(made, { recursive: true }));
});

interface ApiServer {
  readonly port: number;
  readonly server: Server;
  /** The one token that is accepted at the moment. */
  token: string;
  /** What was sent as credentials, call by call. */
  readonly sent: (string | undefined)[];
  /** Replaces its certificate, as a restart with another one does. */
  certificate(next: Certificate): void;
}

/** An API server over TLS that accepts one token, and lets nobody know anything else. */
async function startApiServer(first: Certificate, token = 'first'): Promise<ApiServer> {
  const sent: (string | undefined)[] = [];
  const answer: RequestListener = (request, response) => {
    sent.push(request.headers.authorization);
    const isGood = request.headers.authorization === `Bearer ${api.token}`;
    const body = isGood
      ? { metadata: { resourceVersion: '1', name: 'a', namespace: 'b' }, items: [] }
      : { kind: 'Status', code: 401, reason: 'Unauthorized', message: 'Unauthorized' };
    response.writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer(first, answer);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const api: ApiServer = {
    ...{ server, token, sent, port: (server.address() as AddressInfo).port },
    certificate(next) {
      server.setSecureContext(next);
      server.closeAllConnections();
    },
  };
  return api;
}

function clientOf(connection: KubeConnection): KubeClient {
  const client = new KubeClient({ connection });
  onTestFinished(() => client.close());
  return client;
}

function inPod({ port }: ApiServer): KubeClient {
  return clientOf(
    inClusterConnection({ KUBERNETES_SERVICE_HOST: 'localhost', KUBERNETES_SERVICE_PORT: String(port) }, folder),
  );
}

async function byKubeconfig({ port }: ApiServer, user: object, more: object = {}): Promise<KubeClient> {
  await write(
    'config',
    kubeconfig(`https://localhost:${String(port)}`, user, { 'certificate-authority': 'ca.crt', ...more }),
  );
  return clientOf(await kubeconfigConnection(join(folder, 'config')));
}

function kubeconfig(server: string, user: object, more: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    clusters: [{ name: 'here', cluster: { server, ...more } }],
    users: [{ name: 'me', user }],
    contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
  });
}

const plugin = (args: string) => ({
  apiVersion: 'client.authentication.k8s.io/v1',
  command: 'sh',
  args: ['-c', args],
  interactiveMode: 'Never',
});

/** Prints a credential that never expires, with the token that stands in a file. */
const printToken = () => `echo >> '${join(folder, 'asked')}'
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat '${join(folder, 'token')}')"`;

/** Each way of connecting, with where its token stands. */
const ways: Record<string, (api: ApiServer) => Promise<KubeClient>> = {
  'a service account': (api) => Promise.resolve(inPod(api)),
  'the tokenFile of a kubeconfig': (api) => byKubeconfig(api, { tokenFile: 'token' }),
  'the tokenFile beside a token': (api) => byKubeconfig(api, { tokenFile: join(folder, 'token'), token: 'old' }),
  'an exec plugin whose credential never expires': (api) => byKubeconfig(api, { exec: plugin(printToken()) }),
};

describe.each(Object.keys(ways))('the credentials of %s', (way) => {
  async function start() {
    const certificate = selfSigned('localhost');
    const api = await startApiServer(certificate);
    await write('token', 'first\n');
    await write('ca.crt', certificate.cert);
    return { api, client: await ways[way]!(api) };
  }

  it('are read again at once when they are refused, for calls of every kind', async () => {
    const { api, client } = await start();
    await client.list(Pods);
    api.token = 'second';
    await write('token', 'second\n');
    await client.create(ConfigMaps, { metadata: { namespace: 'b', name: 'a' } });
    await client.list(Pods);
    expect(api.sent).toEqual(['Bearer first', 'Bearer first', 'Bearer second', 'Bearer second']);
  });

  it('are read again for many calls at once, and none of them fails', async () => {
    const { api, client } = await start();
    await client.list(Pods);
    api.token = 'second';
    await write('token', 'second\n');
    await Promise.all(Array.from({ length: 20 }, () => client.list(Pods)));
  });

  it('are not asked for again and again when nothing helps', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { api, client } = await start();
    await client.list(Pods);
    api.token = 'unknown';
    for (let call = 0; call < 5; call += 1) expect(await errorOf(client.list(Pods))).toMatchObject({ status: 401 });
    expect(api.sent).toHaveLength(1 + 5 + 1);
    if (way.includes('plugin')) expect(await readFile(join(folder, 'asked'), 'utf8')).toBe('\n\n');
  });

  it('hold while authority and certificate of the server are replaced', async () => {
    const { api, client } = await start();
    await client.list(Pods);
    const next = selfSigned('localhost');
    await write('ca.crt', next.cert);
    api.certificate(next);
    await client.list(Pods);
    await client.create(ConfigMaps, { metadata: { namespace: 'b', name: 'a' } });
    expect(api.sent).toHaveLength(3);
  });

  it('are sent to nobody whose certificate is not of the authority', async () => {
    const { api, client } = await start();
    api.certificate(selfSigned('localhost'));
    expect(await errorOf(client.list(Pods))).toMatchObject({ status: 0, reason: 'NoAnswer' });
    expect(api.sent).toEqual([]);
  });
});

describe('a kubeconfig', () => {
  it('whose file is replaced is read again when its token is refused', async () => {
    const certificate = selfSigned('localhost');
    const api = await startApiServer(certificate);
    await write('ca.crt', certificate.cert);
    const client = await byKubeconfig(api, { token: 'first' });
    await client.list(Pods);
    api.token = 'second';
    const server = `https://localhost:${String(api.port)}`;
    await write('config', kubeconfig(server, { token: 'second' }, { 'certificate-authority': 'ca.crt' }));
    await client.list(Pods);
    expect(api.sent).toEqual(['Bearer first', 'Bearer first', 'Bearer second']);
  });

  it.each(['http://127.0.0.1:8001', 'http://localhost:8001', 'http://[::1]:8001', 'HTTP://127.1.2.3'])(
    'of kubectl proxy at %s is taken',
    async (server) => {
      await write('config', kubeconfig(server, {}, {}));
      const connection = await kubeconfigConnection(join(folder, 'config'));
      expect(await connection.headers()).toEqual({});
      await connection.close();
    },
  );

  it.each([
    'http://10.0.0.1',
    'http://127.0.0.1.example.org',
    'http://localhost.example.org:80',
    'http://',
    'http://[::2]',
  ])('that sends credentials in plain text to %s is refused with a sentence', async (server) => {
    await write('config', kubeconfig(server, { token: 'mine' }, {}));
    const error = await errorOf(kubeconfigConnection(join(folder, 'config')));
    expect(error).toMatchObject({ name: 'SetupError' });
    expect(String(error)).toContain('over plain HTTP, which is possible on this machine alone');
  });
});
