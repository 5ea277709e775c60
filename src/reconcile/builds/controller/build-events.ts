import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildSpec } from '../../../domain/build/build.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { StoredBuild } from '../../../storage/archive/log-store.ts';
import type { Result } from '../../work-queue.ts';
import type { BuildArchive } from '../archive/build-archive.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import { runOf } from '../executors/executor.ts';
import type { ExecutorPool } from '../executors/executor-pool.ts';
import type { BuildCache } from '../executors/kubernetes/build-cache.ts';
import type { LogFollowers } from '../log/followers.ts';
import type { QueueOrder } from '../queue/queue-order.ts';
import type { SlotStore } from '../queue/slot-store.ts';
import { type BuildOperation, type BuildOperations, endOf } from './build-operations.ts';
import { executorOf } from './build-place.ts';
import { type BuildView, describeBuild } from './describe-build.ts';

export interface BuildEventsOptions {
  readonly cache: BuildCache;
  readonly slotStore: SlotStore;
  readonly pool: ExecutorPool;
  readonly order: Pick<QueueOrder, 'positionOf'>;
  readonly operations: BuildOperations;
  readonly following: LogFollowers;
  readonly archive: Pick<BuildArchive, 'find'>;
  /** Whether this replica reconciles: it reads all logs, since the archive is given their lines. */
  readonly isLeader: () => boolean;
  readonly kueue: boolean;
  /** How long the lines of a build that is over are held here where they are nowhere else, in milliseconds. */
  readonly heldMs: number;
  readonly clock?: Clock;
}

/** A place in the queue is derived from the builds of others, whose changes wake nobody here. */
const POSITION_AGAIN_MS = 2_000;
/** What nobody reads on this replica is forgotten there after this time: readers come back, and then see the phases as well. */
const IDLE_MS = 30_000;
/** How long the last lines of a build that is over are waited for, before readers are told that some are missing. */
const LAST_LINES_MS = 45_000;
const DRAIN_AGAIN_MS = 1_000;
const LOOK_AGAIN_MS = 50;
/** How long the archive has for one answer about a build whose Job is gone, and how long it is asked again when it fails. */
const ARCHIVE_MS = 5_000;
const ARCHIVE_PATIENCE_MS = 30_000;

/**
 * Tells the readers of this replica what becomes of builds, from its own caches and from the logs of the containers. It
 * writes nothing: what is done is for the replica that leads.
 *
 * | of a build | readers are told |
 * |---|---|
 * | is queued, admitted, runs | where it stands, whenever that changes |
 * | writes a line | the line |
 * | has a result at its Job | what is missing of the lines that its log had then; then the end, once |
 * | has lost its Job | what the archive knows of its end, or that it was deleted |
 */
export class BuildEvents {
  readonly #options: BuildEventsOptions;
  readonly #clock: Clock;

  constructor(options: BuildEventsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Builds that somebody reads here, or whose log is followed. */
  *keys(): Iterable<string> {
    for (const { spec } of this.#options.operations.all()) yield spec.id;
  }

  async reconcile(id: string): Promise<Result> {
    const { cache, operations } = this.#options;
    for (const replaced of operations.replaced(id)) await this.#tellGone(replaced);
    const build = cache.job(id);
    const known = operations.get(id);
    if (known === undefined) return {};
    // It may be another Job of the same id: the one before it is gone.
    if (known.uid !== build?.uid) return this.#tellGone(known);
    const executor = executorOf(build, this.#options);
    this.#followWhereNeeded(build, known, executor);
    const result =
      build.result === null ? this.#tell(build, known, executor) : await this.#tellEnd(build, known, executor);
    return sooner(result, this.#rest(build, known));
  }

  #tell(build: ObservedBuild, operation: BuildOperation, executor: BuildExecutor | undefined): Result {
    const notice = describeBuild(build, this.#view(build, operation, executor));
    if (notice === undefined) return {};
    if (notice.position !== undefined) operation.position = notice.position;
    operation.log.phase(notice.phase, notice.message, notice.position);
    return notice.phase === 'queued' && operation.readers > 0 ? { requeueAfterMs: POSITION_AGAIN_MS } : {};
  }

  #view(build: ObservedBuild, operation: BuildOperation, executor: BuildExecutor | undefined): BuildView {
    const { slotStore, pool, order, kueue } = this.#options;
    const { id } = build.spec;
    const position = order.positionOf(id);
    const run = runOf(executor, build.spec);
    const [outage] = pool.places().length === 0 ? pool.outages() : [];
    return {
      slot: slotStore.find(id, build.uid),
      run,
      isUnknown: run === undefined && executor !== undefined && !(executor.isKnown ?? executor.isReady),
      // Whom fairness lets pass is not told: the number that a person sees does not go up.
      position: position === null ? null : Math.min(position, operation.position ?? position),
      outage: outage?.message,
      isDrained: operation.following?.isDone === true,
      logPhase: operation.log.lastPhase,
      kueue,
    };
  }

  /** The end, when every line is there that the log had then, or when those that are missing do not come. */
  async #tellEnd(
    { spec, result }: ObservedBuild,
    operation: BuildOperation,
    executor: BuildExecutor | undefined,
  ): Promise<Result> {
    const { log } = operation;
    if (result === null || log.ended) return {};
    const isMissing = log.lines < (result.lines ?? (isBeingRead(operation, spec, executor) ? Infinity : 0));
    if (isMissing) {
      const again = await this.#waitForLines(operation, executor);
      if (again !== undefined) return { requeueAfterMs: again };
      if (operation.following?.isDone !== true) log.note('The log could not be read to its end.');
    }
    operation.following?.abort.abort();
    log.end(endOf(spec, result));
    return {};
  }

  /**
   * Whoever led has read lines that this replica has not: they are read to the end here. The cache of pods may be behind that of
   * Jobs, so the pod is asked for once.
   *
   * @returns milliseconds until to look again; undefined when they do not come
   */
  async #waitForLines(operation: BuildOperation, executor: BuildExecutor | undefined): Promise<number | undefined> {
    const { following, spec, overSeenAt } = operation;
    const now = this.#clock.monotonic();
    operation.overSeenAt ??= now;
    if (following === null && overSeenAt === null) {
      await executor?.lookAgain?.(spec.id);
      return LOOK_AGAIN_MS;
    }
    const mayCome = following === null ? runOf(executor, spec)?.hasLog === true : !following.isDone;
    return mayCome && now < operation.overSeenAt + LAST_LINES_MS ? DRAIN_AGAIN_MS : undefined;
  }

  /** Its Job is gone: it was removed after its end, or deleted by somebody. */
  async #tellGone(operation: BuildOperation): Promise<Result> {
    const { operations } = this.#options;
    const kept = operation.log.ended ? undefined : await this.#findKept(operation);
    operations.finish(operation, kept === undefined ? undefined : endOf(operation.spec, kept.result));
    return {};
  }

  /** What the archive knows of it. @throws what the archive does, while there is time to ask it again */
  async #findKept(operation: BuildOperation): Promise<StoredBuild | undefined> {
    const { spec } = operation;
    const now = this.#clock.monotonic();
    operation.overSeenAt ??= now;
    try {
      const kept = await this.#options.archive.find(spec.id, AbortSignal.timeout(ARCHIVE_MS), spec.createdAt);
      return kept?.spec.createdAt === spec.createdAt ? kept : undefined;
    } catch (error) {
      if (now < operation.overSeenAt + ARCHIVE_PATIENCE_MS) throw error;
      return undefined;
    }
  }

  /**
   * On the replica that leads, the reconciler follows: it knows whether a run is the one that is wanted, or one that could not be
   * started as far as it was told and is about to be ended.
   */
  #followWhereNeeded(build: ObservedBuild, operation: BuildOperation, executor: BuildExecutor | undefined): void {
    const { following, isLeader } = this.#options;
    const { log, isLate, readers } = operation;
    if (isLate || log.ended || executor === undefined || readers === 0 || isLeader()) return;
    if (runOf(executor, build.spec)?.hasLog === true) follow(following, operation, executor);
  }

  /** What nobody needs on this replica is not held in its memory. */
  #rest(build: ObservedBuild, operation: BuildOperation): number | undefined {
    const { operations, isLeader } = this.#options;
    if (operation.readers > 0) return undefined;
    const isOver = build.result !== null && operation.log.ended;
    if (isLeader() && !operation.isLate && !(isOver && operation.isArchived)) return undefined;
    const left = operation.leftAt + IDLE_MS - this.#clock.monotonic();
    const held = isOver && !operation.isLate ? this.#heldFor(build) : 0;
    const wait = Math.max(left, held);
    if (wait > 0) return wait;
    operations.drop(operation);
    return undefined;
  }

  /** The log of a build that was stopped while it ran went with its pod; where no archive has it, it is here alone. */
  #heldFor(build: ObservedBuild): number {
    const { heldMs } = this.#options;
    const run = runOf(executorOf(build, this.#options), build.spec);
    if (heldMs === 0 || (run?.stage === 'ended' && run.hasLog)) return 0;
    return (build.result?.at ?? 0) + heldMs - this.#clock.now();
  }
}

function isBeingRead({ following }: BuildOperation, spec: BuildSpec, executor: BuildExecutor | undefined): boolean {
  return following !== null && !following.isDone && runOf(executor, spec)?.stage === 'ended';
}

/** Reads the log of a build here, from where it runs. */
export function follow(following: LogFollowers, operation: BuildOperation, executor: BuildExecutor): void {
  if (operation.following !== null && operation.followedOn !== executor.name) {
    // It runs somewhere else now.
    operation.following.abort.abort();
    operation.following = null;
  }
  operation.followedOn = executor.name;
  following.ensure(operation, executor);
}

function sooner({ requeueAfterMs }: Result, again: number | undefined): Result {
  const next = Math.min(requeueAfterMs ?? Infinity, again ?? Infinity);
  return next === Infinity ? {} : { requeueAfterMs: next };
}
