import type { Logger } from 'pino';
import { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import type { BackendConfig, BuildsConfig } from '../../../../config/config.ts';
import type { KubeClient } from '../../../../storage/kubernetes/kube-client.ts';
import { BuildNamespace } from '../../build-namespace.ts';
import { KubernetesExecutor } from './kubernetes-executor.ts';
import { KubernetesWatches } from './kubernetes-watches.ts';

export interface OtherClusterOptions {
  readonly name: string;
  readonly capacity: number;
  /** Of that cluster. */
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** What this installation is called there. */
  readonly controller: string;
  /** Namespace of builds there. */
  readonly namespace: string;
  /** Instead of that of the builds. */
  readonly backend?: BackendConfig | undefined;
  readonly onChange: (id: string) => void;
  readonly onReady: () => void;
  readonly logger: Logger;
  readonly sweepMs?: number;
}

/** An executor in another cluster, with all that it takes there: watches, and the namespace of builds. */
export function otherCluster(options: OtherClusterOptions): KubernetesExecutor {
  const { client, config, controller, namespace, backend, logger, onChange } = options;
  const builder = new BuildPodBuilder(config, { controller, namespace, backend });
  return new KubernetesExecutor({
    ...options,
    builder,
    job: 'copy',
    watches: new KubernetesWatches({ client, controller, namespace, logger, onChange }),
    buildNamespace: new BuildNamespace({
      name: `build-namespace/${options.name}`,
      client,
      objects: () => builder.buildNamespaceObjects(),
      onProvisioned: options.onReady,
      logger,
    }),
  });
}
