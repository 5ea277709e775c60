import { randomBytes } from 'node:crypto';
import { pino, type Logger } from 'pino';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { type KubeConnection, tokenConnection } from '../src/storage/kubernetes/connection.ts';
import { Controllers } from './controllers/index.ts';
import { type Kubelet, type KubeletOptions, startKubelet } from './kubelet/index.ts';
import type { Delays } from './kubelet/delays.ts';
import type { Fault } from './faults.ts';
import { claimLoopbackRange, unclaimed } from './loopback.ts';
import { type SandboxRequest, SandboxApiServer } from './server.ts';
import { ServiceAddresses } from './service-addresses.ts';
import type { LocalLabs } from './processes/local-labs.ts';
import { ProcessContainers } from './processes/process-containers.ts';
import { Store } from './store.ts';
import { namespaces } from './kinds/namespaces.ts';

export { parseFaults, type Fault } from './faults.ts';
export { startGitHost } from './git-host.ts';
export { DELAYS, type Delays } from './kubelet/delays.ts';
export type { BuildScript } from './kubelet/build-script.ts';
export { type Kubelet, type KubeletOptions, startKubelet } from './kubelet/index.ts';
export { LocalLabs, LocalLabsError } from './processes/local-labs.ts';
export { ImageNodes, type ImageNodesOptions, type NodeOptions, PullProblem } from './nodes/index.ts';
export { startRegistry } from './registry/index.ts';
export type { SandboxRequest } from './server.ts';

export interface SandboxOptions {
  /** Where the API server listens; loopback unless told. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port?: number;
  /** Bearer token of the administrator; random unless told, and none is asked for when it is empty. */
  readonly token?: string;
  /** False: no kubelet, pods stay pending until a test starts one of its own. */
  readonly kubelet?: boolean;
  /** How long pods take; nothing at all unless told. */
  readonly delays?: Delays;
  readonly faults?: readonly Fault[];
  /** Running pods answer HTTP on a loopback address of their own. */
  readonly serve?: boolean;
  /** Pods are processes of this machine, and this is where they live. It is closed with the sandbox. */
  readonly localLabs?: LocalLabs;
  readonly logger?: Logger;
  /** Changes kept per kind for watches and lists to go on from. */
  readonly watchHistory?: number;
  readonly bookmarkIntervalMs?: number;
  /** Called for each request of anyone but the sandbox's own kubelet. */
  readonly onRequest?: (request: SandboxRequest) => void;
}

export interface Sandbox {
  /** Address of the API server, `http://127.0.0.1:PORT`. */
  readonly server: string;
  readonly token: string;
  /** The kubelet, unless it was not wanted. */
  readonly kubelet: Kubelet | undefined;
  /** A new connection for a client; it is closed by whoever asked for it. */
  connection(): KubeConnection;
  /** Forgets the history, as a compaction of etcd does: watches from any older version get 410. */
  compact(): void;
  /** Ends every open watch. */
  endWatches(): void;
  close(): Promise<void>;
}

const WATCH_HISTORY = 10_000;
/** The addresses of Services where nothing listens on them. */
const SERVICES = '127.63';
const BOOKMARK_INTERVAL_MS = 60_000;
/** Namespaces that are there from the start; the last one is the controller's own. */
const NAMESPACES = ['default', 'kube-system', 'labwright'];

/** Starts an in-process Kubernetes: API server, the controllers it needs, and a simulated scheduler and kubelet. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', logger = pino({ level: 'silent' }), token = randomToken() } = options;
  const range = options.serve === true ? await claimLoopbackRange(SERVICES) : unclaimed(SERVICES);
  const store = new Store(options.watchHistory ?? WATCH_HISTORY);
  const kubeletToken = randomToken();
  const server = new SandboxApiServer({
    store,
    addresses: new ServiceAddresses(range.prefix),
    tokens: new Map([
      [token, 'admin'],
      [kubeletToken, KUBELET],
    ]),
    bookmarkIntervalMs: options.bookmarkIntervalMs ?? BOOKMARK_INTERVAL_MS,
    logger,
    onRequest: (request) => {
      if (request.user !== KUBELET) options.onRequest?.(request);
    },
  });
  const controllers = new Controllers(store, server.api);
  let kubelet: Kubelet | undefined;
  let client: KubeClient | undefined;
  const close = async () => {
    await kubelet?.close();
    await options.localLabs?.close();
    await client?.close();
    controllers.close();
    await server.close();
    await range.release();
  };
  try {
    for (const name of NAMESPACES) server.api.create(namespaces, '', { metadata: { name } }, { dryRun: false });
    const url = await server.listen(host, options.port ?? 0);
    client = kubeletClient(url, kubeletToken);
    if (options.kubelet !== false) kubelet = await startKubelet(kubeletOptions(options, client, logger));
    return {
      server: url,
      token,
      kubelet,
      connection: () => tokenConnection({ server: url, token }),
      compact: () => store.compact(),
      endWatches: () => server.endWatches(),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const KUBELET = 'kubelet';

function randomToken(): string {
  return randomBytes(16).toString('hex');
}

/** The limits of a client protect real API servers; here they would only slow things down. */
function kubeletClient(server: string, token: string): KubeClient {
  return new KubeClient({ connection: tokenConnection({ server, token }), requestsPerSecond: 1e6, burst: 1e6 });
}

function kubeletOptions(options: SandboxOptions, client: KubeClient, logger: Logger): KubeletOptions {
  const { delays, faults, serve, localLabs } = options;
  return {
    client,
    logger,
    ...(localLabs === undefined ? {} : { containers: new ProcessContainers(client, localLabs) }),
    ...(delays === undefined ? {} : { delays }),
    ...(faults === undefined ? {} : { faults }),
    ...(serve === undefined ? {} : { serve }),
  };
}
