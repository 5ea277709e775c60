import type { Logger } from 'pino';
import type { BuildsConfig, ExecutorConfig } from '../config/index.ts';
import { DockerExecutor } from '../reconcile/builds/executors/docker/docker-executor.ts';
import type { BuildExecutor } from '../reconcile/builds/executors/executor.ts';
import type { Installation } from '../reconcile/builds/executors/installation.ts';
import { KueueExecutor, LocalExecutor } from '../reconcile/builds/executors/kubernetes/local-executor.ts';
import { RemoteClusterExecutor } from '../reconcile/builds/executors/kubernetes/remote-cluster-executor.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { kubeconfigConnection } from '../storage/kubernetes/kubeconfig.ts';
import { lateConnection } from '../storage/kubernetes/late-connection.ts';
import type { ExecutorSetup } from './build-parts.ts';

/** The connections to other clusters, by name of executor. Credentials that are missing make that executor unavailable. */
export function connectAll(executors: readonly ExecutorConfig[]): Map<string, KubeConnection> {
  const connections = new Map<string, KubeConnection>();
  for (const executor of executors) {
    if (executor.kind !== 'kubernetes') continue;
    const { name, kubeconfig, context } = executor;
    connections.set(
      name,
      lateConnection(`the kubeconfig ${kubeconfig}`, () => kubeconfigConnection(kubeconfig, context)),
    );
  }
  return connections;
}

export interface ExecutorMaking {
  readonly config: BuildsConfig;
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly logger: Logger;
  readonly setup: ExecutorSetup;
  readonly connections: ReadonlyMap<string, KubeConnection>;
  readonly installation: Installation;
}

export function makeExecutor(executor: ExecutorConfig, making: ExecutorMaking): BuildExecutor {
  const { config, client, controller, namespace, logger, setup, connections, installation } = making;
  const { cache, builder, onChange, onReady } = setup;
  const { name, capacity = Infinity } = executor;
  switch (executor.kind) {
    case 'cluster': {
      const Executor = config.queue.kueue === undefined ? LocalExecutor : KueueExecutor;
      return new Executor({ name, capacity, scope: { client, controller, namespace, logger }, cache, builder });
    }
    case 'kubernetes': {
      const connection = connections.get(name);
      if (connection === undefined) throw new TypeError(`there is no connection for the executor ${name}`);
      const scope = { client: new KubeClient({ connection }), namespace: executor.namespace, config, logger };
      const { backend } = executor;
      return new RemoteClusterExecutor({ name, capacity, scope, installation, backend, onChange, onReady });
    }
    case 'docker': {
      const { address, tls, backend } = executor;
      const place = { name, capacity, address, tls, backend, config, installation };
      return new DockerExecutor({ ...place, onChange, onReady, logger });
    }
  }
}
