import { LRUCache } from 'lru-cache';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import {
  buildObjectName,
  BUILD_LABEL,
  buildSelector,
  type ObservedBuild,
} from '../../../../domain/build/build-intent.ts';
import type { BuildPodBuilder } from '../../../../builder/build/build-pod-builder.ts';
import type { BuildSpec } from '../../../../domain/build/build.ts';
import { BUILD_CONTAINER, BUILD_SUBJECT } from '../../../../domain/build/build-run.ts';
import { deletedExternally, type Finding } from '../../../../domain/lab/reasons.ts';
import type { KubeClient } from '../../../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../../../storage/kubernetes/kube-error.ts';
import { Pods, Secrets } from '../../../../storage/kubernetes/resources.ts';
import { refusalOf } from '../../../labs/objects/refusal.ts';
import {
  type BuildExecutor,
  type BuildSecrets,
  ExecutorUnavailable,
  type LogPosition,
  type ObservedRun,
} from '../executor.ts';
import type { GroundKeeper } from '../../controller/ground-keeper.ts';
import { JobCopies } from './job-copies.ts';
import { JobWriter } from './job-writer.ts';
import type { KubernetesWatches, ObservedBuildPod } from './kubernetes-watches.ts';

export interface KubernetesExecutorOptions {
  readonly name: string;
  readonly capacity: number;
  readonly client: KubeClient;
  readonly watches: KubernetesWatches;
  readonly builder: BuildPodBuilder;
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  /**
   * `intent`: the Job is there, suspended, and is released. `kueue`: somebody else releases it. `copy`: the intent is in
   * another cluster, and the Job here is made when the turn of the build has come.
   */
  readonly job: 'intent' | 'kueue' | 'copy';
  /** For copies: what they stand on in their cluster. */
  readonly ground?: GroundKeeper;
  /** For copies: hears when the executor is ready. */
  readonly onReady?: () => void;
  readonly logger?: Logger;
  /** How often copies that were never released are looked for. */
  readonly sweepMs?: number;
}

/** Longer than anybody takes from making a copy to releasing it. */
const SWEEP_MS = 10 * 60_000;
/** Far more pods than run at once. */
const SEEN = 5_000;

/** Builds as pods of Jobs, in this cluster or another one. */
export class KubernetesExecutor implements BuildExecutor {
  readonly name: string;
  readonly capacity: number;
  readonly #options: KubernetesExecutorOptions;
  /** Uids of the pods that have been seen, by that of their Job: one that is not there any more was deleted. */
  readonly #seen = new LRUCache<string, string>({ max: SEEN });
  readonly #copies: JobCopies | undefined;
  readonly #writer: JobWriter;

  constructor(options: KubernetesExecutorOptions) {
    this.name = options.name;
    this.capacity = options.capacity;
    this.#options = options;
    this.#writer = new JobWriter(options);
    const onMissing = () => options.ground?.layAgain();
    this.#copies = options.job === 'copy' ? new JobCopies({ ...options, onMissing }) : undefined;
  }

  get isKnown(): boolean {
    return this.#options.watches.isReady;
  }

  get isReady(): boolean {
    return this.isKnown && this.#options.ground?.isLaid !== false;
  }

  get waitsFor(): string | undefined {
    return this.isKnown ? 'its namespace of builds is not prepared yet' : undefined;
  }

  get lastError(): Error | undefined {
    return this.#options.watches.lastError;
  }

  /** The watches of this cluster are everybody's, and run without it. */
  async run(signal: AbortSignal): Promise<void> {
    const { watches, ground, onReady } = this.#options;
    if (this.#copies === undefined) return;
    const tell = () => {
      if (this.isReady && !signal.aborted) onReady?.();
    };
    void watches.ready.then(tell);
    await Promise.all([watches.run(signal), ground?.run(signal, tell), this.#sweep(this.#copies, signal)]);
  }

  get isHome(): boolean {
    return this.#options.job !== 'copy';
  }

  *runs(): Iterable<ObservedRun> {
    for (const { spec } of this.#options.watches.jobs()) {
      const run = this.observe(spec.id);
      if (run !== undefined) yield run;
    }
  }

  observe(id: string): ObservedRun | undefined {
    const { watches } = this.#options;
    const job = watches.job(id);
    if (job === undefined) return this.#copies?.vanished(id);
    const run = this.#observeJob(job);
    if (run !== undefined) this.#copies?.remember(run);
    return run;
  }

  #observeJob(job: ObservedBuild): ObservedRun | undefined {
    const { watches } = this.#options;
    const { id, createdAt } = job.spec;
    const pod = watches.pod(id, job.uid);
    if (pod === undefined) return this.#observeWithoutPod(job);
    this.#seen.set(job.uid, pod.uid);
    if (job.terminating) this.#seen.delete(job.uid);
    const { stage, trouble, end, hasLog, node, startedAt, endedAt } = pod;
    const isLate = job.finished === 'DeadlineExceeded' && end !== null;
    const heard = stage === 'ended' || stage === 'running' ? null : watches.trouble(pod.uid);
    return {
      ...{ id, createdAt, stage, hasLog, node, startedAt, endedAt },
      trouble: trouble ?? heard,
      end: isLate ? TOO_LONG : end,
    };
  }

  lookAgain(id: string): Promise<void> {
    return this.#options.watches.lookAgain(id);
  }

  async start(spec: BuildSpec, secrets: BuildSecrets): Promise<void> {
    const { watches } = this.#options;
    try {
      const job = this.#copies === undefined ? watches.job(spec.id) : await this.#copies.make(spec);
      if (job === undefined) throw new ExecutorUnavailable('the Job of the build is not there any more');
      await this.#writer.makeSecret(spec, secrets, job.uid);
      await this.#writer.release(job);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async stop(id: string): Promise<void> {
    const { client, namespace, controller, watches, job: kind } = this.#options;
    const name = buildObjectName(id);
    const job = watches.job(id);
    if (job !== undefined) this.#seen.delete(job.uid);
    if (this.#copies !== undefined) return this.#copies.remove(id);
    const pod = job === undefined ? undefined : watches.pod(id, job.uid);
    // A build that has come to its end by itself is left for whoever looks at it; Kubernetes finishes its Job.
    const goesOn = pod === undefined || pod.stage !== 'ended' || pod.othersRun;
    if (job?.finished === null && goesOn) {
      // Kueue would release it again; with its pod it ends, and without one it has to go.
      if (kind === 'kueue' && pod === undefined) return this.#writer.remove(job);
      // Before its pods, or it would make others in their place.
      if (kind === 'intent' && !job.suspended) await this.#writer.suspend(job);
    }
    if (pod !== undefined && goesOn) {
      await client.deleteCollection(Pods, namespace, `${buildSelector(controller)},${BUILD_LABEL}=${id}`);
    }
    await client.delete(Secrets, { namespace, name });
  }

  openLog(id: string, { since, follow }: LogPosition, signal: AbortSignal): Promise<Readable> {
    const { client, namespace } = this.#options;
    const pod = this.#pod(id);
    // As the API server would say it, for whoever reads on.
    if (pod === undefined) {
      const target = { verb: 'read log of', kind: Pods.kind, namespace, name: buildObjectName(id) };
      throw new KubeError(target, { status: 404, reason: 'NotFound', message: 'the build has no pod' });
    }
    return client.podLog(
      { namespace, name: pod.name },
      { container: BUILD_CONTAINER, timestamps: true, follow, signal, ...(since === null ? {} : { sinceTime: since }) },
    );
  }

  #pod(id: string): ObservedBuildPod | undefined {
    const { watches } = this.#options;
    const job = watches.job(id);
    return job === undefined ? undefined : watches.pod(id, job.uid);
  }

  #observeWithoutPod(job: ObservedBuild): ObservedRun | undefined {
    const { id, createdAt } = job.spec;
    const none = { id, createdAt, hasLog: false, node: null, startedAt: null, endedAt: null };
    if (job.finished !== null) {
      return { ...none, stage: 'ended', trouble: null, end: endOfJob(job.finished) };
    }
    if (this.#seen.has(job.uid))
      return { ...none, stage: 'ended', trouble: null, end: deletedExternally(BUILD_SUBJECT) };
    if (job.suspended) return undefined;
    return { ...none, stage: 'waiting', trouble: this.#options.watches.trouble(job.uid), end: null };
  }

  async #sweep(copies: JobCopies, signal: AbortSignal): Promise<void> {
    const { sweepMs = SWEEP_MS, logger } = this.#options;
    const stopped = () => signal.aborted;
    while (!stopped()) {
      await delay(sweepMs, undefined, { signal }).catch(() => undefined);
      if (stopped() || !this.isReady) continue;
      await copies.sweep().catch((err: unknown) => {
        logger?.debug({ err, executor: this.name }, 'Jobs that were never released could not be removed');
      });
    }
  }

  /** What is the build's own fault is a problem of the build; anything else may go better elsewhere, or later. */
  #explain(error: unknown): unknown {
    if (!(error instanceof KubeError) || isOutdated(error)) return error;
    const refused = refusalOf(error, 'build');
    // Nothing moves without this cluster, and what was sent to it may have been done: it is asked again.
    if (refused === undefined && this.isHome) return error;
    const why = refused === undefined ? FAILS : 'it does not admit what a build needs';
    return new ExecutorUnavailable(`${this.name} cannot start builds: ${error.status === 0 ? SILENT : why}`, {
      cause: error,
    });
  }
}

const SILENT = 'its API does not answer';
const FAILS = 'its API answers with an error';
const TOO_LONG: Finding = { reason: 'DeadlineExceeded', message: 'The build took longer than it may.' };

/** The Job has ended and there is no pod that says more. */
function endOfJob(finished: string): Finding | null {
  if (finished === 'Complete') return null;
  return finished === 'DeadlineExceeded' ? TOO_LONG : deletedExternally(BUILD_SUBJECT);
}
