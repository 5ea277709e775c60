import type { Logger } from 'pino';
import { buildObjectName, cancelPatch, type ObservedBuild, resultPatch } from '../../builder/build-intent.ts';
import { BuildProblem, type BuildResult } from '../../domain/build.ts';
import type { BuildsConfig } from '../../config/config.ts';
import type { Finding } from '../../domain/reasons.ts';
import type { KubeClient } from '../../storage/kube-client.ts';
import { isOutdated } from '../../storage/kube-error.ts';
import { Jobs } from '../../storage/resources.ts';
import { troubleFor } from '../operations.ts';
import type { Result } from '../work-queue.ts';
import type { Admission } from './admission.ts';
import type { BuildFollowing } from './build-following.ts';
import type { BuildKeeper } from './build-keeper.ts';
import { type BuildOperation, type BuildOperations, endOf } from './build-operations.ts';
import { type BuildDecision, type BuildMemory, decideBuild } from './decide-build.ts';
import { type BuildExecutor, type BuildSecrets, ExecutorUnavailable, type ObservedRun, runOf } from './executor.ts';
import type { ExecutorPool } from './executor-pool.ts';
import type { KubernetesWatches } from './kubernetes-watches.ts';
import type { SlotLedger } from './slot-ledger.ts';
import { Strays } from './strays.ts';

export interface BuildReconcilerOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly watches: KubernetesWatches;
  readonly ledger: SlotLedger;
  readonly pool: ExecutorPool;
  readonly admission: Admission;
  readonly operations: BuildOperations;
  readonly following: BuildFollowing;
  readonly keeper: BuildKeeper;
  /** Digest of the image in the registry, or null. @throws BuildProblem */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
  /** What a build is given in secret. @throws BuildProblem */
  readonly readSecrets: (build: ObservedBuild) => Promise<BuildSecrets>;
  readonly logger: Logger;
}

/** How long a run is waited for before it is started once more. */
const START_AGAIN_MS = 5_000;
/** Between two questions to the registry. */
const CONFIRM_AGAIN_MS = 500;
/** A registry may take a moment to show what was pushed. */
const VISIBLE_MS = 5_000;
/** How long the log of a build that is over is held in memory for those who come late. */
const HELD_MS = 2 * 60_000;
/** For reading and keeping the log of a build that ended while no controller was there. */
const KEEP_MS = 30_000;
/** How long an executor that does not answer can hold up the clean-up of a build that is over. */
const CLEANUP_PATIENCE_MS = 10 * 60_000;

interface Build {
  readonly build: ObservedBuild;
  readonly operation: BuildOperation;
  readonly memory: BuildMemory;
}

/**
 * Moves one build from what is observed to what is wanted, one decision at a time: the counterpart of LabReconciler.
 * Everything may be interrupted anywhere; the next run, in this process or another, observes and decides anew.
 */
export class BuildReconciler {
  readonly #options: BuildReconcilerOptions;
  readonly #strays: Strays;

  constructor(options: BuildReconcilerOptions) {
    this.#options = options;
    this.#strays = new Strays(options);
  }

  /** One run for one build. It throws what may pass: the queue comes back to it. */
  async reconcile(id: string): Promise<Result> {
    const { watches, operations, config } = this.#options;
    const build = watches.job(id);
    if (build === undefined) return this.#clearUp(id);
    const now = Date.now();
    const operation = operations.resume(build, now);
    await this.#makeSureOfEnd(build, operation);
    const memory = this.#remember(build, operation, now);
    const again = await this.#strays.endBeside(build);
    await this.#freeLost(build);
    const timings = { ...config.deadlines, retention: config.retention };
    const result = await this.#act({ build, operation, memory }, decideBuild(build, memory, timings, now));
    return sooner(result, again);
  }

  async #act(lab: Build, decision: BuildDecision): Promise<Result> {
    const { build, operation } = lab;
    switch (decision.do) {
      case 'wait':
        this.#reportPosition(lab);
        return { requeueAfterMs: decision.again };
      case 'take-slot':
        await this.#takeSlot(build);
        return {};
      case 'start':
        return this.#start(lab, decision.again);
      case 'follow':
        operation.log.phase(decision.phase, this.#describe(decision.phase, lab));
        return { requeueAfterMs: decision.again };
      case 'drain':
        return { requeueAfterMs: decision.again };
      case 'move-on':
        return this.#leave(lab, decision.finding);
      case 'confirm':
        return this.#confirm(lab);
      case 'abandon':
        await this.#patch(build, cancelPatch(build, { by: '', reason: 'Abandoned' }));
        return {};
      case 'end':
        await this.#end(lab, { status: decision.status, ...decision.finding, at: Date.now() });
        return {};
      case 'clean-up':
        return this.#cleanUp(lab);
      case 'forget':
        await this.#forget(build);
        return {};
      case 'nothing':
        this.#announce(lab);
        return this.#rest(lab, decision.again);
    }
  }

  /** A run that seems to have ended without a log may only not have been seen: its lines would be lost. */
  async #makeSureOfEnd(build: ObservedBuild, operation: BuildOperation): Promise<void> {
    if (operation.isLate || operation.isSureOfEnd || operation.log.ended) return;
    const { id } = build.spec;
    const executor = this.#executorOf(build);
    const run = executor?.observe(id);
    if (run?.stage !== 'ended' || run.hasLog) return;
    await executor?.lookAgain?.(id);
    operation.isSureOfEnd = true;
  }

  /** What this process knows besides the picture: brings the operation up to date with the run. */
  #remember(build: ObservedBuild, operation: BuildOperation, now: number): BuildMemory {
    const { ledger, config, following } = this.#options;
    const { id } = build.spec;
    const slot = ledger.find(id, build.uid);
    const executor = this.#executorOf(build);
    const run = runOf(executor, build.spec);
    if (run !== undefined) {
      if (operation.stage !== run.stage) operation.stageSince = now;
      operation.stage = run.stage;
      operation.startedAt = run.startedAt ?? operation.startedAt;
      operation.trouble = troubleFor(run.trouble ?? undefined, operation.trouble, now);
      const isToBeRead = run.hasLog && !operation.isLate && !operation.log.ended;
      if (executor !== undefined && isToBeRead) following.ensure(operation, executor);
    }
    const { log, trouble } = operation;
    operation.pushingSince = log.lastPhase === 'pushing' ? (operation.pushingSince ?? now) : null;
    if (log.readers > 0) operation.lastWantedAt = now;
    return {
      slot,
      run,
      hasElsewhere: [...this.#options.pool.places()].some(({ name }) => name !== slot?.executor),
      isUnknown: run === undefined && executor !== undefined && !(executor.isKnown ?? executor.isReady),
      stageSince: operation.stageSince,
      trouble: trouble === null ? null : { ...trouble, forMs: now - trouble.since },
      log: {
        followed: operation.following !== null,
        ended: log.ended,
        drained: operation.following?.isDone === true,
        lastOutputAt: log.lastOutputAt,
        phase: log.lastPhase,
        pushingSince: operation.pushingSince,
        failure: log.failure,
      },
      wantedUntil: log.readers > 0 ? Infinity : operation.lastWantedAt + config.abandonAfter,
      kueue: config.queue.kueue !== undefined,
    };
  }

  /** Where it runs: what its slot says, and the cluster itself for one that somebody has released. */
  #executorOf(build: ObservedBuild): BuildExecutor | undefined {
    const { ledger, pool } = this.#options;
    const slot = ledger.find(build.spec.id, build.uid);
    return slot === undefined ? [...pool.all()].find(({ isHome }) => isHome === true) : pool.get(slot.executor);
  }

  #reportPosition({ build, operation, memory }: Build): void {
    const { admission, pool } = this.#options;
    const position = admission.positionOf(build.spec.id);
    admission.request();
    if (position === null) return;
    const [outage] = pool.places().length === 0 ? pool.outages() : [];
    const why = outage === undefined ? '' : ` No builds can be started at the moment: ${outage.message}.`;
    if (memory.slot !== undefined) return;
    // Whom fairness lets pass is nobody's business: for a person who waits, it goes forward or not at all.
    operation.position = Math.min(position, operation.position ?? position);
    const place = operation.position;
    operation.log.phase('queued', `Waiting for its turn, at place ${String(place)}.${why}`, place);
  }

  async #takeSlot({ spec, uid }: ObservedBuild): Promise<void> {
    const { ledger, pool } = this.#options;
    const [first] = pool.all();
    const home = [...pool.all()].find(({ isHome }) => isHome === true) ?? first;
    const taken = {
      ...{ id: spec.id, uid, user: spec.requestedBy, repository: spec.repository.url },
      ...{ executor: home?.name ?? '', at: Date.now() },
    };
    await ledger.change((slots) => (slots.some((slot) => slot.uid === uid) ? slots : [...slots, taken]));
  }

  async #start({ build, operation, memory }: Build, again: number): Promise<Result> {
    const { pool, readSecrets, config } = this.#options;
    const executor = this.#executorOf(build);
    if (config.queue.kueue === undefined) operation.log.phase('starting', 'Its turn has come.');
    else operation.log.phase('queued', 'Waiting for Kueue to admit it.');
    try {
      if (executor === undefined) throw new ExecutorUnavailable('it is not configured any more');
      await executor.start(build.spec, await readSecrets(build));
      pool.succeeded(executor.name);
      return { requeueAfterMs: Math.min(again, START_AGAIN_MS) };
    } catch (error) {
      if (error instanceof BuildProblem && !error.transient) {
        await this.#end({ build, operation, memory }, { status: 'failed', ...findingOf(error), at: Date.now() });
        return {};
      }
      if (!(error instanceof ExecutorUnavailable)) throw error;
      if (executor !== undefined) pool.failed(executor.name, error);
      await this.#moveOn(build);
      return {};
    }
  }

  /** Its executor takes it and cannot run it. */
  async #leave({ build, operation }: Build, { message }: Finding): Promise<Result> {
    const executor = this.#executorOf(build);
    await executor?.stop(build.spec.id);
    if (executor !== undefined) this.#options.pool.failed(executor.name, new ExecutorUnavailable(message));
    operation.trouble = null;
    await this.#moveOn(build);
    return {};
  }

  /** Its executor cannot start it: the slot is given back, and the build waits for one that can, before all others. */
  async #moveOn({ uid }: ObservedBuild): Promise<void> {
    await this.#options.ledger.change((slots) => slots.filter((slot) => slot.uid !== uid));
    this.#options.admission.request();
  }

  /** The build has done what it should; it is ready when the registry says so. */
  async #confirm(lab: Build): Promise<Result> {
    const { config, findDigest } = this.#options;
    const { build, operation } = lab;
    const now = Date.now();
    operation.confirmingSince ??= now;
    operation.log.phase('confirming', 'Asking the registry for the image.');
    const left = operation.confirmingSince + config.registry.patience - now;
    try {
      const digest = await findDigest(build.spec.image);
      if (digest !== null) {
        await this.#end(lab, { status: 'ready', digest, at: Date.now() });
        return {};
      }
      if (now - operation.confirmingSince < Math.min(VISIBLE_MS, config.registry.patience)) {
        return { requeueAfterMs: CONFIRM_AGAIN_MS };
      }
      const message = 'The build has ended well, but the registry does not have its image.';
      await this.#end(lab, { status: 'failed', reason: 'PushFailed', message, at: Date.now() });
    } catch (error) {
      if (!(error instanceof BuildProblem)) throw error;
      if (error.transient && left > 0) {
        return { requeueAfterMs: Math.min(left, error.retryAfterMs ?? CONFIRM_AGAIN_MS) };
      }
      await this.#end(lab, { status: 'failed', ...findingOf(error), at: Date.now() });
    }
    return {};
  }

  /** Says durably how it ended, once, and then tells readers. */
  async #end({ build, operation, memory }: Build, outcome: BuildResult): Promise<void> {
    const { slot, run } = memory;
    const ran = slot && { executor: slot.executor, node: run?.node ?? null, startedAt: operation.startedAt };
    const result = ran === undefined ? outcome : { ...outcome, ran };
    if (!(await this.#patch(build, resultPatch(build, result)))) return;
    this.#options.logger.info(
      { build: build.spec.id, image: build.spec.image, ...describeResult(result) },
      'build ended',
    );
    operation.log.end(endOf(build.spec, result));
  }

  /** The terminal event, where another controller has written the result. */
  #announce({ build, operation }: Build): void {
    if (build.result !== null) operation.log.end(endOf(build.spec, build.result));
  }

  /** A log that nobody has read for a while is not held in memory until the Job goes. */
  #rest({ build, operation }: Build, again: number | undefined): Result {
    const { log, isLate } = operation;
    const held = build.result !== null && !isLate && log.readers === 0;
    const left = held ? Math.max(build.result.at, operation.lastWantedAt) + HELD_MS - Date.now() : Infinity;
    if (left <= 0) this.#options.operations.release(build, Date.now());
    const next = Math.min(again ?? Infinity, left > 0 ? left : Infinity);
    return next === Infinity ? {} : { requeueAfterMs: next };
  }

  async #cleanUp(lab: Build): Promise<Result> {
    const { ledger, admission, logger, keeper } = this.#options;
    const { build, operation } = lab;
    this.#announce(lab);
    operation.following?.abort.abort();
    // Before what runs it is removed: its log may be nowhere else.
    if (build.result !== null) await keeper.keep(build.result, operation, AbortSignal.timeout(KEEP_MS));
    try {
      await this.#executorOf(build)?.stop(build.spec.id);
    } catch (error) {
      if (Date.now() - (build.result?.at ?? 0) < CLEANUP_PATIENCE_MS) throw error;
      logger.warn(
        { err: error, build: build.spec.id },
        'a build that is over may still run: its executor does not answer',
      );
    }
    await ledger.change((slots) => slots.filter(({ uid }) => uid !== build.uid));
    admission.request();
    return {};
  }

  async #forget({ spec, uid }: ObservedBuild): Promise<void> {
    const { client, namespace } = this.#options;
    const ref = { namespace, name: buildObjectName(spec.id) };
    await client.delete(Jobs, ref, { uid, propagationPolicy: 'Background', priority: 'background' });
  }

  /** A slot of a Job before this one, which has vanished without anybody noticing. The picture may be older than the slot. */
  async #freeLost({ spec, uid, name }: ObservedBuild): Promise<void> {
    const { client, namespace, ledger, watches, admission } = this.#options;
    const { id } = spec;
    if (!ledger.slots.some((slot) => slot.id === id && slot.uid !== uid)) return;
    const found = await client.get(Jobs, { namespace, name });
    if (found === undefined) return;
    watches.observeJob(found);
    await ledger.change((slots) => slots.filter((slot) => slot.id !== id || slot.uid === found.metadata?.uid));
    admission.request();
  }

  /** There is no Job: nothing of it may run or hold a place. The picture may be old, so the cluster is asked once more. */
  async #clearUp(id: string): Promise<Result> {
    const { client, namespace, ledger, pool, operations, admission } = this.#options;
    operations.finish(id);
    const slots = ledger.slots.filter((slot) => slot.id === id);
    const isRunning = [...pool.runsOf(id)].length > 0;
    if (slots.length === 0 && !isRunning) return {};
    const found = await client.get(Jobs, { namespace, name: buildObjectName(id) });
    if (found !== undefined) return {};
    const again = await this.#strays.endAll(id);
    await ledger.change((all) => all.filter((slot) => slot.id !== id));
    admission.request();
    return sooner({}, again);
  }

  /** @returns false when the Job is not as it was seen: it is looked at again then */
  async #patch({ name }: ObservedBuild, patch: object): Promise<boolean> {
    const { client, namespace, watches } = this.#options;
    try {
      watches.observeJob(await client.patch(Jobs, { namespace, name }, patch));
      return true;
    } catch (error) {
      if (!isOutdated(error)) throw error;
      return false;
    }
  }

  #describe(phase: string, { operation, memory }: Build): string {
    if (operation.trouble !== null) return operation.trouble.message;
    const where = memory.run?.node === null || memory.run === undefined ? '' : ` on ${memory.run.node}`;
    return `${SENTENCES[phase] ?? 'The build goes on'}${where}.`;
  }
}

const SENTENCES: Readonly<Record<string, string>> = {
  starting: 'Waiting for news from where it was started',
  scheduling: 'Waiting for a machine',
  pulling: 'Getting ready',
  fetching: 'Fetching the repository',
  building: 'Building the image',
  pushing: 'Pushing the image',
};

function findingOf({ reason, message }: Finding): Finding {
  return { reason, message };
}

function sooner({ requeueAfterMs }: Result, again: number | undefined): Result {
  const next = Math.min(requeueAfterMs ?? Infinity, again ?? Infinity);
  return next === Infinity ? {} : { requeueAfterMs: next };
}

function describeResult(result: BuildResult): object {
  return result.status === 'ready'
    ? { status: result.status, digest: result.digest }
    : { status: result.status, reason: result.reason };
}

export type { ObservedRun };
