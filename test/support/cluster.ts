import { randomBytes } from 'node:crypto';
import type { KubernetesObject } from '@kubernetes/client-node';
import { inject } from 'vitest';
import {
  type Kubelet,
  type KubeletOptions,
  type SandboxOptions,
  startKubelet,
  startSandbox,
} from '../../sandbox/index.ts';
import { type KubeConnection, tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import * as resources from '../../src/storage/kubernetes/resources.ts';
import type { ApiServerAddress } from './api-server.ts';
import { canary, watchObject } from './canary.ts';
import type { RequestLog } from './cluster-requests.ts';
import { FaultProxy, type OnCall } from './fault-proxy.ts';

const LAST_CALLS_MS = 2_000;
const KINDS: readonly resources.Resource<KubernetesObject>[] = Object.values(resources).filter(
  (exported) => typeof exported === 'object',
);

/** What the test kubelet takes: its delays and faults. */
export type TestKubeletOptions = Omit<KubeletOptions, 'client'>;

export interface ClusterOptions {
  /** Faults for everything that goes through `connection()` and `server`. */
  readonly onCall?: OnCall;
  /** For the sandbox only. It starts without a kubelet of its own; `startKubelet` adds one on either kind. */
  readonly sandbox?: SandboxOptions;
}

/** A Kubernetes API for one test file: the sandbox, or the real API server that the whole run shares. */
export interface TestCluster {
  readonly kind: 'sandbox' | 'apiserver';
  /** Whether namespaces terminate and quotas are counted; see `itNeedsControllers`. */
  readonly controllers: boolean;
  /** Address of the counting proxy in front of the API server, plain HTTP: for whatever is under test. */
  readonly server: string;
  readonly token: string;
  /** The API server itself, for a client that must not be counted. */
  readonly direct: { readonly server: string; readonly token: string; readonly ca?: string };
  /** For the test's own looking and meddling: not counted, no faults. */
  readonly client: KubeClient;
  /** Everything that came through `server`. */
  readonly requests: RequestLog;
  readonly proxy: FaultProxy;
  /** A new connection through the proxy; closed with the cluster. */
  connection(): KubeConnection;
  /** A name nobody else uses in this run: the real API server is shared by all test files. */
  uniqueName(prefix: string): string;
  /** Pods begin to run. Several test files share the real API server: give it a namespace prefix that is yours. */
  startKubelet(options?: TestKubeletOptions): Promise<Kubelet>;
  close(): Promise<void>;
}

/**
 * Starts the sandbox, or joins the real API server when the run is `npm run test:apiserver`.
 * The same test file runs on both.
 */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const real = process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver';
  const { direct, controllers, stop } = real ? joinApiServer() : await launchSandbox(options.sandbox);
  const proxy = await FaultProxy.start({
    ...direct,
    ...(options.onCall === undefined ? {} : { onCall: options.onCall }),
  });
  const connections = [tokenConnection(direct)];
  const client = new KubeClient({ connection: connections[0]! });
  const kubelets = new Map<Kubelet, string>();
  return {
    kind: real ? 'apiserver' : 'sandbox',
    controllers,
    server: proxy.server,
    token: direct.token,
    direct,
    client,
    requests: proxy.requests,
    proxy,
    connection() {
      const connection = tokenConnection({ server: proxy.server, token: direct.token });
      connections.push(connection);
      return connection;
    },
    uniqueName: (prefix) => `${prefix}-${randomBytes(4).toString('hex')}`,
    async startKubelet(kubeletOptions) {
      // An API server fetches logs from the node that a pod is on: kubelets at the same time are nodes of their own.
      const node = !real && kubelets.size === 0 ? 'sandbox-node' : `sandbox-node-${randomBytes(4).toString('hex')}`;
      const kubelet = await startKubelet({ node, ...kubeletOptions, client });
      kubelets.set(kubelet, node);
      return kubelet;
    },
    async close() {
      await Promise.all([...kubelets.keys()].map((kubelet) => kubelet.close()));
      if (real) await Promise.all([...kubelets.values()].map((name) => client.delete(resources.Nodes, { name })));
      await watchEverything(client);
      await proxy.close();
      await Promise.all(connections.map(finish));
      await stop();
    },
  };
}

/** Nothing planted may be left in the cluster but in the data of Secrets. */
async function watchEverything(client: KubeClient): Promise<void> {
  await Promise.all(
    KINDS.map(async (resource) => {
      const { items } = await client.list(resource);
      // Entries of a list do not say what they are.
      for (const item of items) watchObject({ ...item, kind: resource.kind }, `${resource.kind} in the cluster`);
    }),
  );
}

/** Lets calls in flight end by themselves, as a kubelet's last events; what stays open then was left by a test. */
async function finish({ dispatcher }: KubeConnection): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const impatience = new Promise<void>((resolve) => (timer = setTimeout(resolve, LAST_CALLS_MS)));
  const closed = dispatcher.close().then(
    () => true,
    () => true,
  );
  const isClosed = await Promise.race([closed, impatience]);
  clearTimeout(timer);
  // It has to be ended by force: a graceful close never settles then.
  if (isClosed !== true) await dispatcher.destroy();
}

interface Backend {
  readonly direct: TestCluster['direct'];
  readonly controllers: boolean;
  readonly stop: () => Promise<void>;
}

async function launchSandbox(options: SandboxOptions = {}): Promise<Backend> {
  const sandbox = await startSandbox({ kubelet: false, token: canary(randomBytes(16).toString('hex')), ...options });
  return {
    direct: { server: sandbox.server, token: sandbox.token },
    controllers: true,
    stop: () => sandbox.close(),
  };
}

function joinApiServer(): Backend {
  const address: ApiServerAddress | undefined = inject('apiServer');
  if (address === undefined) {
    throw new Error('No API server was started for this run: use `npm run test:apiserver`.');
  }
  const { server, token, ca, controllers } = address;
  return { direct: { server, token, ca }, controllers, stop: () => Promise.resolve() };
}
