import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { BuildResult, BuildSpec } from '../../../domain/build/build.ts';
import { SharedWork } from '../../../util/shared-work.ts';
import { BuildLog, type KeptLine } from '../log/build-log.ts';
import { type BuildOperation, endOf } from '../controller/build-operations.ts';
import type { BuildExecutor } from '../executors/executor.ts';
import { LogFollower, type LogFollowerOptions } from '../log/log-follower.ts';

/** How a build ended, with what it said. */
export interface KeptBuild {
  readonly spec: BuildSpec;
  readonly result: BuildResult;
}

/** Where builds that are over are kept. */
export interface BuildStore {
  find(id: string): KeptBuild | undefined;
  /** As `find`, and looks at the files: another replica may have saved it. */
  lookUp(id: string): Promise<KeptBuild | undefined>;
  save(id: string, build: KeptBuild & { readonly lines: Iterable<KeptLine> }): Promise<void>;
  load(id: string): Promise<(KeptBuild & { readonly lines: AsyncIterable<KeptLine> }) | undefined>;
}

export interface BuildKeeperOptions {
  /** Absent: a log is had as long as its pod is there. */
  readonly store: BuildStore | undefined;
  /** Reads the log of a pod that is still there. */
  readonly executors: () => Iterable<BuildExecutor>;
  /** Most bytes of one log. */
  readonly size: number;
  readonly logger: Logger;
}

/** Logs that somebody has asked for lately. */
const READ_LATELY = 16;

/** The logs of builds that are over, from wherever they still are. */
export class BuildKeeper {
  readonly #options: BuildKeeperOptions;
  readonly #lately = new LRUCache<string, BuildLog>({ max: READ_LATELY });
  /** However many come for a log at once, it is read once: it may be long, and they all come after a restart. */
  readonly #reading = new SharedWork<BuildLog | undefined>();

  constructor(options: BuildKeeperOptions) {
    this.#options = options;
  }

  find(id: string): KeptBuild | undefined {
    return this.#options.store?.find(id);
  }

  /** As `find`, and looks at the files: another replica may have saved it. */
  async lookUp(id: string): Promise<KeptBuild | undefined> {
    return this.#options.store?.lookUp(id);
  }

  /** Keeps a build that is over, once. @throws when it cannot be saved: the caller tries again */
  async keep(result: BuildResult, operation: BuildOperation, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const { spec, isLate } = operation;
    if (store === undefined || (await store.lookUp(spec.id))?.spec.createdAt === spec.createdAt) return;
    const log = isLate ? await this.#readPod(operation, signal) : operation.log;
    await store.save(spec.id, { spec, result, lines: log.stored() });
  }

  /** The log of a build that was over before this process knew of it. */
  async load(id: string, operation: BuildOperation | undefined, signal: AbortSignal): Promise<BuildLog | undefined> {
    const key = keyOf(id, operation?.uid ?? '');
    return this.#lately.get(key) ?? this.#reading.do(key, signal, (reading) => this.#load(id, operation, reading));
  }

  async #load(id: string, operation: BuildOperation | undefined, signal: AbortSignal): Promise<BuildLog | undefined> {
    const kept = await this.#options.store?.load(id);
    const isSame = operation === undefined || kept?.spec.createdAt === operation.spec.createdAt;
    if (kept === undefined || !isSame) return operation === undefined ? undefined : this.#readPod(operation, signal);
    const log = await BuildLog.restore(id, kept.lines, endOf(kept.spec, kept.result), this.#optionsOf(kept.spec));
    this.#lately.set(keyOf(id, operation?.uid ?? ''), log);
    return log;
  }

  async #readPod({ spec, log: ended, uid }: BuildOperation, signal: AbortSignal): Promise<BuildLog> {
    let isWhole = true;
    const log = new BuildLog(spec.id, this.#optionsOf(spec));
    const executor = [...this.#options.executors()].find((candidate) => candidate.observe(spec.id)?.hasLog === true);
    if (executor !== undefined) {
      const open: LogFollowerOptions['open'] = (position, reading) => executor.openLog(spec.id, position, reading);
      const { logger } = this.#options;
      const follower = new LogFollower({ open, log, isOver: () => true, onOutput: () => undefined, logger });
      await follower.run(signal);
      if (!follower.drained) isWhole = false;
    }
    // One that goes on is read as far as it is there.
    if (!ended.ended) return log;
    for await (const event of ended.read(undefined, signal)) {
      if (event.type === 'ready' || event.type === 'failed' || event.type === 'cancelled') log.end(event);
    }
    if (isWhole) this.#lately.set(keyOf(spec.id, uid), log);
    return log;
  }

  #optionsOf({ createdAt }: BuildSpec) {
    return { size: this.#options.size, createdAt };
  }
}

function keyOf(id: string, uid: string): string {
  return `${id}/${uid}`;
}
