import type { Logger } from 'pino';
import type { Identification } from '../../auth/identification.ts';
import type { SigningKeys } from '../../auth/keys/loaded-keys.ts';
import type { CallLimits } from './context.ts';
import type { Config } from '../../config/index.ts';
import type { BuildService } from '../../reconcile/builds/build-service.ts';
import type { PrepullView } from '../../domain/image/prepull/view.ts';
import type { Health } from '../../reconcile/health.ts';
import type { ImageService } from '../../reconcile/images/image-service.ts';
import type { LabService } from '../../reconcile/labs/lab-service.ts';

/** With the images in any case. */
export type WithImages = AppDeps & { readonly images: ImageService };

/** All that the HTTP side needs from the rest of the program. Tests pass values of their own. */
export interface AppDeps {
  readonly labs: LabService;
  /** What labs can be started from; by the configuration alone when absent. */
  readonly images?: ImageService | undefined;
  /** Absent where no builds are configured: their routes then say so. */
  readonly builds?: BuildService | undefined;
  /** Which images are pulled ahead, and where they are; absent where none are. */
  readonly prepull?: PrepullView | undefined;
  /** How each part of the program is; absent where nobody says so. */
  readonly health?: (() => readonly Health[]) | undefined;
  readonly config: Config;
  /** Who calls, who the users are, and how people log in. */
  readonly identification: Pick<Identification, 'providers' | 'users' | 'people'>;
  /** What is counted of callers, where that is to outlive this app; an account of its own when absent. */
  readonly callLimits?: CallLimits | undefined;
  /** What the tokens of labs are signed with; undefined where none are. */
  readonly signing?: SigningKeys | undefined;
  readonly logger: Logger;
  /** Aborts when the program begins to stop: open event streams end and the readiness probe fails. */
  readonly stopping: AbortSignal;
  /** Version of the program, for the index and the OpenAPI document. */
  readonly version: string;
  /** How often a quiet event stream says that it is alive, in milliseconds; 15 s when absent. */
  readonly keepAliveMs?: number;
}
