import { builderDigest, imageOf } from '../../builder/build/build-image.ts';
import { isUnderWay, type ObservedBuild, parseBuild, interestPatch } from '../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../builder/build/build-pod-builder.ts';
import { BuildProblem, type BuildSpec, type Repository, type ResolvedRepository } from '../../domain/build/build.ts';
import { identifyBuild } from '../../domain/build/build-identity.ts';
import { isKubeError, isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { conflict, Predecessors } from './predecessors.ts';
import { refusalOf } from '../labs/objects/refusal.ts';
import type { BuildScope } from './build-scope.ts';
import type { BuildRequest } from './build-service.ts';
import type { NamespaceSetup } from '../namespace-setup.ts';
import type { BuildCache } from './executors/kubernetes/build-cache.ts';
import type { QueueOrder } from './queue/queue-order.ts';
import { RequestBounds } from './queue/request-bounds.ts';
import type { SlotStore } from './queue/slot-store.ts';

/** What is asked of Git hosts and of the registry. */
export interface BuildQuestions {
  /** @param requester user for whom it is asked, unless it is somebody who asks for many. @throws BuildProblem */
  readonly resolve: (
    repository: Repository,
    ref: string,
    signal?: AbortSignal,
    requester?: string,
  ) => Promise<ResolvedRepository>;
  /** Says whether a commit that was asked for by its hash is there, as far as that can be known now. @throws BuildProblem */
  readonly checkCommit: (repository: ResolvedRepository, signal?: AbortSignal, requester?: string) => Promise<void>;
  /** Digest of the image in the registry, or null. @throws BuildProblem */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
}

export interface BuildRequestsOptions extends Pick<BuildScope, 'client' | 'config' | 'namespace'>, BuildQuestions {
  readonly cache: BuildCache;
  readonly slotStore: SlotStore;
  readonly order: QueueOrder;
  readonly builder: BuildPodBuilder;
  /** Told when the namespace of builds is found missing. */
  readonly buildNamespace: Pick<NamespaceSetup, 'applyAgain'>;
  /** The node to prefer for a repository, where builds of one repository should meet. */
  readonly nodeFor: (repository: string) => string | undefined;
  readonly clock?: Clock;
}

type FoundBuild =
  | { readonly found: 'image'; readonly spec: BuildSpec; readonly digest: string }
  | { readonly found: 'build' | 'nothing'; readonly build: ObservedBuild };

/** What a request has come to; the repository as this request has named it. */
export type RequestedBuild = FoundBuild & { readonly repository: ResolvedRepository };

/** A request has a moment until somebody reads the events of its build. */
const LEAST_WANTED_MS = 30_000;
/** How long a request waits for the clean-up of an earlier build of the same image. */
const PREDECESSOR_MS = 30_000;
const ATTEMPTS = 10;
/** Skip the renewal while less than this share of the lease has passed. */
const LEASE_SLACK = 0.1;

/**
 * From a repository and a ref to a build, or to an image that is there already.
 *
 * The name of the Job follows from the key of the build, so that of any number of requests, to one controller or several, one
 * makes it and the others find it. What is found is compared by its whole key, and joined only while it is under way.
 */
export class BuildRequests {
  readonly #options: BuildRequestsOptions;
  readonly #underway = new Map<string, Promise<FoundBuild>>();
  /** Builds that somebody is noted to wait for at this moment, by uid of their Job. */
  readonly #joining = new Map<string, Promise<ObservedBuild>>();
  readonly #builderDigest: string;
  readonly #clock: Clock;
  readonly #bounds: RequestBounds;
  readonly #predecessors: Predecessors;

  constructor(options: BuildRequestsOptions) {
    this.#options = options;
    this.#builderDigest = builderDigest(options.config);
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#bounds = new RequestBounds(options);
    this.#predecessors = new Predecessors(options);
  }

  /** @throws BuildProblem */
  async request(request: BuildRequest, signal?: AbortSignal): Promise<RequestedBuild> {
    const { resolve } = this.#options;
    const { username } = request;
    const requester = askerOf(username);
    const done = this.#bounds.enter(requester);
    try {
      const repository = await resolve(request.repository, request.ref, signal, requester);
      return { ...(await this.#requestResolved(request, repository, signal)), repository };
    } finally {
      done();
    }
  }

  async #requestResolved(
    request: BuildRequest,
    repository: ResolvedRepository,
    signal?: AbortSignal,
  ): Promise<FoundBuild> {
    const { config } = this.#options;
    const identity = identifyBuild(repository, request.path, this.#builderDigest);
    const spec: BuildSpec = {
      ...identity,
      repository,
      path: request.path,
      image: imageOf(config, { repository, path: request.path, key: identity.key }),
      requestedBy: request.username,
      detached: request.detached,
      createdAt: this.#clock.now(),
    };
    // Of requests at the same moment one goes ahead; the others then find what it has found or begun.
    const first = await this.#underway.get(spec.id)?.catch(() => undefined);
    if (first?.found === 'image') return first;
    const mine = this.#findOrBegin(spec, signal);
    this.#underway.set(spec.id, mine);
    try {
      return await mine;
    } finally {
      if (this.#underway.get(spec.id) === mine) this.#underway.delete(spec.id);
    }
  }

  async #findOrBegin(spec: BuildSpec, signal?: AbortSignal): Promise<FoundBuild> {
    const known = this.#options.cache.job(spec.id);
    if (known !== undefined && isUnderWay(known)) return this.#join(known, spec);
    const digest = await this.#options.findDigest(spec.image, signal);
    if (digest !== null) return { found: 'image', spec, digest };
    await this.#options.checkCommit(spec.repository, signal, askerOf(spec.requestedBy));
    const giveBack = this.#bounds.reserve(spec);
    try {
      return await this.#begin(spec, signal);
    } finally {
      giveBack();
    }
  }

  async #join(build: ObservedBuild, spec: BuildSpec): Promise<FoundBuild> {
    if (build.spec.key !== spec.key) throw conflict();
    const until = this.#interestExpiresAt(spec);
    // However many join, it is written now and then, and once for all who come meanwhile.
    const isEnough = ({ interestExpiresAt }: ObservedBuild) =>
      interestExpiresAt >= until - (until - this.#clock.now()) * LEASE_SLACK;
    const known = isEnough(build) ? build : ((await this.#joining.get(build.uid)?.catch(() => build)) ?? build);
    if (isEnough(known)) return { found: 'build', build: known };
    const joining = this.#renew(build, until);
    this.#joining.set(build.uid, joining);
    try {
      return { found: 'build', build: await joining };
    } finally {
      if (this.#joining.get(build.uid) === joining) this.#joining.delete(build.uid);
    }
  }

  async #renew(build: ObservedBuild, until: number): Promise<ObservedBuild> {
    const { client, namespace, cache } = this.#options;
    try {
      const patched = await client.patch(Jobs, { namespace, name: build.name }, interestPatch(build, until));
      cache.observeJob(patched);
      return parseBuild(patched) ?? build;
    } catch (error) {
      if (!isOutdated(error)) throw error;
      return build;
    }
  }

  async #begin(spec: BuildSpec, signal?: AbortSignal): Promise<FoundBuild> {
    const { client, cache, builder, nodeFor } = this.#options;
    const endsAt = this.#clock.monotonic() + PREDECESSOR_MS;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const node = nodeFor(spec.repository.url);
      const job = builder.buildJob(spec, { suspend: true, interestExpiresAt: this.#interestExpiresAt(spec), node });
      try {
        const created = await client.create(Jobs, job, { ...(signal === undefined ? {} : { signal }) });
        cache.observeJob(created);
        const build = parseBuild(created);
        if (build === undefined) throw new TypeError('a Job just made cannot be read');
        return { found: 'nothing', build };
      } catch (error) {
        if (isKubeError(error, 404)) throw this.#namespaceMissing(error);
        if (!isKubeError(error, 409)) throw asProblem(error);
      }
      const build = await this.#predecessors.wait(spec, endsAt - this.#clock.monotonic(), signal);
      if (build !== undefined) return this.#join(build, spec);
    }
    throw new BuildProblem(
      { reason: 'NameTaken', message: 'The same build is being started concurrently; try again.' },
      { transient: true },
    );
  }

  /** Somebody has removed the namespace of builds: it is made again, and who asks again then gets a build. */
  #namespaceMissing(cause: unknown): BuildProblem {
    this.#options.buildNamespace.applyAgain();
    const message = 'The build namespace is missing and is being recreated; try again shortly.';
    return new BuildProblem({ reason: 'NotReady', message }, { transient: true, cause });
  }

  #interestExpiresAt({ detached }: Pick<BuildSpec, 'detached'>): number {
    const { abandonAfter, deadlines } = this.#options.config;
    const ms = detached ? deadlines.queued + deadlines.total : Math.max(abandonAfter, LEAST_WANTED_MS);
    return this.#clock.now() + ms;
  }
}

/** A slash is in the name of no user: it is a hub, which asks for many. */
function askerOf(username: string): string | undefined {
  return username.includes('/') ? undefined : username;
}

function asProblem(error: unknown): unknown {
  const refused = refusalOf(error, 'build');
  if (refused === undefined) return error;
  const { reason } = refused.finding;
  const message = 'The cluster does not take the Job of the build. Tell an administrator.';
  return new BuildProblem({ reason, message }, { cause: error });
}
