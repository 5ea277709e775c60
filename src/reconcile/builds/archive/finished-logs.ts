import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { BuildResult } from '../../../domain/build/build.ts';
import { Memo } from '../../../util/memo.ts';
import type { BuildOperation } from '../controller/build-operations.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import { BuildLog } from '../log/build-log.ts';
import { LogFollower, type LogFollowerOptions } from '../log/follower.ts';
import type { LogBudget } from '../log/log-budget.ts';
import type { ReadableLog } from './archived-log.ts';
import type { BuildArchive } from './build-archive.ts';

export interface FinishedLogsOptions {
  readonly archive: BuildArchive;
  /** Those that may have the log of a run that is still there. */
  readonly executors: () => Iterable<BuildExecutor>;
  /** Most bytes of one log. */
  readonly size: number;
  readonly budget: LogBudget;
  readonly logger: Logger;
}

/** Logs that were read from their pods lately, since they were not in the archive. */
const READ_LATELY = 16;
/** How long they are held for the next reader, in milliseconds. */
const HELD_MS = 60_000;
const OVER = AbortSignal.abort();

/** The logs of builds that were over before this process knew of them, from the archive or from what ran the build. */
export class FinishedLogs {
  readonly #options: FinishedLogsOptions;
  readonly #lately = new LRUCache<string, BuildLog>({
    max: READ_LATELY,
    ttl: HELD_MS,
    ttlAutopurge: true,
    dispose: (log) => log.discard(),
  });
  /** However many come for a log at once, it is read once: it may be long, and they all come after a restart. */
  readonly #reading = new Memo<BuildLog>();

  constructor(options: FinishedLogsOptions) {
    this.#options = options;
  }

  /**
   * Archives a build that is over, with its log, once.
   *
   * @throws {ArchiveUnavailable} when it can be tried again: what runs the build may hold the only copy
   * @throws the signal's reason when it aborts
   */
  async save(result: BuildResult, operation: BuildOperation, signal: AbortSignal): Promise<void> {
    const { spec, isLate } = operation;
    const read = async (reading: AbortSignal) =>
      (isLate ? await this.#readRun(operation, reading) : operation.log).stored();
    await this.#options.archive.save({ spec, result }, read, signal);
  }

  /**
   * The log of a build that is over, or what there is by now of one that goes on and is not followed here.
   *
   * @throws {LabwrightError} when the archive does not answer
   */
  async load(id: string, operation: BuildOperation | undefined, signal: AbortSignal): Promise<ReadableLog | undefined> {
    const { archive } = this.#options;
    const goesOn = operation?.log.ended === false && operation.overSeenAt === null;
    const found = goesOn ? undefined : await archive.find(id, signal, operation?.spec.createdAt);
    if (found !== undefined) return archive.log(found);
    return operation === undefined ? undefined : this.#readRun(operation, signal);
  }

  #readRun(operation: BuildOperation, signal: AbortSignal): Promise<BuildLog> {
    const key = `${operation.spec.id}/${operation.uid}`;
    const lately = this.#lately.get(key);
    if (lately !== undefined) return Promise.resolve(lately);
    return this.#reading.get(key, signal, (reading) => this.#follow(key, operation, reading));
  }

  async #follow(key: string, { spec, log: ended }: BuildOperation, signal: AbortSignal): Promise<BuildLog> {
    const { executors, size, budget, logger } = this.#options;
    const log = new BuildLog(spec.id, { size, budget, createdAt: spec.createdAt });
    const executor = [...executors()].find((candidate) => candidate.observe(spec.id)?.hasLog === true);
    let isWhole = true;
    if (executor !== undefined) {
      const open: LogFollowerOptions['open'] = (position, reading) => executor.openLog(spec.id, position, reading);
      const follower = new LogFollower({ open, log, over: OVER, logger });
      await follower.run(signal);
      isWhole = follower.drained;
    }
    if (!ended.ended) {
      log.discard();
      return log;
    }
    // Its end is known already.
    for await (const event of ended.read(undefined, signal)) {
      if (event.type === 'ready' || event.type === 'failed' || event.type === 'cancelled') log.end(event);
    }
    if (isWhole && !signal.aborted) this.#lately.set(key, log);
    else log.discard();
    return log;
  }
}
