import { LRUCache } from 'lru-cache';
import { buildObjectName, cancelPatch } from '../../domain/build/build-intent.ts';
import {
  BuildProblem,
  type BuildEvent,
  type BuildResult,
  type BuildSpec,
  type BuildState,
} from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { unlessLate } from '../../util/unless-late.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { explainKubeError } from '../explain-kube-error.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import type { Admission } from './queue/admission.ts';
import type { BuildKeeper } from './archive/build-keeper.ts';
import { BuildLog } from './log/build-log.ts';
import { type BuildOperation, type BuildOperations, endOf } from './controller/build-operations.ts';
import { answerProblem } from './build-problems.ts';
import { type BuildRequests, isUnderWay, type RequestedBuild } from './build-requests.ts';
import type { BuildFilter, BuildRequest, BuildService, RequestedState } from './build-service.ts';
import { buildState, endedState } from './build-state.ts';
import { runOf } from './executors/executor.ts';
import type { ExecutorPool } from './executors/executor-pool.ts';
import type { GroundKeeper } from './controller/ground-keeper.ts';
import type { KubernetesWatches } from './executors/kubernetes/kubernetes-watches.ts';
import type { SlotLedger } from './queue/slot-ledger.ts';

export interface BuildsOptions {
  readonly client: KubeClient;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly watches: KubernetesWatches;
  readonly ledger: SlotLedger;
  readonly ground: GroundKeeper;
  readonly pool: ExecutorPool;
  readonly admission: Admission;
  readonly operations: BuildOperations;
  readonly requests: BuildRequests;
  readonly keeper: BuildKeeper;
  /** Look at this build again. */
  readonly wake: (id: string) => void;
  /** How long a request waits for the first complete picture, in milliseconds. */
  readonly readyTimeoutMs?: number;
}

const READY_TIMEOUT_MS = 30_000;
const CANCEL_ATTEMPTS = 5;
/** Images that were found and not built: so many are remembered for those who ask for the events. */
const FOUND = 1_000;

/** The builds, as the REST API sees them: reads from the picture, and writes of intents. */
export class Builds implements BuildService {
  readonly #options: BuildsOptions;
  readonly #found = new LRUCache<string, { readonly spec: BuildSpec; readonly result: BuildResult }>({ max: FOUND });

  constructor(options: BuildsOptions) {
    this.#options = options;
  }

  isReady(): boolean {
    const { watches, ledger, ground } = this.#options;
    return watches.isReady && ledger.isReady && ground.isLaid;
  }

  async ready(): Promise<void> {
    if (this.isReady()) return;
    const { watches, ledger, ground, readyTimeoutMs = READY_TIMEOUT_MS } = this.#options;
    const message = 'Labwright does not know the builds in the cluster yet; try again in a moment';
    await unlessLate(
      Promise.all([watches.ready, ledger.ready, ground.laid]),
      readyTimeoutMs,
      () => new LabwrightError('not_ready', 503, message, { retryAfter: 5, cause: watches.lastError }),
    );
  }

  outages(): readonly { readonly executor: string; readonly message: string }[] {
    return this.#options.pool.outages();
  }

  async request(request: BuildRequest, signal?: AbortSignal): Promise<RequestedState> {
    try {
      return this.#stateOf(await this.#options.requests.request(request, signal));
    } catch (error) {
      if (error instanceof BuildProblem) throw answerProblem(error);
      return explainKubeError(error);
    }
  }

  list({ username, repository, phase }: BuildFilter = {}): BuildState[] {
    return [...this.#options.watches.jobs()]
      .flatMap(({ spec }) => this.get(spec.id) ?? [])
      .filter(
        (state) =>
          (username === undefined || state.spec.requestedBy === username) &&
          (repository === undefined || state.spec.repository.url === repository) &&
          (phase === undefined || state.phase === phase),
      )
      .sort((left, right) => right.spec.createdAt - left.spec.createdAt);
  }

  get(id: string): BuildState | undefined {
    const { watches, ledger, pool, admission, operations, keeper } = this.#options;
    const found = this.#foundOf(id);
    if (found !== undefined) return endedState(found.spec, found.result, true);
    const build = watches.job(id);
    if (build === undefined) {
      const kept = keeper.find(id);
      return kept === undefined ? undefined : endedState(kept.spec, kept.result);
    }
    const slot = ledger.find(id, build.uid);
    const operation = operations.get(id);
    return buildState(build, {
      slot,
      run: slot === undefined ? undefined : runOf(pool.get(slot.executor), build.spec),
      position: admission.positionOf(id),
      trouble: operation?.trouble ?? null,
      logPhase: operation?.log.lastPhase ?? null,
    });
  }

  async cancel(id: string, by: string): Promise<void> {
    const { client, namespace, watches } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      const build = watches.job(id);
      if (build === undefined) {
        if (this.get(id) !== undefined) return;
        throw new LabwrightError('unknown_build', 404, 'There is no such build');
      }
      if (build.result !== null || build.cancel !== null) return;
      const ref = { namespace, name: buildObjectName(id) };
      try {
        watches.observeJob(await client.patch(Jobs, ref, cancelPatch(build, { by, reason: 'Cancelled' })));
        return;
      } catch (error) {
        if (!isOutdated(error) || attempt === CANCEL_ATTEMPTS) throw error;
        const found = await client.get(Jobs, ref);
        if (found === undefined) watches.forgetJob(id, build.uid);
        else watches.observeJob(found);
      }
    }
  }

  events(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<BuildEvent> | undefined {
    if (this.get(id) === undefined) return undefined;
    return this.#read(id, lastEventId, signal);
  }

  async log(id: string, signal: AbortSignal): Promise<AsyncIterable<string> | undefined> {
    if (this.get(id) === undefined) return undefined;
    return lines((await this.#logOf(id, this.#operationOf(id), signal)).text());
  }

  async *#read(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    const operation = this.#operationOf(id);
    const log = await this.#logOf(id, operation, signal);
    try {
      yield* log.read(lastEventId, signal);
    } finally {
      if (operation !== undefined) {
        operation.lastWantedAt = Date.now();
        this.#options.wake(id);
      }
    }
  }

  /** The operation on a build that there is a Job of; it begins here when this process has not looked at it yet. */
  #operationOf(id: string): BuildOperation | undefined {
    const { operations, watches } = this.#options;
    const build = watches.job(id);
    return build === undefined || this.#foundOf(id) !== undefined ? undefined : operations.resume(build, Date.now());
  }

  async #logOf(id: string, operation: BuildOperation | undefined, signal: AbortSignal): Promise<BuildLog> {
    const { keeper } = this.#options;
    const found = this.#foundOf(id);
    if (found !== undefined) return endedLog(found.spec, found.result, true);
    if (operation?.isLate === false) return operation.log;
    const log = await keeper.load(id, operation, signal);
    if (log !== undefined) return log;
    const kept = keeper.find(id);
    if (kept === undefined) throw new LabwrightError('unknown_build', 404, 'There is no such build any more');
    return endedLog(kept.spec, kept.result, false);
  }

  /**
   * An image that was found in the registry. The build that made it, as long as it is known, says more: it has a log, and
   * whoever asked for it first may come back to it.
   */
  #foundOf(id: string): { readonly spec: BuildSpec; readonly result: BuildResult } | undefined {
    const { watches, keeper } = this.#options;
    const found = this.#found.get(id);
    if (found === undefined) return undefined;
    const build = watches.job(id);
    if (build !== undefined && (isUnderWay(build) || build.spec.createdAt > found.result.at)) return undefined;
    const made = build === undefined ? keeper.find(id)?.result : build.result;
    return made !== undefined && made !== null && isSameImage(made, found.result) ? undefined : found;
  }

  #stateOf(requested: RequestedBuild): RequestedState {
    if (requested.found === 'image') {
      const { spec, digest } = requested;
      const result = { status: 'ready' as const, digest, at: Date.now() };
      this.#found.set(spec.id, { spec, result });
      return { ...endedState(spec, result, true), began: false };
    }
    const { spec } = requested.build;
    this.#found.delete(spec.id);
    // What was just written is in the picture.
    const state = this.get(spec.id);
    if (state === undefined)
      throw new LabwrightError('unknown_build', 404, 'The build was removed while it was asked for');
    return { ...state, began: requested.found === 'nothing' };
  }
}

function isSameImage(one: BuildResult, other: BuildResult): boolean {
  return one.status === 'ready' && other.status === 'ready' && one.digest === other.digest;
}

/** The events of a build of which nothing but its end is known: one that did not have to be, or whose log is lost. */
function endedLog(spec: BuildSpec, result: BuildResult, cached: boolean): BuildLog {
  const log = new BuildLog(spec.id, { size: 0, createdAt: result.at });
  log.end(endOf(spec, result, cached));
  return log;
}

async function* lines(text: Iterable<string>): AsyncGenerator<string> {
  let count = 0;
  for (const line of text) {
    yield `${line}\n`;
    count += 1;
    if (count % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
