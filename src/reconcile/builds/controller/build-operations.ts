import type { ObservedBuild } from '../../../domain/build/build-intent.ts';
import { type BuildResult, type BuildSpec, noticeOf } from '../../../domain/build/build.ts';
import { type BuildEnd, BuildLog } from '../log/build-log.ts';
import type { Following } from '../log/followers.ts';
import type { LogBudget } from '../log/log-budget.ts';

/**
 * What this replica tells its readers of one build. All of it can be lost: it is made again from the cluster and from the
 * log of the container, on any replica.
 */
export interface BuildOperation {
  readonly spec: BuildSpec;
  /** Of the Job. */
  readonly uid: string;
  readonly log: BuildLog;
  /** The build was over when this replica first saw it: its lines are read when somebody asks for them. */
  readonly isLate: boolean;
  /** The reading of its log, once there is something to read. */
  following: Following | null;
  /** Name of the executor on which it is read. */
  followedOn: string | null;
  /** Readers on this replica. */
  readers: number;
  /** When the last of them left; milliseconds of the monotonic clock. -Infinity while there was none. */
  leftAt: number;
  /** The lowest position in the queue that readers were told: a number that a person sees does not go up. */
  position: number | null;
  /** When this replica first saw that the build is over, or its Job gone; milliseconds of the monotonic clock. */
  overSeenAt: number | null;
  /** The log is kept in the archive, or cannot be: it is not needed here except by readers. */
  isArchived: boolean;
}

/** What the logs of builds may hold in memory. */
export interface LogBounds {
  /** Most bytes of one log. */
  readonly size: number;
  readonly budget: LogBudget;
}

/** The builds that this replica tells of, by id. */
export class BuildOperations {
  readonly #current = new Map<string, BuildOperation>();
  /** Those whose Job has been replaced by another of the same id, until their readers are told how they ended. */
  readonly #replaced = new Set<BuildOperation>();
  readonly #logs: LogBounds;

  constructor(logs: LogBounds) {
    this.#logs = logs;
  }

  get(id: string): BuildOperation | undefined {
    return this.#current.get(id);
  }

  all(): Iterable<BuildOperation> {
    return this.#current.values();
  }

  /** Operations on earlier Jobs of this id whose readers still have to be told how they ended. */
  replaced(id: string): Iterable<BuildOperation> {
    return [...this.#replaced].filter(({ spec }) => spec.id === id);
  }

  /** The operation on this build. One before it, of another Job, is put by: see `replaced`. */
  resume({ spec, uid, result }: ObservedBuild): BuildOperation {
    const before = this.#current.get(spec.id);
    if (before?.uid === uid) return before;
    if (before !== undefined) this.#replaced.add(before);
    const operation: BuildOperation = {
      spec,
      uid,
      log: new BuildLog(spec.id, { ...this.#logs, createdAt: spec.createdAt }),
      isLate: result !== null,
      following: null,
      followedOn: null,
      readers: 0,
      leftAt: -Infinity,
      position: null,
      overSeenAt: null,
      isArchived: false,
    };
    const notice = noticeOf(spec.repository);
    if (notice !== undefined) operation.log.phase('queued', notice);
    if (result !== null) operation.log.end(endOf(spec, result));
    this.#current.set(spec.id, operation);
    return operation;
  }

  /** Nobody needs it here any more: whoever comes next begins anew. */
  drop(operation: BuildOperation): void {
    const { spec, following, log } = operation;
    following?.abort.abort();
    log.discard();
    if (this.#current.get(spec.id) === operation) this.#current.delete(spec.id);
    this.#replaced.delete(operation);
  }

  /** The Job is gone: readers who still wait get their terminal event. */
  finish(operation: BuildOperation, end: BuildEnd = DELETED): void {
    operation.log.end(end);
    this.drop(operation);
  }
}

const DELETED: BuildEnd = {
  type: 'failed',
  reason: 'DeletedExternally',
  message: 'The build was stopped from outside: its Job was deleted.',
};

/** The terminal event of a build that ended so. */
export function endOf(
  { image, repository }: BuildSpec,
  result: BuildResult,
  cached = result.cached === true,
): BuildEnd {
  if (result.status === 'ready') {
    const sentences = [cached ? 'The image was there already.' : 'The image is built.', noticeOf(repository) ?? ''];
    const message = sentences.join(' ').trim();
    return { type: 'ready', message, image, digest: result.digest, cached };
  }
  const { status: type, reason, message } = result;
  return { type, reason, message };
}
