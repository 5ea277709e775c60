import type { Logger } from 'pino';
import type { IdentityProvider } from '../auth/identity.ts';
import type { UserDirectory } from '../auth/user-directory.ts';
import type { Config } from '../config/index.ts';
import type { LabService } from '../reconcile/lab-service.ts';

/** All that the HTTP side needs from the rest of the program. Tests pass values of their own. */
export interface AppDeps {
  readonly labs: LabService;
  readonly config: Config;
  /** Tried in this order. */
  readonly identity: readonly IdentityProvider[];
  /** What is known of the users. */
  readonly users: UserDirectory;
  readonly logger: Logger;
  /** Aborts when the program begins to stop: open event streams end and the readiness probe fails. */
  readonly stopping: AbortSignal;
  /** Version of the program, for the index and the OpenAPI document. */
  readonly version: string;
  /** How often a quiet event stream says that it is alive, in milliseconds; 15 s when absent. */
  readonly keepAliveMs?: number;
}
