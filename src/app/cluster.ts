import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';

/** A way to reach a cluster, and what ends with it. */
export interface Cluster {
  readonly connection: KubeConnection;
  /** Whether other replicas may be using it. */
  readonly isShared: boolean;
  readonly close: () => Promise<void>;
}

/** What the program runs with. */
export interface Runtime {
  readonly config: Config;
  readonly logger: Logger;
  readonly listen: { readonly host: string; readonly port: number };
  /** Printed once it listens. */
  readonly banner: string;
  readonly cluster: Cluster;
}
