import type { Readable } from 'node:stream';
import { buildSelector, type ObservedBuild } from '../../../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import { isOutdated, KubeError } from '../../../../storage/kubernetes/kube-error.ts';
import { Pods } from '../../../../storage/kubernetes/resources.ts';
import { refusalOf } from '../../../labs/objects/refusal.ts';
import type { BuildScope } from '../../build-scope.ts';
import {
  type Attempt,
  type BuildExecutor,
  type BuildSecrets,
  ExecutorUnavailable,
  type LogPosition,
  type ObservedRun,
} from '../executor.ts';
import { JobRuns, openPodLog } from './job-runs.ts';
import { JobWriter } from './job-writer.ts';
import type { BuildCache, ObservedBuildPod } from './build-cache.ts';

export interface LocalExecutorOptions {
  readonly name: string;
  readonly capacity: number;
  readonly scope: Omit<BuildScope, 'config'>;
  /** Everybody's, and run without it. */
  readonly cache: BuildCache;
  readonly builder: BuildPodBuilder;
}

/** What is to make no more pods, and the one that it has. */
interface Held {
  readonly job: ObservedBuild;
  readonly pod: ObservedBuildPod | undefined;
}

/** Set by the Job controller of Kubernetes on the pods of a Job. */
const CONTROLLER_UID_LABEL = 'batch.kubernetes.io/controller-uid';

/** Builds as pods of the Jobs that are their intents, in the cluster in which those are. */
export class LocalExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly isLocal = true;
  protected readonly writer: JobWriter;
  readonly #options: LocalExecutorOptions;
  readonly #runs: JobRuns;

  constructor(options: LocalExecutorOptions) {
    this.name = options.name;
    this.capacity = options.capacity;
    this.#options = options;
    this.writer = new JobWriter({ ...options.scope, ...options });
    this.#runs = new JobRuns(options.cache);
  }

  get isReady(): boolean {
    return this.#options.cache.isSynced;
  }

  get lastError(): Error | undefined {
    return this.#options.cache.lastError;
  }

  /** Nothing: the cache are run by those who share them. */
  run(): Promise<void> {
    return Promise.resolve();
  }

  *runs(): Iterable<ObservedRun> {
    for (const job of this.#options.cache.jobs()) {
      const run = this.#runs.observe(job);
      if (run !== undefined) yield run;
    }
  }

  observe(id: string): ObservedRun | undefined {
    const job = this.#options.cache.job(id);
    return job === undefined ? undefined : this.#runs.observe(job);
  }

  lookAgain(id: string): Promise<void> {
    return this.#options.cache.lookAgain(id);
  }

  async start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    const job = this.#jobOf(spec);
    if (job === undefined) throw new ExecutorUnavailable('the Job of the build is not there any more');
    try {
      await this.writer.makeSecret(spec, secrets, job.uid);
      await this.release(job);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Jobs and pods are told apart by uid: what another attempt has is not touched, however old this cluster's cache is. */
  async stop(attempt: Attempt): Promise<void> {
    const { cache, scope } = this.#options;
    const job = this.#jobOf(attempt);
    // Kubernetes removes what belonged to a Job that is gone.
    if (job === undefined) return;
    this.#runs.forget(job.uid);
    const pod = cache.pod(attempt.id, job.uid);
    // A build that has come to its end by itself is left for whoever looks at it; Kubernetes finishes its Job.
    const goesOn = pod === undefined || pod.stage !== 'ended' || pod.othersRun;
    if (job.finished === null && goesOn) await this.holdBack({ job, pod });
    if (pod !== undefined && goesOn) {
      const selector = `${buildSelector(scope.controller)},${CONTROLLER_UID_LABEL}=${job.uid}`;
      await scope.client.deleteCollection(Pods, scope.namespace, selector);
    }
    await this.writer.removeSecret(job);
  }

  openLog(id: string, position: LogPosition, signal: AbortSignal): Promise<Readable> {
    const { cache, scope } = this.#options;
    return openPodLog({ ...scope, cache }, id, position, signal);
  }

  /** Lets the Job run. */
  protected release(job: ObservedBuild): Promise<void> {
    return this.writer.release(job);
  }

  /** The Job makes no more pods; before its pods are removed, or it would make others in their place. */
  protected async holdBack({ job }: Held): Promise<void> {
    if (!job.suspended) await this.writer.suspend(job);
  }

  #jobOf({ id, createdAt }: Attempt): ObservedBuild | undefined {
    const job = this.#options.cache.job(id);
    return job?.spec.createdAt === createdAt ? job : undefined;
  }

  /** What the cluster does not admit may go better elsewhere; without its answer nothing moves, and it is asked again. */
  #explain(error: unknown): unknown {
    if (!(error instanceof KubeError) || isOutdated(error) || refusalOf(error, 'build') === undefined) return error;
    const message = `${this.name} cannot start builds: it does not admit what a build needs`;
    return new ExecutorUnavailable(message, { cause: error });
  }
}

/** The same where Kueue decides when a Job runs: "suspend" is Kueue's, and is never written here. */
export class KueueExecutor extends LocalExecutor {
  protected override release(): Promise<void> {
    return Promise.resolve();
  }

  /** Kueue would release it again; with its pod it ends, and without one it has to go. */
  protected override async holdBack({ job, pod }: Held): Promise<void> {
    if (pod === undefined) await this.writer.remove(job);
  }
}
