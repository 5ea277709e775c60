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

/** The file that a configuration was read from, with what was in it. */
export interface ConfigSource {
  readonly path: string;
  readonly text: string;
  /** Milliseconds between two looks at it; tests shorten it. */
  readonly lookMs?: number;
}

/** What the program runs with. */
export interface Runtime {
  readonly config: Config;
  /** Read again while it runs; absent where the configuration is the program's own. */
  readonly source?: ConfigSource;
  readonly logger: Logger;
  readonly listen: { readonly host: string; readonly port: number };
  /** Printed once it listens. */
  readonly banner: string;
  readonly cluster: Cluster;
}
