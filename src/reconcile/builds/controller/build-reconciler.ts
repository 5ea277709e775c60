import { cancelPatch, type ObservedBuild } from '../../../domain/build/build-intent.ts';
import { Problem } from '../../../domain/problem.ts';
import type { Finding } from '../../../domain/lab/reasons.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { Run } from '../../controller.ts';
import type { Result } from '../../work-queue.ts';
import { type BuildSecrets, ExecutorUnavailable, runOf } from '../executors/executor.ts';
import type { LogFollowers } from '../log/followers.ts';
import { BuildAttempts } from './build-attempts.ts';
import { follow } from './build-events.ts';
import { type Build, BuildFinalizer, type BuildFinalizerOptions } from './build-finalizer.ts';
import type { BuildOperation, BuildOperations } from './build-operations.ts';
import { executorOf } from './build-place.ts';
import { type BuildDecision, type BuildMemory, decideBuild } from './decide-build.ts';

export interface BuildReconcilerOptions extends BuildFinalizerOptions {
  readonly operations: BuildOperations;
  readonly following: LogFollowers;
  /** What a build is given in secret. @throws {Problem} */
  readonly readSecrets: (build: ObservedBuild) => Promise<BuildSecrets>;
  /** How long the log of a build that is over stays where it ran, in milliseconds. */
  readonly logHeldMs: number;
  /** The readers of this replica may have something to be told. */
  readonly tell: (id: string) => void;
  readonly clock?: Clock;
}

/** How long a run is waited for before it is started once more. */
const START_AGAIN_MS = 5_000;
/** What a build does is noted for other replicas only when it takes longer than this. */
const NOTE_AFTER_MS = 15_000;

/**
 * Moves one build from what is observed to what is wanted, one decision at a time: the counterpart of LabReconciler. It is for
 * the replica that leads. Everything may be interrupted anywhere; the next run, on this replica or another, observes and
 * decides anew.
 */
export class BuildReconciler {
  readonly #options: BuildReconcilerOptions;
  readonly #clock: Clock;
  readonly #attempts: BuildAttempts;
  readonly #finalizer: BuildFinalizer;

  constructor(options: BuildReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#attempts = new BuildAttempts(this.#clock, options.config.abandonAfter);
    this.#finalizer = new BuildFinalizer(options);
  }

  /** This replica leads, for the first time or again: what it remembers of an earlier term may be wrong by now. */
  begin(): void {
    this.#attempts.clear();
  }

  /** Builds with a Job, with a slot, and those that something runs for. */
  *keys(): Iterable<string> {
    const { cache, slotStore, pool } = this.#options;
    for (const { spec } of cache.jobs()) yield spec.id;
    for (const { id } of slotStore.slots) yield id;
    for (const executor of pool.all()) for (const { id } of executor.runs()) yield id;
  }

  /** One run for one build. It throws what may pass: the queue comes back to it. */
  async reconcile(id: string, run: Run): Promise<Result> {
    const { cache, operations, config, logHeldMs, tell } = this.#options;
    const build = cache.job(id);
    if (build === undefined) {
      this.#attempts.forget(id);
      tell(id);
      return {};
    }
    const operation = operations.resume(build);
    tell(id);
    await this.#makeSureOfEnd(build, operation);
    const memory = this.#remember(build, operation);
    const timings = { ...config.deadlines, retention: config.retention, logHeld: logHeldMs };
    const all = { build, operation, attempt: this.#attempts.resume(build), memory, run };
    return this.#act(all, decideBuild(build, memory, timings, this.#clock.now()));
  }

  async #act(all: Build, decision: BuildDecision): Promise<Result> {
    const { build } = all;
    switch (decision.do) {
      case 'wait':
        return { requeueAfterMs: decision.again };
      case 'take-slot':
        await this.#take(build);
        return {};
      case 'start':
        return this.#start(all, decision.again);
      case 'follow':
        return this.#follow(all, decision.again);
      case 'drain':
        return { requeueAfterMs: decision.again };
      case 'move-on':
        return this.#moveOn(all, decision.finding);
      case 'confirm':
        return this.#finalizer.confirm(all);
      case 'abandon':
        await this.#finalizer.patch(build, cancelPatch(build, { by: '', reason: 'Abandoned' }));
        return {};
      case 'end':
        return this.#finalizer.fail(all, decision.finding, decision.status);
      case 'clean-up':
        return this.#finalizer.cleanUp(all);
      case 'remove-run':
        return this.#finalizer.removeRun(all);
      case 'forget':
        return this.#finalizer.forget(all);
      case 'nothing':
        return decision.again === undefined ? {} : { requeueAfterMs: decision.again };
    }
  }

  /** A run that seems to have ended without a log may only not have been seen: its lines would be lost. */
  async #makeSureOfEnd(build: ObservedBuild, operation: BuildOperation): Promise<void> {
    const attempt = this.#attempts.resume(build);
    if (operation.isLate || attempt.isSureOfEnd || build.result !== null) return;
    const { id } = build.spec;
    const executor = executorOf(build, this.#options);
    const run = executor?.observe(id);
    if (run?.stage !== 'ended' || run.hasLog) return;
    await executor?.lookAgain?.(id);
    attempt.isSureOfEnd = true;
  }

  /** What this process knows besides the caches: brings the attempt up to date with the run. */
  #remember(build: ObservedBuild, operation: BuildOperation): BuildMemory {
    const { slotStore, config, following, pool } = this.#options;
    const { id } = build.spec;
    const attempt = this.#attempts.resume(build);
    const slot = slotStore.find(id, build.uid);
    const executor = executorOf(build, this.#options);
    const run = runOf(executor, build.spec);
    attempt.observe(run);
    const { log } = operation;
    // Whoever leads reads every log: the archive is given its lines, and they say what the build does.
    const isToBeRead = run?.hasLog === true && !operation.isLate && !log.ended;
    if (executor !== undefined && isToBeRead) follow(following, operation, executor);
    const now = this.#clock.monotonic();
    const wantedMs = Math.max(attempt.wantedMs, operation.leftAt + config.abandonAfter - now);
    return {
      slot,
      run,
      ageMs: attempt.ageMs,
      slotMs: attempt.slotMs(slot),
      isRemote: executor !== undefined && executor.isLocal !== true,
      hasElsewhere: pool.places().some(({ name }) => name !== slot?.executor),
      isUnknown: run === undefined && executor !== undefined && !(executor.isKnown ?? executor.isReady),
      stageMs: attempt.stageMs,
      trouble: attempt.trouble,
      log: {
        followed: operation.following !== null && !log.ended,
        drained: operation.following?.isDone === true,
        lines: log.lines,
        silentMs: run?.stage === 'running' ? (operation.following?.silentMs ?? 0) : 0,
        phase: log.lastPhase,
        pushingMs: attempt.pushingMs(log.lastPhase),
        failure: log.failure,
        reason: log.failureReason,
      },
      wantedMs: operation.readers > 0 ? Infinity : wantedMs,
      kueue: config.queue.kueue !== undefined,
    };
  }

  async #start(all: Build, again: number): Promise<Result> {
    const { build } = all;
    const { pool, readSecrets } = this.#options;
    const executor = executorOf(build, this.#options);
    try {
      if (executor === undefined) throw new ExecutorUnavailable('it is not configured any more');
      await executor.start(build.spec, await readSecrets(build));
      pool.succeeded(executor.name);
      return { requeueAfterMs: Math.min(again, START_AGAIN_MS) };
    } catch (error) {
      if (error instanceof Problem && !error.transient) return this.#finalizer.fail(all, error);
      if (!(error instanceof ExecutorUnavailable)) throw error;
      if (executor !== undefined) pool.failed(executor.name, error);
      await this.#options.slotStore.release(build.uid);
      return {};
    }
  }

  /** It goes on. What only its log says is noted for the readers of other replicas, where it takes long enough to be asked for. */
  async #follow({ build, memory }: Build, again: number): Promise<Result> {
    const { phase } = memory.log;
    if (phase === null || memory.run?.stage !== 'running' || build.progress?.phase === phase)
      return { requeueAfterMs: again };
    const left = NOTE_AFTER_MS - memory.stageMs;
    if (left > 0) return { requeueAfterMs: Math.min(again, left) };
    await this.#finalizer.note(build, { phase });
    return { requeueAfterMs: again };
  }

  /** Its executor takes it and cannot run it. */
  async #moveOn({ build, attempt }: Build, { message }: Finding): Promise<Result> {
    const executor = executorOf(build, this.#options);
    await executor?.stop(build.spec);
    if (executor !== undefined) this.#options.pool.failed(executor.name, new ExecutorUnavailable(message));
    attempt.forgetRun();
    await this.#options.slotStore.release(build.uid);
    return {};
  }

  /** A build that runs without having been admitted takes a slot all the same. */
  async #take({ spec, uid }: ObservedBuild): Promise<void> {
    const { slotStore, pool } = this.#options;
    const [first] = pool.all();
    const executor = (pool.local ?? first)?.name ?? '';
    const { id, requestedBy: user, repository } = spec;
    await slotStore.take({ id, uid, user, repository: repository.url, executor, at: this.#clock.now() });
  }
}
