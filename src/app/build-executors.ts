import type { ExecutorConfig } from '../config/index.ts';
import { AwayExecutor } from '../reconcile/builds/executors/away-executor.ts';
import { DockerExecutor } from '../reconcile/builds/executors/docker/docker-executor.ts';
import type { BuildExecutor } from '../reconcile/builds/executors/executor.ts';
import { KubernetesExecutor } from '../reconcile/builds/executors/kubernetes/kubernetes-executor.ts';
import { otherCluster } from '../reconcile/builds/executors/kubernetes/other-cluster.ts';
import { readInstallation } from '../storage/kubernetes/checks/installation.ts';
import { type KubeConnection, kubeconfigConnection } from '../storage/kubernetes/connection.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import type { BuildStageOptions, ExecutorSetup } from './builds.ts';

/** The connections to other clusters, by name of executor. @throws {SetupError} */
export async function connectAll(executors: readonly ExecutorConfig[]): Promise<Map<string, KubeConnection>> {
  const connections = new Map<string, KubeConnection>();
  for (const executor of executors) {
    if (executor.kind !== 'kubernetes') continue;
    connections.set(executor.name, await kubeconfigConnection(executor.kubeconfig, executor.context));
  }
  return connections;
}

export interface ExecutorMaking extends BuildStageOptions {
  readonly namespace: string;
  readonly setup: ExecutorSetup;
  readonly connections: ReadonlyMap<string, KubeConnection>;
}

export function makeExecutor(executor: ExecutorConfig, making: ExecutorMaking): BuildExecutor {
  const { config, client, controller, logger, setup, connections } = making;
  const { cache, builder, onChange, onReady } = setup;
  const installation = (signal: AbortSignal) => readInstallation(client, controller, making.namespace, signal);
  const { name, capacity = Infinity } = executor;
  switch (executor.kind) {
    case 'cluster':
      return new KubernetesExecutor({
        ...{ name, capacity, client, controller, namespace: making.namespace, watches: cache, builder },
        job: config.queue.kueue === undefined ? 'intent' : 'kueue',
      });
    case 'kubernetes': {
      const connection = connections.get(name);
      if (connection === undefined) throw new TypeError(`there is no connection for the executor ${name}`);
      const place = { name, capacity, client: new KubeClient({ connection }), config, logger, onChange, onReady };
      const { namespace, backend } = executor;
      return new AwayExecutor({
        ...{ name, capacity, installation, logger },
        make: (owner) => otherCluster({ ...place, controller: owner, namespace, backend }),
      });
    }
    case 'docker': {
      const { address, tls, backend } = executor;
      const place = { name, capacity, address, tls, backend, config, onChange, onReady, logger };
      return new AwayExecutor({
        ...{ name, capacity, installation, logger },
        make: (owner) => new DockerExecutor({ ...place, controller: owner }),
      });
    }
  }
}
