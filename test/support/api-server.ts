import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerProcess, startServerProcess } from './api-server-process.ts';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';
import { canary } from './canary.ts';

export interface ApiServerOptions {
  /** Folder with the binaries; default: the environment variable KUBEBUILDER_ASSETS. */
  readonly assets?: string;
  /** What the controller manager runs: enough for namespaces, accounts, quotas, claims and Jobs, or nearly all as shipped. */
  readonly controllers?: 'test' | 'stock';
  /** More command-line arguments of kube-apiserver. */
  readonly apiServerArguments?: readonly string[];
  /** Milliseconds until it must answer; default 90,000. */
  readonly timeoutMs?: number;
}

/** What a client needs to reach the server; plain data, so that it can be handed to another process. */
export interface ApiServerAddress {
  /** `https://127.0.0.1:PORT` */
  readonly server: string;
  /** A bearer token of an administrator. */
  readonly token: string;
  /** The certificate it serves, PEM. */
  readonly ca: string;
  /** False: no controller manager was found, so that namespaces never finish terminating and quotas are not counted. */
  readonly controllers: boolean;
}

export interface ApiServer extends ApiServerAddress {
  /** Address of etcd's client port, to force a compaction. */
  readonly etcd: string;
  /** A kubeconfig file for it, for processes that take one. */
  readonly kubeconfig: string;
  /** Process ids of the servers' groups, for measuring. */
  readonly processes: readonly ServerProcess[];
  close(): Promise<void>;
}

const TEST_CONTROLLERS = [
  'namespace-controller',
  'serviceaccount-controller',
  'resourcequota-controller',
  'persistentvolumeclaim-protection-controller',
  'persistentvolume-protection-controller',
  'persistentvolume-binder-controller',
  'job-controller',
  'ttl-after-finished-controller',
  'garbage-collector-controller',
];
// Node lifecycle is left out because the test kubelet sends no heartbeats: it would declare the node lost.
const STOCK_CONTROLLERS = [
  '*',
  '-node-lifecycle-controller',
  '-node-ipam-controller',
  '-node-route-controller',
  '-cloud-node-lifecycle-controller',
];

/**
 * Says in one sentence why a real API server cannot be started from this folder, or undefined when it can.
 *
 * @param assets a folder in envtest's convention: `etcd` and `kube-apiserver`, and here also `kube-controller-manager`
 */
export function missingAssets(assets: string | undefined): string | undefined {
  if (assets === undefined || assets === '') {
    return 'KUBEBUILDER_ASSETS is not set: it must name a folder with etcd, kube-apiserver and kube-controller-manager.';
  }
  const missing = ['etcd', 'kube-apiserver'].filter((name) => !isExecutable(join(assets, name)));
  return missing.length === 0 ? undefined : `KUBEBUILDER_ASSETS names a folder without ${missing.join(' and ')}.`;
}

/**
 * Starts etcd, kube-apiserver and, when the folder has one, kube-controller-manager on free loopback ports.
 * They end with `close()` or with this process, however it ends.
 *
 * @throws Error with one sentence when a binary is missing, or with the server's last lines when it does not come up
 */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const assets = options.assets ?? process.env.KUBEBUILDER_ASSETS;
  const missing = missingAssets(assets);
  if (missing !== undefined || assets === undefined) throw new Error(missing);
  // A free port can be taken by another process between our asking and the server's binding.
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(assets, options);
    } catch (error) {
      if (attempt === 3 || !String(error).includes('address already in use')) throw error;
    }
  }
}

async function startOnce(assets: string, options: ApiServerOptions): Promise<ApiServer> {
  const folder = mkdtempSync(join(tmpdir(), 'labwright-api-server-'));
  const processes: ServerProcess[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(processes.map((each) => each.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const token = canary(randomBytes(16).toString('hex'));
    const [clientPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
    const etcd = `http://127.0.0.1:${clientPort}`;
    const server = `https://127.0.0.1:${port}`;
    writeIdentities(folder, token);
    processes.push(startServerProcess('etcd', join(assets, 'etcd'), etcdArguments(folder, etcd, peerPort), folder));
    processes.push(
      startServerProcess('kube-apiserver', join(assets, 'kube-apiserver'), [
        ...apiServerArguments(folder, etcd, port),
        ...(options.apiServerArguments ?? []),
      ]),
    );
    const certificate = join(folder, 'certificates', 'apiserver.crt');
    await waitFor('kube-apiserver', options.timeoutMs ?? 90_000, async () => {
      const dead = processes.find((each) => each.exited());
      if (dead !== undefined) throw new Error(`${dead.name} ended: ${dead.output()}`);
      if (!existsSync(certificate)) return undefined;
      return (await isReady(server, token, readFileSync(certificate, 'utf8'))) ? true : undefined;
    });
    const ca = readFileSync(certificate, 'utf8');
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigText(server, token, ca), { mode: 0o600 });
    const controllers = isExecutable(join(assets, 'kube-controller-manager'));
    if (controllers) processes.push(startControllerManager(assets, folder, kubeconfig, options.controllers ?? 'test'));
    return { server, token, ca, controllers, etcd, kubeconfig, processes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function etcdArguments(folder: string, client: string, peerPort: number): string[] {
  const peer = `http://127.0.0.1:${peerPort}`;
  return [
    ...['--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`],
  ];
}

function apiServerArguments(folder: string, etcd: string, port: number): string[] {
  const key = join(folder, 'service-accounts.key');
  return [
    ...['--etcd-servers', etcd, '--bind-address', '127.0.0.1', '--secure-port', String(port)],
    ...['--cert-dir', join(folder, 'certificates'), '--token-auth-file', join(folder, 'tokens.csv')],
    ...['--authorization-mode', 'Node,RBAC', '--allow-privileged', '--service-cluster-ip-range', '10.96.0.0/16'],
    ...['--service-account-issuer', 'https://kubernetes.default.svc.cluster.local'],
    ...['--service-account-key-file', key, '--service-account-signing-key-file', key],
  ];
}

function startControllerManager(
  assets: string,
  folder: string,
  kubeconfig: string,
  controllers: 'test' | 'stock',
): ServerProcess {
  const stock = [
    ...['--use-service-account-credentials', '--root-ca-file', join(folder, 'certificates', 'apiserver.crt')],
    ...['--service-account-private-key-file', join(folder, 'service-accounts.key')],
  ];
  return startServerProcess('kube-controller-manager', join(assets, 'kube-controller-manager'), [
    ...['--kubeconfig', kubeconfig, '--leader-elect=false', '--secure-port', '0'],
    ...['--controllers', (controllers === 'stock' ? STOCK_CONTROLLERS : TEST_CONTROLLERS).join(',')],
    ...(controllers === 'stock' ? stock : []),
  ]);
}

function writeIdentities(folder: string, token: string): void {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(join(folder, 'service-accounts.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }), {
    mode: 0o600,
  });
  writeFileSync(join(folder, 'tokens.csv'), `${token},administrator,administrator,"system:masters"\n`, { mode: 0o600 });
}

/** A kubeconfig with one cluster and one user. JSON is YAML, and needs no writer. */
export function kubeconfigText(server: string, token: string, ca?: string): string {
  const authority =
    // client-node takes plain HTTP, which a proxy on loopback speaks, only from those who waive TLS.
    ca === undefined
      ? { 'insecure-skip-tls-verify': true }
      : { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'cluster', cluster: { server, ...authority } }],
    users: [{ name: 'user', user: { token } }],
    contexts: [{ name: 'context', context: { cluster: 'cluster', user: 'user' } }],
    'current-context': 'context',
  });
}

function isReady(server: string, token: string, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request(
      `${server}/readyz`,
      { ca, headers: { authorization: `Bearer ${token}` }, agent: false, timeout: 5_000 },
      (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      },
    );
    call.on('timeout', () => call.destroy());
    call.on('error', () => resolve(false));
    call.end();
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
