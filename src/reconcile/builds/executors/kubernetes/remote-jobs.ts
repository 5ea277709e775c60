import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { buildObjectName, type ObservedBuild, parseBuild } from '../../../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import { BuildProblem, type BuildSpec } from '../../../../domain/build/build.ts';
import { BUILD_SUBJECT } from '../../../../domain/build/build-run.ts';
import { CONTROLLER_LABEL } from '../../../../domain/names.ts';
import { deletedExternally } from '../../../../domain/lab/reasons.ts';
import { isKubeError } from '../../../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../../../storage/kubernetes/resources.ts';
import { jittered } from '../../../../util/backoff.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../../util/clock.ts';
import { Controller } from '../../../controller.ts';
import type { BuildScope } from '../../build-scope.ts';
import { type Attempt, ExecutorUnavailable, type ObservedRun } from '../executor.ts';
import type { BuildCache } from './build-cache.ts';

export interface RemoteJobsOptions extends Pick<BuildScope, 'client' | 'controller' | 'namespace'> {
  readonly cache: BuildCache;
  readonly builder: BuildPodBuilder;
  /** The namespace of builds is not there. */
  readonly onMissing: () => void;
  readonly clock?: Clock;
}

/** Far more than run at once. */
const REMEMBERED = 5_000;
const SWEEP_MS = 10 * 60_000;

export interface RemoteJobsControllerOptions {
  /** `remote-jobs/<executor>`. */
  readonly name: string;
  /** Undefined while that cluster is not known. */
  readonly jobs: () => RemoteJobs | undefined;
  readonly sweepMs?: number | undefined;
  readonly logger: Logger;
}

/** `remote-jobs`: removes Jobs in another cluster that were made and never released. */
export function remoteJobs({ name, jobs, sweepMs = SWEEP_MS, logger }: RemoteJobsControllerOptions): Controller {
  return new Controller({
    name,
    caches: [],
    sources: [],
    keys: () => ['sweep'],
    reconcile: async () => {
      await jobs()?.sweep(sweepMs);
      return { requeueAfterMs: jittered(sweepMs) };
    },
    logger,
  });
}

/**
 * The Jobs of builds whose intents are in another cluster. Such a Job is made suspended and released when its Secret is there:
 * before that it is no run, and whoever comes next goes on from there.
 */
export class RemoteJobs {
  readonly #options: RemoteJobsOptions;
  /** The last that was seen of Jobs: one that is not there any more was deleted by somebody else. */
  readonly #last = new LRUCache<string, ObservedRun>({ max: REMEMBERED });
  readonly #clock: Clock;
  /** Uids of Jobs that are not released, and since when that was seen by the monotonic clock. */
  #unreleasedSince: ReadonlyMap<string, number> = new Map();

  constructor(options: RemoteJobsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  remember(run: ObservedRun): void {
    this.#last.set(run.id, run);
  }

  /** What is said of a build whose Job has vanished. What had ended has ended as it did. */
  vanished(id: string): ObservedRun | undefined {
    const last = this.#last.get(id);
    if (last === undefined || last.stage === 'ended') return last && { ...last, hasLog: false };
    return { ...last, stage: 'ended', trouble: null, end: deletedExternally(BUILD_SUBJECT), hasLog: false };
  }

  /** The Job for this very attempt: that which is there, or a new one. What is in its way is removed, if it is ours. */
  async make(spec: BuildSpec): Promise<ObservedBuild> {
    const { client, cache, builder, onMissing } = this.#options;
    const known = cache.job(spec.id);
    if (known !== undefined && isOf(known, spec) && !known.terminating) return known;
    if (known !== undefined && !known.terminating) await this.#delete(known);
    try {
      return this.#take(await client.create(Jobs, builder.buildJob(spec, { suspend: true, interestExpiresAt: 0 })));
    } catch (error) {
      if (isKubeError(error, 409)) return await this.#adopt(spec, error);
      if (!isKubeError(error, 404)) throw error;
      onMissing();
      throw new ExecutorUnavailable('the namespace of builds is not there', { cause: error });
    }
  }

  /** Ends and removes the Job of this attempt with all that it owns. */
  async remove(attempt: Attempt): Promise<void> {
    const { cache } = this.#options;
    const isIt = (job: ObservedBuild | undefined) => job?.spec.createdAt === attempt.createdAt;
    const known = cache.job(attempt.id);
    const job = isIt(known) ? known : (await this.#find(attempt.id)).job;
    if (this.#last.get(attempt.id)?.createdAt === attempt.createdAt) this.#last.delete(attempt.id);
    if (job !== undefined && isIt(job)) await this.#delete(job);
  }

  /**
   * Removes Jobs that were not released for so long: whoever made them died before, and nobody has come back.
   *
   * @param afterMs longer than anybody takes from making a Job to releasing it
   */
  async sweep(afterMs: number): Promise<void> {
    const now = this.#clock.monotonic();
    const before = this.#unreleasedSince;
    const unreleased = [...this.#options.cache.jobs()].filter(
      ({ suspended, terminating }) => suspended && !terminating,
    );
    this.#unreleasedSince = new Map(unreleased.map(({ uid }) => [uid, before.get(uid) ?? now]));
    for (const job of unreleased) if (now - (before.get(job.uid) ?? now) >= afterMs) await this.#delete(job);
  }

  /** The name is taken: by the same Job, by one of an earlier attempt, or by somebody else's. */
  async #adopt(spec: BuildSpec, taken: Error): Promise<ObservedBuild> {
    const { found, job } = await this.#find(spec.id);
    if (found === undefined) throw taken;
    if (job === undefined) {
      const message = 'The name for the Job of the build is taken by something that this installation has not made.';
      throw new BuildProblem({ reason: 'NameTaken', message }, { cause: taken });
    }
    if (job.terminating) throw taken;
    if (isOf(job, spec)) return this.#take(found);
    await this.#delete(job);
    throw taken;
  }

  /** What has the name of the build's Job, and the Job when it is ours. */
  async #find(id: string) {
    const { client, namespace, controller } = this.#options;
    const found = await client.get(Jobs, { namespace, name: buildObjectName(id) });
    const isOurs = found?.metadata?.labels?.[CONTROLLER_LABEL] === controller;
    return { found, job: found !== undefined && isOurs ? parseBuild(found) : undefined };
  }

  #take(written: Parameters<typeof parseBuild>[0]): ObservedBuild {
    this.#options.cache.observeJob(written);
    const job = parseBuild(written);
    if (job === undefined) throw new TypeError('a Job that was made for a build does not say so');
    return job;
  }

  async #delete({ name, uid, spec }: ObservedBuild): Promise<void> {
    const { client, namespace, cache } = this.#options;
    const end = await client.delete(Jobs, { namespace, name }, { uid, propagationPolicy: 'Background' });
    // Before anybody hears that it is gone: it was no accident.
    this.#last.delete(spec.id);
    if (end === 'gone') cache.forgetJob(spec.id, uid);
  }
}

/** Whether it is the Job for this very attempt. */
function isOf({ spec }: ObservedBuild, { key, createdAt }: BuildSpec): boolean {
  return spec.key === key && spec.createdAt === createdAt;
}
