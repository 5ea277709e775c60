import type { Health, Staleness } from '../health.ts';
import type { BuildEvent, BuildState, Repository, ResolvedRepository } from '../../domain/build/build.ts';

/** Somebody wants the image of a repository. */
export interface BuildRequest {
  readonly repository: Repository;
  /** Branch, tag or commit; `HEAD` when it was not said. */
  readonly ref: string;
  /** Directory inside the repository, without slashes at its ends; `""` is the whole. */
  readonly path: string;
  /** For whom; limits count for them. */
  readonly username: string;
  /** Go on even if nobody waits any more. */
  readonly detached: boolean;
}

/** A build that was asked for. */
export type RequestedState = BuildState & {
  /** It is this request that has begun it. */
  readonly began: boolean;
  /** The repository as this request has named it, where who asked first may have named it in another way. */
  readonly asked?: ResolvedRepository;
};

/** Which builds to list; what is absent matches everything. */
export interface BuildFilter {
  readonly username?: string | undefined;
  /** Canonical URL of the repository. */
  readonly repository?: string | undefined;
  readonly phase?: string | undefined;
}

/** What the rest of the program can ask of the builds. Reads are answered from this replica's caches. */
export interface BuildService {
  /**
   * Resolves when the builds of the cluster are known.
   *
   * @throws {LabwrightError} `not_ready` (503, with retryAfter) when that takes too long
   */
  ready(): Promise<void>;
  isReady(): boolean;
  health(): Health;
  /** There when the cluster cannot be followed: what is answered is as old as this says. */
  readonly staleness: Staleness | undefined;
  /** Executors that cannot start builds at the moment, and why, one sentence each. */
  outages(): readonly { readonly executor: string; readonly message: string }[];
  /**
   * Resolves the ref, and finds the image in the registry, joins the build that makes it, or begins one. When the answer
   * is here, whatever is needed to go on is durable.
   *
   * @throws {LabwrightError} `invalid_repository` (422), `repository_not_allowed` (403), `unknown_repository` (404),
   * `build_limit` (429, with retryAfter), `repository_unavailable` and `registry_unavailable` (503), `not_ready` (503)
   */
  request(request: BuildRequest, signal?: AbortSignal): Promise<RequestedState>;
  /** Newest first. */
  list(filter?: BuildFilter): BuildState[];
  /** As this replica's caches have it. */
  get(id: string): BuildState | undefined;
  /**
   * As `get`, and asks the cluster and the archive where the caches may be behind: another replica may have been asked for the
   * build a moment ago. After that `get` and `events` know it too.
   *
   * @throws {LabwrightError} `not_ready` (503, with retryAfter) when the cluster cannot be asked
   */
  find(id: string, signal?: AbortSignal): Promise<BuildState | undefined>;
  /**
   * Resolves once it is durable that the build is to end; it then does. A build that is over stays as it is.
   *
   * @param by name of whoever wants it
   * @throws {LabwrightError} `unknown_build` (404)
   */
  cancel(id: string, by: string): Promise<void>;
  /**
   * The events of a build from the start, or from after `lastEventId`, and then as they come, until the terminal one or
   * until `signal` aborts. Whoever reads is somebody who waits for the build.
   *
   * @returns undefined when nothing is known of this build
   */
  events(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<BuildEvent> | undefined;
  /**
   * The log as text, a line each, as far as it is there; it does not wait for more.
   *
   * @returns undefined when nothing is known of this build
   */
  log(id: string, signal: AbortSignal): Promise<AsyncIterable<string> | undefined>;
}
