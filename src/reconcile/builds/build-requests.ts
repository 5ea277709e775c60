import type { V1Job } from '@kubernetes/client-node';
import { setTimeout as delay } from 'node:timers/promises';
import { builderDigest, imageOf } from '../../builder/build/build-image.ts';
import { buildObjectName, type ObservedBuild, parseBuild, wantedPatch } from '../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../builder/build/build-pod-builder.ts';
import type { BuildsConfig } from '../../config/config.ts';
import { BuildProblem, type BuildSpec, type Repository, type ResolvedRepository } from '../../domain/build/build.ts';
import { identifyBuild } from '../../domain/build/build-identity.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import { refusalOf } from '../labs/objects/refusal.ts';
import type { Admission } from './queue/admission.ts';
import type { BuildRequest } from './build-service.ts';
import type { GroundKeeper } from './controller/ground-keeper.ts';
import type { KubernetesWatches } from './executors/kubernetes/kubernetes-watches.ts';
import type { SlotLedger } from './queue/slot-ledger.ts';

export interface BuildRequestsOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly watches: KubernetesWatches;
  readonly ledger: SlotLedger;
  readonly admission: Admission;
  readonly builder: BuildPodBuilder;
  /** Told when the namespace of builds is found missing. */
  readonly ground: Pick<GroundKeeper, 'layAgain'>;
  /** @param asker user for whom it is asked, unless it is somebody who asks for many. @throws BuildProblem */
  readonly resolve: (
    repository: Repository,
    ref: string,
    signal?: AbortSignal,
    asker?: string,
  ) => Promise<ResolvedRepository>;
  /** Digest of the image in the registry, or null. @throws BuildProblem */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
  /** The node to prefer for a repository, where builds of one repository should meet. */
  readonly nodeFor: (repository: string) => string | undefined;
}

/** What a request has come to. */
export type RequestedBuild =
  | { readonly found: 'image'; readonly spec: BuildSpec; readonly digest: string }
  | { readonly found: 'build' | 'nothing'; readonly build: ObservedBuild };

/** A request has a moment until somebody reads the events of its build. */
const LEAST_WANTED_MS = 30_000;
/** How long what an earlier build has left is waited for. */
const LEFTOVER_MS = 30_000;
const LEFTOVER_AGAIN_MS = 50;
const LEFTOVER_PAUSE_MS = 1_000;
const ATTEMPTS = 10;
/** A request that joins a build and then never reads its events keeps it this share of the time less, at most. */
const JOIN_SLACK = 0.1;

/**
 * From a repository and a ref to a build, or to an image that is there already.
 *
 * The name of the Job follows from the key of the build, so that of any number of requests, to one controller or several, one
 * makes it and the others find it. What is found is compared by its whole key, and joined only while it is under way.
 */
export class BuildRequests {
  readonly #options: BuildRequestsOptions;
  readonly #underway = new Map<string, Promise<RequestedBuild>>();
  /** Builds that somebody is noted to wait for at this moment, by uid of their Job. */
  readonly #joining = new Map<string, Promise<ObservedBuild>>();
  readonly #builderDigest: string;

  constructor(options: BuildRequestsOptions) {
    this.#options = options;
    this.#builderDigest = builderDigest(options.config);
  }

  /** @throws BuildProblem */
  async request(request: BuildRequest, signal?: AbortSignal): Promise<RequestedBuild> {
    const { config, resolve } = this.#options;
    const { username } = request;
    // A slash is in the name of no user: it is a hub, which asks for many.
    const asker = username.includes('/') ? undefined : username;
    const repository = await resolve(request.repository, request.ref, signal, asker);
    const identity = identifyBuild(repository, request.path, this.#builderDigest);
    const spec: BuildSpec = {
      ...identity,
      repository,
      path: request.path,
      image: imageOf(config, { repository, path: request.path, key: identity.key }),
      requestedBy: request.username,
      detached: request.detached,
      createdAt: Date.now(),
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

  async #findOrBegin(spec: BuildSpec, signal?: AbortSignal): Promise<RequestedBuild> {
    const known = this.#options.watches.job(spec.id);
    if (known !== undefined && isUnderWay(known)) return this.#join(known, spec);
    const digest = await this.#options.findDigest(spec.image, signal);
    if (digest !== null) return { found: 'image', spec, digest };
    this.#checkBounds(spec);
    return this.#begin(spec, signal);
  }

  async #join(build: ObservedBuild, spec: BuildSpec): Promise<RequestedBuild> {
    if (build.spec.key !== spec.key) throw nameTaken();
    const until = this.#wantedUntil(spec);
    // However many join, it is written now and then, and once for all who come meanwhile.
    const isEnough = ({ wantedUntil }: ObservedBuild) => wantedUntil >= until - (until - Date.now()) * JOIN_SLACK;
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
    const { client, namespace, watches } = this.#options;
    try {
      const patched = await client.patch(Jobs, { namespace, name: build.name }, wantedPatch(build, until));
      watches.observeJob(patched);
      return parseBuild(patched) ?? build;
    } catch (error) {
      if (!isOutdated(error)) throw error;
      return build;
    }
  }

  async #begin(spec: BuildSpec, signal?: AbortSignal): Promise<RequestedBuild> {
    const { client, watches, builder, nodeFor } = this.#options;
    const endsAt = Date.now() + LEFTOVER_MS;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const node = nodeFor(spec.repository.url);
      const job = builder.buildJob(spec, { suspend: true, wantedUntil: this.#wantedUntil(spec), node });
      try {
        const created = await client.create(Jobs, job, { ...(signal === undefined ? {} : { signal }) });
        watches.observeJob(created);
        const build = parseBuild(created);
        if (build === undefined) throw new TypeError('a Job just made cannot be read');
        return { found: 'nothing', build };
      } catch (error) {
        if (isKubeError(error, 404)) throw this.#groundless(error);
        if (!isKubeError(error, 409)) throw asProblem(error);
      }
      const build = await this.#makeRoom(spec, endsAt, signal);
      if (build !== undefined) return this.#join(build, spec);
    }
    throw new BuildProblem(
      { reason: 'NameTaken', message: 'Others begin and end the same build all the time; try again.' },
      { transient: true },
    );
  }

  /** Somebody has removed the namespace of builds: it is made again, and who asks again then gets a build. */
  #groundless(cause: unknown): BuildProblem {
    this.#options.ground.layAgain();
    const message = 'The namespace of builds is gone and is being made again; try again in a moment.';
    return new BuildProblem({ reason: 'NotReady', message }, { transient: true, cause });
  }

  /** The name is taken: by a build under way, which is returned, or by one that is over, which is removed. */
  async #makeRoom(spec: BuildSpec, endsAt: number, signal?: AbortSignal): Promise<ObservedBuild | undefined> {
    const { client, namespace, watches } = this.#options;
    const ref = { namespace, name: buildObjectName(spec.id) };
    for (let pause = LEFTOVER_AGAIN_MS; ; pause = Math.min(pause * 2, LEFTOVER_PAUSE_MS)) {
      const found: V1Job | undefined = await client.get(Jobs, ref, { ...(signal === undefined ? {} : { signal }) });
      if (found === undefined) return undefined;
      const build = parseBuild(found);
      if (build === undefined || build.spec.key !== spec.key) throw nameTaken();
      watches.observeJob(found);
      if (isUnderWay(build)) return build;
      if (Date.now() > endsAt) {
        throw new BuildProblem(
          {
            reason: 'NameTaken',
            message: 'An earlier build of the same is still being removed; try again in a moment.',
          },
          { transient: true },
        );
      }
      // Only when nothing of it runs any more: until then its slot and what it left are cleaned up.
      const isHeld = this.#options.ledger.find(build.spec.id, build.uid) !== undefined || build.result === null;
      if (!build.terminating && !isHeld) {
        await client.delete(Jobs, ref, { uid: build.uid, propagationPolicy: 'Foreground' });
      }
      await delay(pause * (0.75 + Math.random() / 2), undefined, signal === undefined ? {} : { signal });
    }
  }

  /** @throws BuildProblem `QueueFull` */
  #checkBounds({ requestedBy }: BuildSpec): void {
    const { config, admission, ledger } = this.#options;
    const { waiting, waitingPerUser, running } = config.queue;
    const queued = admission.waiting();
    const free = Math.max(0, running - ledger.slots.length);
    const message =
      queued.length >= waiting + free
        ? 'There are too many builds waiting already; try again later.'
        : queued.filter(({ user }) => user === requestedBy).length >= waitingPerUser
          ? 'You have too many builds waiting already; try again later.'
          : undefined;
    if (message !== undefined) throw new BuildProblem({ reason: 'QueueFull', message }, { retryAfterMs: 30_000 });
  }

  #wantedUntil({ detached }: Pick<BuildSpec, 'detached'>): number {
    const { abandonAfter, deadlines } = this.#options.config;
    const ms = detached ? deadlines.queued + deadlines.total : Math.max(abandonAfter, LEAST_WANTED_MS);
    return Date.now() + ms;
  }
}

/** Whether a request may join it: what is over, or on its way out, is nobody's answer. */
export function isUnderWay({ result, cancel, terminating }: ObservedBuild): boolean {
  return result === null && cancel === null && !terminating;
}

function nameTaken(): BuildProblem {
  return new BuildProblem({
    reason: 'NameTaken',
    message: 'The name of the build is taken by something else in the cluster. Tell an administrator.',
  });
}

function asProblem(error: unknown): unknown {
  const refused = refusalOf(error, 'build');
  if (refused === undefined) return error;
  const { reason } = refused.finding;
  const message = 'The cluster does not take the Job of the build. Tell an administrator.';
  return new BuildProblem({ reason, message }, { cause: error });
}
