import { LRUCache } from 'lru-cache';
import { BuildProblem, type BuildSpec } from '../../../../domain/build/build.ts';
import { runContext } from '../../../../util/run-context.ts';
import type { Attempt, BuildSecrets } from '../executor.ts';

export interface DockerStartsOptions {
  /** Makes the container and starts it. */
  readonly start: (spec: BuildSpec, secrets: BuildSecrets, signal: AbortSignal) => Promise<void>;
  /** A start has succeeded, failed or was stopped. */
  readonly onEnd: (id: string) => void;
}

interface Start {
  readonly spec: BuildSpec;
  readonly stopped: AbortController;
  /** Never rejects. */
  done: Promise<void>;
}

interface Failure {
  readonly createdAt: number;
  readonly error: Error;
}

/** Failures of starts, each until its build is asked for again: far more than there are slots. */
const REMEMBERED = 5_000;

/**
 * Starts that go on beside the runs of controllers, since they may have to fetch an image: at most one for a build.
 *
 * | a start | next |
 * |---|---|
 * | goes on | it is the answer to whoever asks for the same attempt again |
 * | has failed | whoever asks for the same attempt next is told so, once; after that it may begin again |
 * | is stopped, or the program stops | nothing is remembered of it |
 */
export class DockerStarts {
  readonly #options: DockerStartsOptions;
  readonly #current = new Map<string, Start>();
  readonly #failed = new LRUCache<string, Failure>({ max: REMEMBERED });
  readonly #over = new AbortController();

  constructor(options: DockerStartsOptions) {
    this.#options = options;
  }

  /** What is being started of this build. */
  find(id: string): BuildSpec | undefined {
    return this.#current.get(id)?.spec;
  }

  *all(): Iterable<BuildSpec> {
    for (const { spec } of this.#current.values()) yield spec;
  }

  /**
   * Begins to start an attempt, unless that goes on already. A start of an earlier attempt is stopped first.
   *
   * @throws what this attempt has failed with before, or the reason of `end`
   */
  begin(spec: BuildSpec, secrets: BuildSecrets): void {
    const { id, createdAt } = spec;
    // That the program stops is no fault of the engine: the build keeps its slot there, and the next leader finds it.
    this.#over.signal.throwIfAborted();
    const failed = this.#failed.get(id);
    this.#failed.delete(id);
    if (failed?.createdAt === createdAt) throw failed.error;
    const before = this.#current.get(id);
    if (before?.spec.createdAt === createdAt) return;
    before?.stopped.abort(stoppedEarly());
    const start: Start = { spec, stopped: new AbortController(), done: Promise.resolve() };
    this.#current.set(id, start);
    // It outlives the run of the controller that asks for it, but not the leadership of that run.
    const mayWrite = runContext.getStore()?.mayWrite ?? (() => true);
    const run = { id: `start ${id}`, signal: start.stopped.signal, mayWrite };
    start.done = runContext.run(run, () => this.#run(start, secrets, before));
  }

  /** Stops the start of this attempt, if there is one, and waits until nothing of it goes on. */
  async stop({ id, createdAt }: Attempt): Promise<void> {
    const start = this.#current.get(id);
    if (start?.spec.createdAt === createdAt) {
      start.stopped.abort(stoppedEarly());
      await start.done;
    }
    if (this.#failed.get(id)?.createdAt === createdAt) this.#failed.delete(id);
  }

  /** Stops all of them: the program stops. */
  async end(reason: unknown): Promise<void> {
    this.#over.abort(reason);
    await Promise.all([...this.#current.values()].map(({ done }) => done));
  }

  async #run(start: Start, secrets: BuildSecrets, before: Start | undefined): Promise<void> {
    const { spec, stopped } = start;
    const signal = AbortSignal.any([stopped.signal, this.#over.signal]);
    try {
      await before?.done;
      signal.throwIfAborted();
      await this.#options.start(spec, secrets, signal);
    } catch (error) {
      // Where another replica leads by now, it begins anew: that is no fault of the engine.
      if (!signal.aborted && runContext.getStore()?.mayWrite() !== false)
        this.#failed.set(spec.id, { createdAt: spec.createdAt, error: error as Error });
    }
    if (this.#current.get(spec.id) === start) this.#current.delete(spec.id);
    this.#options.onEnd(spec.id);
  }
}

function stoppedEarly(): BuildProblem {
  return new BuildProblem({ reason: 'Cancelled', message: 'The build was stopped before it had started.' });
}
