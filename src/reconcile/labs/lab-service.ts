import type {
  ChosenProfile,
  LabEvent,
  LabImage,
  LabKey,
  LabOptions,
  LabResources,
  LabSecrets,
  LabSource,
  LabSpec,
  LabState,
} from '../../domain/lab/lab.ts';
import type { Staleness } from '../health.ts';
import type { LabUser, Quota } from '../../domain/user/user.ts';

/** A lab to make: everything about it is validated and resolved. */
export interface CreateLab {
  readonly key: LabKey;
  readonly user: LabUser;
  readonly options: LabOptions;
  readonly image: LabImage;
  /** The repository that the image is built from, where it was asked for so. */
  readonly source?: LabSource;
  /** Names of the overlays of the configuration that are for this user. */
  readonly overlays?: readonly string[];
  /** The profile that was asked for, and what was chosen for its options. */
  readonly profile?: ChosenProfile;
  readonly resources: LabResources;
  /** Extended resources (`nvidia.com/gpu`) by name, as Kubernetes quantities. */
  readonly extendedResources: Readonly<Record<string, string>>;
  readonly quota: Quota | null;
  readonly secrets: LabSecrets;
  /** `JUPYTERHUB_SERVICE_PREFIX`, with a slash at both ends. */
  readonly servicePrefix: string;
}

/** Signs the tokens that labs get (`lab.token.source: signed`). */
export interface LabTokens {
  /** How long a token is valid, in milliseconds. */
  readonly lifetime: number;
  /**
   * Resolves when tokens can be signed.
   *
   * @throws {LabwrightError} `not_ready` (503) when that takes too long
   */
  ready(): Promise<void>;
  /**
   * @returns a token, and when it was made in milliseconds since the epoch
   * @throws {LabwrightError} `not_ready` (503)
   */
  mint(subject: LabKey & { readonly groups: readonly string[] }): Promise<{ token: string; issuedAt: number }>;
  /** Tokens made before cannot be verified any more; milliseconds since the epoch. Throws as `mint` does. */
  validSince(): number;
}

/** Whom the token of a lab is for. */
export function tokenSubject({ user, servername }: LabSpec): Parameters<LabTokens['mint']>[0] {
  return { username: user.username, servername, groups: user.groups.map(({ name }) => name) };
}

/**
 * What the rest of the program can ask of the labs. Reads answer from memory. Any replica may be asked: only one of them
 * reconciles, and it need not be this one.
 */
export interface LabService {
  /** There when what is known of labs may be old: the cluster cannot be followed at the moment. */
  readonly staleness: Staleness | undefined;
  /**
   * Resolves when the cluster has been read and, where a lab is named, what is known of that lab is at least as new as
   * whatever another replica has answered so far. That costs a call only for a lab that is not known, or is over.
   *
   * @throws {LabwrightError} `not_ready` (503, with retryAfter) when that takes too long
   */
  ready(key?: LabKey): Promise<void>;
  isReady(): boolean;
  /** Names of the users whose default server is running. */
  runningUsers(): string[];
  list(): LabState[];
  get(key: LabKey): LabState | undefined;
  /**
   * Resolves once the intent is durable; the lab then comes up without anybody asking again.
   *
   * @throws {LabwrightError} `lab_exists` or `operation_in_progress` (409), `not_ready` (503) while no token can be signed,
   * `insufficient_quota` (403), `overloaded` (503, with retryAfter)
   */
  create(request: CreateLab): Promise<void>;
  /**
   * Resolves when the lab can be created again.
   *
   * @param options.force takes the pod out of the API server's records without waiting for its machine: on a machine that is only
   * cut off it runs on, and may write to the volumes of the next lab
   * @throws {LabwrightError} `unknown_user` (404), `delete_failed` (500)
   */
  delete(key: LabKey, options?: { readonly force?: boolean }): Promise<void>;
  /**
   * The events of the lab's current or last operation from the start, or from after `lastEventId`, and then as they
   * come, until one is terminal or `signal` aborts.
   *
   * @returns undefined when nothing is known of this lab
   */
  events(key: LabKey, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<LabEvent> | undefined;
}
