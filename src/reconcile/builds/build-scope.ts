import type { Logger } from 'pino';
import type { BuildsConfig } from '../../config/config.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';

/** The builds of one installation in one cluster: what everything that works on them is given. */
export interface BuildScope {
  /** Of the cluster. */
  readonly client: KubeClient;
  /** What our objects there are labelled with: the controller's namespace, or the installation's name in another cluster. */
  readonly controller: string;
  /** Namespace of builds there. */
  readonly namespace: string;
  readonly config: BuildsConfig;
  readonly logger: Logger;
}
