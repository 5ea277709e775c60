import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import type { BuildResult, BuildSpec } from '../../../domain/build/build.ts';
import { type LastingTrouble } from '../../labs/operations.ts';
import { type BuildEnd, BuildLog } from '../log/build-log.ts';
import type { Following } from '../log/followers.ts';
import type { LogBudget } from '../log/log-budget.ts';
import type { RunStage } from '../../../domain/build/build-run.ts';

/**
 * What this process remembers of a build. All of it can be lost: the cluster has what is needed to go on, this only tells
 * readers what has happened so far, and since when.
 */
export interface BuildOperation {
  readonly spec: BuildSpec;
  /** Of the Job. */
  readonly uid: string;
  readonly log: BuildLog;
  /** The build was over when this process first saw it: its lines are read when somebody asks for them. */
  readonly isLate: boolean;
  /** The reading of its log, once there is something to read. */
  following: Following | null;
  /** How far the run was at the last look, and since when in milliseconds since the epoch. */
  stage: RunStage | null;
  stageSince: number;
  /** When its container began; milliseconds since the epoch. */
  startedAt: number | null;
  trouble: LastingTrouble | null;
  /** It was made sure that its run has ended without a log. */
  isSureOfEnd: boolean;
  /** The best place in the queue that readers were told. */
  position: number | null;
  /** Milliseconds since the epoch. */
  pushingSince: number | null;
  confirmingSince: number | null;
  /** When somebody was last seen to wait for it; milliseconds since the epoch. */
  lastWantedAt: number;
}

/** After a restart, who waited for a build has so long to come back before the time begins in which nobody waits. */
const COMING_BACK_MS = 30_000;

/** What the logs of builds may hold in memory. */
export interface LogBounds {
  /** Most bytes of one log. */
  readonly size: number;
  readonly budget: LogBudget;
}

/** The builds this process knows of, by id. */
export class BuildOperations {
  readonly #current = new Map<string, BuildOperation>();
  readonly #logs: LogBounds;
  readonly #startedAt = Date.now();

  constructor(logs: LogBounds) {
    this.#logs = logs;
  }

  get(id: string): BuildOperation | undefined {
    return this.#current.get(id);
  }

  all(): Iterable<BuildOperation> {
    return this.#current.values();
  }

  /** The operation on this build. Readers of one before it, of another Job, get their terminal event. */
  resume({ spec, uid, result }: ObservedBuild, now: number): BuildOperation {
    const before = this.#current.get(spec.id);
    if (before?.uid === uid) return before;
    if (before !== undefined) this.finish(spec.id);
    return this.#begin(spec, uid, result, now);
  }

  /** The build is over and its log is kept elsewhere: whoever still wants it reads it there. */
  release({ spec, uid, result }: ObservedBuild, now: number): void {
    if (this.#current.get(spec.id)?.uid === uid && result !== null) this.#begin(spec, uid, result, now);
  }

  #begin(spec: BuildSpec, uid: string, result: BuildResult | null, now: number): BuildOperation {
    const operation: BuildOperation = {
      spec,
      uid,
      log: new BuildLog(spec.id, { ...this.#logs, createdAt: spec.createdAt }),
      isLate: result !== null,
      following: null,
      stage: null,
      stageSince: now,
      startedAt: null,
      trouble: null,
      isSureOfEnd: false,
      position: null,
      pushingSince: null,
      confirmingSince: null,
      lastWantedAt: spec.createdAt < this.#startedAt ? now + COMING_BACK_MS : 0,
    };
    if (result !== null) operation.log.end(endOf(spec, result));
    this.#current.get(spec.id)?.log.discard();
    this.#current.set(spec.id, operation);
    return operation;
  }

  /** The Job is gone: readers who still wait get their terminal event. */
  finish(id: string): BuildOperation | undefined {
    const operation = this.#current.get(id);
    if (operation === undefined) return undefined;
    operation.following?.abort.abort();
    operation.log.end({
      type: 'failed',
      reason: 'DeletedExternally',
      message: 'The build was stopped from outside: its Job was deleted.',
    });
    operation.log.discard();
    this.#current.delete(id);
    return operation;
  }
}

/** The terminal event of a build that ended so. */
export function endOf({ image }: BuildSpec, result: BuildResult, cached = false): BuildEnd {
  if (result.status === 'ready') {
    const message = cached ? 'The image was there already.' : 'The image is built.';
    return { type: 'ready', message, image, digest: result.digest, cached };
  }
  const { status: type, reason, message } = result;
  return { type, reason, message };
}
