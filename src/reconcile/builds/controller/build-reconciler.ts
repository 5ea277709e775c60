import { buildObjectName, cancelPatch, type ObservedBuild } from '../../../domain/build/build-intent.ts';
import { BuildProblem } from '../../../domain/build/build.ts';
import type { Finding } from '../../../domain/lab/reasons.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import { troubleFor } from '../../labs/operations.ts';
import type { Result } from '../../work-queue.ts';
import type { Admission } from '../queue/admission.ts';
import { type Build, BuildEnding, type BuildEndingOptions } from './build-ending.ts';
import type { LogFollowers } from '../log/followers.ts';
import type { BuildOperation } from './build-operations.ts';
import { BuildTurns } from '../queue/build-turns.ts';
import { type BuildDecision, type BuildMemory, decideBuild } from './decide-build.ts';
import { type BuildSecrets, ExecutorUnavailable, runOf } from '../executors/executor.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { SlotLedger } from '../queue/slot-ledger.ts';
import { Strays } from '../executors/strays.ts';

export interface BuildReconcilerOptions extends BuildEndingOptions {
  readonly ledger: SlotLedger;
  readonly pool: ExecutorPool;
  readonly admission: Admission;
  readonly following: LogFollowers;
  /** What a build is given in secret. @throws BuildProblem */
  readonly readSecrets: (build: ObservedBuild) => Promise<BuildSecrets>;
}

/** How long a run is waited for before it is started once more. */
const START_AGAIN_MS = 5_000;
/**
 * Moves one build from what is observed to what is wanted, one decision at a time: the counterpart of LabReconciler.
 * Everything may be interrupted anywhere; the next run, in this process or another, observes and decides anew.
 */
export class BuildReconciler {
  readonly #options: BuildReconcilerOptions;
  readonly #strays: Strays;
  readonly #turns: BuildTurns;
  readonly #ending: BuildEnding;

  constructor(options: BuildReconcilerOptions) {
    this.#options = options;
    this.#strays = new Strays(options);
    this.#turns = new BuildTurns(options);
    this.#ending = new BuildEnding(options, this.#turns);
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
    await this.#turns.freeLost(build);
    const timings = { ...config.deadlines, retention: config.retention };
    const result = await this.#act({ build, operation, memory }, decideBuild(build, memory, timings, now));
    return sooner(result, again);
  }

  async #act(all: Build, decision: BuildDecision): Promise<Result> {
    const { build, operation } = all;
    switch (decision.do) {
      case 'wait':
        this.#reportPosition(all);
        return { requeueAfterMs: decision.again };
      case 'take-slot':
        await this.#turns.take(build);
        return {};
      case 'start':
        return this.#start(all, decision.again);
      case 'follow':
        operation.log.phase(decision.phase, describePhase(decision.phase, all));
        return { requeueAfterMs: decision.again };
      case 'drain':
        return { requeueAfterMs: decision.again };
      case 'move-on':
        return this.#moveOn(all, decision.finding);
      case 'confirm':
        return this.#ending.confirm(all);
      case 'abandon':
        await this.#ending.patch(build, cancelPatch(build, { by: '', reason: 'Abandoned' }));
        return {};
      case 'end':
        return this.#ending.fail(all, decision.finding, decision.status);
      case 'clean-up':
        return this.#ending.cleanUp(all);
      case 'forget':
        return this.#ending.forget(build);
      case 'nothing':
        return this.#ending.rest(all, decision.again);
    }
  }

  /** A run that seems to have ended without a log may only not have been seen: its lines would be lost. */
  async #makeSureOfEnd(build: ObservedBuild, operation: BuildOperation): Promise<void> {
    if (operation.isLate || operation.isSureOfEnd || operation.log.ended) return;
    const { id } = build.spec;
    const executor = this.#turns.executorOf(build);
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
    const executor = this.#turns.executorOf(build);
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

  async #start(all: Build, again: number): Promise<Result> {
    const { build, operation } = all;
    const { pool, readSecrets, config } = this.#options;
    const executor = this.#turns.executorOf(build);
    if (config.queue.kueue === undefined) operation.log.phase('starting', 'Its turn has come.');
    else operation.log.phase('queued', 'Waiting for Kueue to admit it.');
    try {
      if (executor === undefined) throw new ExecutorUnavailable('it is not configured any more');
      await executor.start(build.spec, await readSecrets(build));
      pool.succeeded(executor.name);
      return { requeueAfterMs: Math.min(again, START_AGAIN_MS) };
    } catch (error) {
      if (error instanceof BuildProblem && !error.transient) return this.#ending.fail(all, error);
      if (!(error instanceof ExecutorUnavailable)) throw error;
      if (executor !== undefined) pool.failed(executor.name, error);
      await this.#turns.giveBack(build);
      return {};
    }
  }

  /** Its executor takes it and cannot run it. */
  async #moveOn({ build, operation }: Build, { message }: Finding): Promise<Result> {
    const executor = this.#turns.executorOf(build);
    await executor?.stop(build.spec.id);
    if (executor !== undefined) this.#options.pool.failed(executor.name, new ExecutorUnavailable(message));
    operation.trouble = null;
    await this.#turns.giveBack(build);
    return {};
  }

  /** There is no Job: nothing of it may run or hold a place. The picture may be old, so the cluster is asked once more. */
  async #clearUp(id: string): Promise<Result> {
    const { client, namespace, ledger, pool, operations } = this.#options;
    operations.finish(id);
    const slots = ledger.slots.filter((slot) => slot.id === id);
    const isRunning = [...pool.runsOf(id)].length > 0;
    if (slots.length === 0 && !isRunning) return {};
    const found = await client.get(Jobs, { namespace, name: buildObjectName(id) });
    if (found !== undefined) return {};
    const again = await this.#strays.endAll(id);
    await this.#turns.freeAll(id);
    return sooner({}, again);
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

function describePhase(phase: string, { operation, memory }: Build): string {
  if (operation.trouble !== null) return operation.trouble.message;
  const where = memory.run?.node === null || memory.run === undefined ? '' : ` on ${memory.run.node}`;
  return `${SENTENCES[phase] ?? 'The build goes on'}${where}.`;
}

function sooner({ requeueAfterMs }: Result, again: number | undefined): Result {
  const next = Math.min(requeueAfterMs ?? Infinity, again ?? Infinity);
  return next === Infinity ? {} : { requeueAfterMs: next };
}
