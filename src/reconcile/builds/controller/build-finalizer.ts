import type { Logger } from 'pino';
import { buildObjectName, type ObservedBuild, progressPatch, resultPatch } from '../../../domain/build/build-intent.ts';
import type { BuildsConfig } from '../../../config/config.ts';
import type { BuildResult } from '../../../domain/build/build.ts';
import { Problem } from '../../../domain/problem.ts';
import type { Finding } from '../../../domain/lab/reasons.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import type { Run } from '../../controller.ts';
import type { Result } from '../../work-queue.ts';
import { ArchiveUnavailable } from '../archive/build-archive.ts';
import type { FinishedLogs } from '../archive/finished-logs.ts';
import type { BuildCache } from '../executors/kubernetes/build-cache.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { SlotStore } from '../queue/slot-store.ts';
import type { BuildAttempt } from './build-attempts.ts';
import type { BuildOperation } from './build-operations.ts';
import { executorOf } from './build-place.ts';
import type { BuildMemory } from './decide-build.ts';

export interface BuildFinalizerOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly cache: BuildCache;
  readonly slotStore: SlotStore;
  readonly pool: ExecutorPool;
  readonly logs: Pick<FinishedLogs, 'save'>;
  /** Digest of the image in the registry, or null. @throws {Problem} */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
  readonly logger: Logger;
}

/** One build in one run of the reconciler. */
export interface Build {
  readonly build: ObservedBuild;
  /** Its log on this replica. */
  readonly operation: BuildOperation;
  readonly attempt: BuildAttempt;
  readonly memory: BuildMemory;
  readonly run: Run;
}

/** Between two questions to the registry. */
const CONFIRM_AGAIN_MS = 500;
/** A registry may take a moment to show what was pushed. */
const VISIBLE_MS = 5_000;
/** How long a log that cannot be saved is tried again, before what holds the only copy of it is removed. */
const ARCHIVE_PATIENCE_MS = 60_000;
/** How long an executor that does not answer can hold up the clean-up of a build that is over. */
const CLEANUP_PATIENCE_MS = 10 * 60_000;

/**
 * How builds end: the registry confirms the image, the result is written to the Job, which every replica tells its readers;
 * then the log is saved and what is left is removed. Each step may be interrupted anywhere, and is done again as a whole.
 */
export class BuildFinalizer {
  readonly #options: BuildFinalizerOptions;

  constructor(options: BuildFinalizerOptions) {
    this.#options = options;
  }

  /** The build has done what it should; it is ready when the registry says so. */
  async confirm(all: Build): Promise<Result> {
    const { config, findDigest } = this.#options;
    const { build, attempt, run } = all;
    const now = run.clock.monotonic();
    attempt.confirmingSince ??= now;
    const left = attempt.confirmingSince + config.registry.patience - now;
    try {
      const digest = await findDigest(build.spec.image, run.signal);
      if (digest !== null) return await this.end(all, { status: 'ready', digest, at: run.clock.now() });
      const isNew = now - attempt.confirmingSince < Math.min(VISIBLE_MS, config.registry.patience);
      if (isNew) return { requeueAfterMs: CONFIRM_AGAIN_MS };
      const message = 'The build has ended well, but the registry does not have its image.';
      return await this.fail(all, { reason: 'PushFailed', message });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (!error.transient || left <= 0) return this.fail(all, error);
      await this.note(build, { ...build.progress, message: `${error.message} The registry is asked again.` });
      return { requeueAfterMs: Math.min(left, error.retryAfterMs ?? CONFIRM_AGAIN_MS) };
    }
  }

  /** As `end`, for a build that has failed or was cancelled. */
  fail(all: Build, { reason, message }: Finding, status: 'failed' | 'cancelled' = 'failed'): Promise<Result> {
    return this.end(all, { status, reason, message, at: all.run.clock.now() });
  }

  /** Says durably how it ended, once. Readers are told, and what is left is removed, by the runs that this brings. */
  async end({ build, operation, attempt, memory }: Build, outcome: BuildResult): Promise<Result> {
    const { slot, run } = memory;
    const ran = slot && { executor: slot.executor, node: run?.node ?? null, startedAt: attempt.startedAt };
    const { lines } = operation.log;
    const result = { ...outcome, ...(ran === undefined ? {} : { ran }), ...(lines === 0 ? {} : { lines }) };
    if (!(await this.patch(build, resultPatch(build, result)))) return {};
    const { id: name, image } = build.spec;
    this.#options.logger.info({ build: name, image, ...describeResult(result) }, 'build ended');
    return {};
  }

  /** What readers of other replicas are told as well. The same twice is written once. */
  async note(build: ObservedBuild, progress: NonNullable<ObservedBuild['progress']>): Promise<void> {
    const { phase, message } = build.progress ?? {};
    if (phase === progress.phase && message === progress.message) return;
    await this.patch(build, progressPatch(build, progress));
  }

  /** Ends what is left of a build that is over: what runs, what is secret, its slot. Its log is saved before that. */
  async cleanUp(all: Build): Promise<Result> {
    const { build, memory } = all;
    await this.#archive(all);
    // What has ended elsewhere stays for a while with its log, for the readers of other replicas; its slot does not.
    const isHeld = memory.isRemote === true && memory.run?.stage === 'ended' && memory.run.hasLog;
    if (!isHeld) await this.removeRun(all);
    await this.#options.slotStore.release(build.uid);
    return {};
  }

  /** Removes what runs or ran it. */
  async removeRun({ build, run }: Build): Promise<Result> {
    try {
      await executorOf(build, this.#options)?.stop(build.spec);
    } catch (err) {
      if (run.clock.now() - (build.result?.at ?? 0) < CLEANUP_PATIENCE_MS) throw err;
      run.logger.warn({ err, build: build.spec.id }, 'executor unreachable; a finished build may still be running');
    }
    return {};
  }

  /** Its Job goes. One that never held anything, such as a build that was cancelled in the queue, is archived here. */
  async forget(all: Build): Promise<Result> {
    const { client, namespace } = this.#options;
    const { spec, uid, result } = all.build;
    // The note of an image that was found is of a build that is archived itself, or of another controller.
    if (result?.cached !== true) await this.#archive(all);
    const ref = { namespace, name: buildObjectName(spec.id) };
    await client.delete(Jobs, ref, { uid, propagationPolicy: 'Background', priority: 'background' });
    return {};
  }

  /** @returns false when the Job is not as it was seen: it is looked at again then */
  async patch({ name }: ObservedBuild, patch: object): Promise<boolean> {
    const { client, namespace, cache } = this.#options;
    try {
      cache.observeJob(await client.patch(Jobs, { namespace, name }, patch));
      return true;
    } catch (error) {
      if (!isOutdated(error)) throw error;
      return false;
    }
  }

  /** Where the log cannot be saved, the run throws and comes back, until the patience is over. */
  async #archive({ build: { result, spec }, operation, run }: Build): Promise<void> {
    if (result === null || operation.isArchived) return;
    try {
      await this.#options.logs.save(result, operation, run.signal);
    } catch (err) {
      if (!(err instanceof ArchiveUnavailable)) throw err;
      if (!err.isLasting && run.clock.now() - result.at < ARCHIVE_PATIENCE_MS) throw err;
      run.logger.error({ err, build: spec.id }, 'the log of a build cannot be saved and is lost');
    }
    operation.isArchived = true;
  }
}

function describeResult(result: BuildResult): object {
  return result.status === 'ready'
    ? { status: result.status, digest: result.digest }
    : { status: result.status, reason: result.reason };
}
