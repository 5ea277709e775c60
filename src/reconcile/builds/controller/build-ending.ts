import type { Logger } from 'pino';
import { buildObjectName, type ObservedBuild, resultPatch } from '../../../domain/build/build-intent.ts';
import type { BuildsConfig } from '../../../config/config.ts';
import { BuildProblem, type BuildResult } from '../../../domain/build/build.ts';
import type { Finding } from '../../../domain/lab/reasons.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import type { Result } from '../../work-queue.ts';
import { ArchiveUnavailable } from '../archive/build-archive.ts';
import type { FinishedLogs } from '../archive/finished-logs.ts';
import { type BuildOperation, type BuildOperations, endOf } from './build-operations.ts';
import type { BuildTurns } from '../queue/build-turns.ts';
import type { BuildMemory } from './decide-build.ts';
import type { KubernetesWatches } from '../executors/kubernetes/kubernetes-watches.ts';

export interface BuildEndingOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly watches: KubernetesWatches;
  readonly operations: BuildOperations;
  readonly logs: FinishedLogs;
  /** Digest of the image in the registry, or null. @throws BuildProblem */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
  readonly logger: Logger;
}

/** One build in one run of the reconciler. */
export interface Build {
  readonly build: ObservedBuild;
  readonly operation: BuildOperation;
  readonly memory: BuildMemory;
}

/** Between two questions to the registry. */
const CONFIRM_AGAIN_MS = 500;
/** A registry may take a moment to show what was pushed. */
const VISIBLE_MS = 5_000;
/** How long the log of a build that is over is held in memory for those who come late. */
const HELD_MS = 2 * 60_000;
/** For reading and keeping the log of a build that ended while no controller was there. */
const SAVE_MS = 30_000;
/** How long an archive that does not take the log of a build can hold up its clean-up, in milliseconds. */
const SAVE_PATIENCE_MS = 60_000;
/** How long an executor that does not answer can hold up the clean-up of a build that is over. */
const CLEANUP_PATIENCE_MS = 10 * 60_000;

/**
 * How builds end: the registry confirms the image, the result is written down, readers are told, what is left is removed.
 * Each step may be interrupted anywhere, and is done again as a whole.
 */
export class BuildEnding {
  readonly #options: BuildEndingOptions;
  readonly #turns: BuildTurns;

  constructor(options: BuildEndingOptions, turns: BuildTurns) {
    this.#options = options;
    this.#turns = turns;
  }

  /** The build has done what it should; it is ready when the registry says so. */
  async confirm(all: Build): Promise<Result> {
    const { config, findDigest } = this.#options;
    const { build, operation } = all;
    const now = Date.now();
    operation.confirmingSince ??= now;
    operation.log.phase('confirming', 'Asking the registry for the image.');
    const left = operation.confirmingSince + config.registry.patience - now;
    try {
      const digest = await findDigest(build.spec.image);
      if (digest !== null) return await this.end(all, { status: 'ready', digest, at: Date.now() });
      const isNew = now - operation.confirmingSince < Math.min(VISIBLE_MS, config.registry.patience);
      if (isNew) return { requeueAfterMs: CONFIRM_AGAIN_MS };
      const message = 'The build has ended well, but the registry does not have its image.';
      return await this.fail(all, { reason: 'PushFailed', message });
    } catch (error) {
      if (!(error instanceof BuildProblem)) throw error;
      if (!error.transient || left <= 0) return this.fail(all, error);
      operation.log.phase('confirming', `${error.message} The registry is asked again.`);
      return { requeueAfterMs: Math.min(left, error.retryAfterMs ?? CONFIRM_AGAIN_MS) };
    }
  }

  /** As `end`, for a build that has failed or was cancelled. */
  fail(all: Build, { reason, message }: Finding, status: 'failed' | 'cancelled' = 'failed'): Promise<Result> {
    return this.end(all, { status, reason, message, at: Date.now() });
  }

  /** Says durably how it ended, once, and then tells readers. What is left is removed by the next run, which this brings. */
  async end({ build, operation, memory }: Build, outcome: BuildResult): Promise<Result> {
    const { slot, run } = memory;
    const ran = slot && { executor: slot.executor, node: run?.node ?? null, startedAt: operation.startedAt };
    const result = ran === undefined ? outcome : { ...outcome, ran };
    if (!(await this.patch(build, resultPatch(build, result)))) return {};
    const { id: name, image } = build.spec;
    this.#options.logger.info({ build: name, image, ...describeResult(result) }, 'build ended');
    operation.log.end(endOf(build.spec, result));
    return {};
  }

  /** Ends what is left of a build that is over: what runs, what is secret, its slot. Its log is kept before that. */
  async cleanUp({ build, operation }: Build): Promise<Result> {
    const { logger } = this.#options;
    this.#announce(build, operation);
    operation.following?.abort.abort();
    // What runs it is removed next: its log may be nowhere else.
    if (build.result !== null) await this.#archive(build.result, operation);
    try {
      await this.#turns.executorOf(build)?.stop(build.spec.id);
    } catch (err) {
      if (Date.now() - (build.result?.at ?? 0) < CLEANUP_PATIENCE_MS) throw err;
      const about = { err, build: build.spec.id };
      logger.warn(about, 'a build that is over may still run: its executor does not answer');
    }
    await this.#turns.giveBack(build);
    return {};
  }

  /** @throws {ArchiveUnavailable} while it is worth to try again */
  async #archive(result: BuildResult, operation: BuildOperation): Promise<void> {
    const { logs, logger } = this.#options;
    try {
      await logs.save(result, operation, AbortSignal.timeout(SAVE_MS));
    } catch (err) {
      if (!(err instanceof ArchiveUnavailable)) throw err;
      if (!err.isLasting && Date.now() - result.at < SAVE_PATIENCE_MS) throw err;
      logger.warn({ err, build: operation.spec.id }, 'the log of a build is lost: it could not be archived');
    }
  }

  /** Nothing is to be done. A log that nobody has read for a while is not held in memory until the Job goes. */
  rest({ build, operation }: Build, again: number | undefined): Result {
    this.#announce(build, operation);
    const { log, isLate } = operation;
    const held = build.result !== null && !isLate && log.readers === 0;
    const left = held ? Math.max(build.result.at, operation.lastWantedAt) + HELD_MS - Date.now() : Infinity;
    if (left <= 0) this.#options.operations.release(build, Date.now());
    const next = Math.min(again ?? Infinity, left > 0 ? left : Infinity);
    return next === Infinity ? {} : { requeueAfterMs: next };
  }

  async forget({ spec, uid }: ObservedBuild): Promise<Result> {
    const { client, namespace } = this.#options;
    const ref = { namespace, name: buildObjectName(spec.id) };
    await client.delete(Jobs, ref, { uid, propagationPolicy: 'Background', priority: 'background' });
    return {};
  }

  /** @returns false when the Job is not as it was seen: it is looked at again then */
  async patch({ name }: ObservedBuild, patch: object): Promise<boolean> {
    const { client, namespace, watches } = this.#options;
    try {
      watches.observeJob(await client.patch(Jobs, { namespace, name }, patch));
      return true;
    } catch (error) {
      if (!isOutdated(error)) throw error;
      return false;
    }
  }

  /** The terminal event, where another controller has written the result. */
  #announce({ spec, result }: ObservedBuild, { log }: BuildOperation): void {
    if (result !== null) log.end(endOf(spec, result));
  }
}

function describeResult(result: BuildResult): object {
  return result.status === 'ready'
    ? { status: result.status, digest: result.digest }
    : { status: result.status, reason: result.reason };
}
