import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';

/** A way to reach a cluster, and what ends with it. */
export interface Cluster {
  readonly connection: KubeConnection;
  readonly close: () => Promise<void>;
}

/** What the program runs with. */
export interface Setup {
  readonly config: Config;
  readonly logger: Logger;
  readonly listen: { readonly host: string; readonly port: number };
  /** Printed once it listens. */
  readonly greeting: string;
  readonly cluster: Cluster;
}
