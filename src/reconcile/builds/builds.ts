import { LRUCache } from 'lru-cache';
import type { BuildPodBuilder } from '../../builder/build/build-pod-builder.ts';
import { buildObjectName, cancelPatch, isUnderWay } from '../../domain/build/build-intent.ts';
import type { BuildEvent, BuildResult, BuildSpec, BuildState } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { Problem } from '../../domain/problem.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { withTimeout } from '../../util/abort.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import type { Health, Staleness } from '../health.ts';
import { explainKubeError } from '../explain-kube-error.ts';
import type { ReadableLog } from './archive/archived-log.ts';
import type { BuildArchive } from './archive/build-archive.ts';
import type { FinishedLogs } from './archive/finished-logs.ts';
import type { BuildLookup } from './build-lookup.ts';
import { answerProblem } from './build-problems.ts';
import type { BuildRequests, RequestedBuild } from './build-requests.ts';
import type { BuildFilter, BuildRequest, BuildService, RequestedState } from './build-service.ts';
import { buildState, endedState } from './build-state.ts';
import { type BuildOperation, type BuildOperations, endOf } from './controller/build-operations.ts';
import { executorOf } from './controller/build-place.ts';
import type { NamespaceSetup } from '../namespace-setup.ts';
import { runOf } from './executors/executor.ts';
import type { ExecutorPool } from './executors/executor-pool.ts';
import type { BuildCache } from './executors/kubernetes/build-cache.ts';
import { BuildLog } from './log/build-log.ts';
import type { QueueOrder } from './queue/queue-order.ts';
import type { SlotStore } from './queue/slot-store.ts';

export interface BuildsOptions {
  readonly client: KubeClient;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly cache: BuildCache;
  readonly slotStore: SlotStore;
  readonly buildNamespace: Pick<NamespaceSetup, 'provisioned'>;
  readonly pool: ExecutorPool;
  readonly order: Pick<QueueOrder, 'positionOf'>;
  readonly operations: BuildOperations;
  readonly requests: BuildRequests;
  readonly archive: Pick<BuildArchive, 'find' | 'known'>;
  readonly logs: Pick<FinishedLogs, 'load'>;
  readonly lookup: BuildLookup;
  readonly builder: Pick<BuildPodBuilder, 'buildFoundJob'>;
  /** Somebody has begun or stopped to read the events of this build here. */
  readonly onReaders: (id: string) => void;
  /** How long a request waits until the caches are synced, in milliseconds. */
  readonly readyTimeoutMs?: number;
  readonly clock?: Clock;
}

const READY_TIMEOUT_MS = 30_000;
const CANCEL_ATTEMPTS = 5;
/** Images that were found and could not be noted in the cluster: so many are remembered for those who ask for the events. */
const FOUND = 1_000;

/** The builds, as the REST API sees them: reads from the caches of this replica, and writes of intents. */
export class Builds implements BuildService {
  readonly #options: BuildsOptions;
  readonly #clock: Clock;
  readonly #found = new LRUCache<string, { readonly spec: BuildSpec; readonly result: BuildResult }>({ max: FOUND });
  #isPrepared = false;

  constructor(options: BuildsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    void options.buildNamespace.provisioned.then(() => (this.#isPrepared = true));
  }

  isReady(): boolean {
    const { cache, slotStore } = this.#options;
    return cache.isSynced && slotStore.isSynced && this.#isPrepared;
  }

  health(): Health {
    const { cache, slotStore } = this.#options;
    const waitsFor = !cache.isSynced
      ? 'The builds in the cluster are not known yet.'
      : !slotStore.isSynced
        ? 'The admitted builds are not known yet.'
        : 'The build namespace is not prepared yet.';
    const ready = this.isReady();
    return { component: 'builds', ready, message: ready ? undefined : waitsFor };
  }

  get staleness(): Staleness | undefined {
    return this.#options.cache.staleness;
  }

  async ready(): Promise<void> {
    if (this.isReady()) return;
    const { cache, slotStore, buildNamespace, readyTimeoutMs = READY_TIMEOUT_MS } = this.#options;
    const message = 'Labwright does not know the builds in the cluster yet; try again in a moment';
    await withTimeout(
      Promise.all([cache.synced, slotStore.synced, buildNamespace.provisioned]),
      readyTimeoutMs,
      () => new LabwrightError('not_ready', 503, message, { retryAfter: 5, cause: cache.lastError }),
    );
  }

  outages(): readonly { readonly executor: string; readonly message: string }[] {
    return this.#options.pool.outages();
  }

  async request(request: BuildRequest, signal?: AbortSignal): Promise<RequestedState> {
    try {
      return await this.#stateOf(await this.#options.requests.request(request, signal));
    } catch (error) {
      if (error instanceof Problem) throw answerProblem(error);
      return explainKubeError(error);
    }
  }

  list({ username, repository, phase }: BuildFilter = {}): BuildState[] {
    return [...this.#options.cache.jobs()]
      .filter(({ result }) => result?.cached !== true)
      .flatMap(({ spec }) => this.get(spec.id) ?? [])
      .filter(
        (state) =>
          (username === undefined || state.spec.requestedBy === username) &&
          (repository === undefined || state.spec.repository.url === repository) &&
          (phase === undefined || state.phase === phase),
      )
      .sort((left, right) => right.spec.createdAt - left.spec.createdAt);
  }

  async find(id: string, signal?: AbortSignal): Promise<BuildState | undefined> {
    if (this.#foundOf(id) === undefined) {
      await this.#options.lookup.freshen(id, signal).catch((error: unknown) => {
        if (error instanceof LabwrightError) throw error;
        explainKubeError(error);
      });
    }
    return this.get(id);
  }

  get(id: string): BuildState | undefined {
    const { cache, slotStore, order, operations, archive } = this.#options;
    const found = this.#foundOf(id);
    if (found !== undefined) return endedState(found.spec, found.result, true);
    const build = cache.job(id);
    if (build === undefined) {
      const kept = archive.known(id);
      return kept === undefined ? undefined : endedState(kept.spec, kept.result);
    }
    const operation = operations.get(id);
    const run = runOf(executorOf(build, this.#options), build.spec);
    return buildState(build, {
      slot: slotStore.find(id, build.uid),
      run,
      position: order.positionOf(id),
      trouble: run?.trouble ?? null,
      logPhase: (operation?.uid === build.uid ? operation.log.lastPhase : null) ?? build.progress?.phase ?? null,
    });
  }

  async cancel(id: string, by: string): Promise<void> {
    const { client, namespace, cache, lookup } = this.#options;
    await lookup.freshen(id);
    for (let attempt = 1; ; attempt += 1) {
      const build = cache.job(id);
      if (build === undefined) {
        if (this.get(id) !== undefined) return;
        throw new LabwrightError('unknown_build', 404, 'There is no such build');
      }
      if (build.result !== null || build.cancel !== null) return;
      const ref = { namespace, name: buildObjectName(id) };
      try {
        cache.observeJob(await client.patch(Jobs, ref, cancelPatch(build, { by, reason: 'Cancelled' })));
        return;
      } catch (error) {
        if (!isOutdated(error) || attempt === CANCEL_ATTEMPTS) throw error;
        const found = await client.get(Jobs, ref);
        if (found === undefined) cache.forgetJob(id, build.uid);
        else cache.observeJob(found);
      }
    }
  }

  events(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncIterable<BuildEvent> | undefined {
    if (this.get(id) === undefined) return undefined;
    return this.#read(id, lastEventId, signal);
  }

  async log(id: string, signal: AbortSignal): Promise<AsyncIterable<string> | undefined> {
    if ((await this.find(id, signal)) === undefined) return undefined;
    const operation = this.#operationOf(id);
    // A replica that does not follow the build reads what there is, as for one that is over.
    if (operation === undefined || operation.isLate || operation.following !== null) {
      return lines((await this.#logOf(id, operation, signal)).text(signal));
    }
    // It may have been made here just now, for nobody who stays.
    this.#options.onReaders(id);
    return lines((await this.#options.logs.load(id, operation, signal))?.text(signal) ?? []);
  }

  async *#read(id: string, lastEventId: string | undefined, signal: AbortSignal): AsyncGenerator<BuildEvent> {
    const { onReaders } = this.#options;
    const operation = this.#operationOf(id);
    if (operation === undefined) {
      yield* (await this.#logOf(id, operation, signal)).read(lastEventId, signal);
      return;
    }
    operation.readers += 1;
    if (operation.readers === 1) onReaders(id);
    try {
      yield* (await this.#logOf(id, operation, signal)).read(lastEventId, signal);
    } finally {
      operation.readers -= 1;
      operation.leftAt = this.#clock.monotonic();
      if (operation.readers === 0) onReaders(id);
    }
  }

  /** The operation on a build that there is a Job of; it begins here when this replica has not looked at it yet. */
  #operationOf(id: string): BuildOperation | undefined {
    const { operations, cache } = this.#options;
    const build = cache.job(id);
    return build === undefined || this.#foundOf(id) !== undefined ? undefined : operations.resume(build);
  }

  async #logOf(id: string, operation: BuildOperation | undefined, signal: AbortSignal): Promise<ReadableLog> {
    const { archive, logs } = this.#options;
    const found = this.#foundOf(id);
    if (found !== undefined) return endedLog(found.spec, found.result);
    if (operation?.isLate === false) return operation.log;
    const log = await logs.load(id, operation, signal);
    if (log !== undefined) return log;
    const kept = archive.known(id);
    if (kept === undefined) throw new LabwrightError('unknown_build', 404, 'There is no such build any more');
    return endedLog(kept.spec, kept.result);
  }

  /**
   * An image that was found in the registry. The build that made it, as long as it is known, says more: it has a log, and
   * whoever asked for it first may come back to it.
   */
  #foundOf(id: string): { readonly spec: BuildSpec; readonly result: BuildResult } | undefined {
    const { cache, archive } = this.#options;
    const found = this.#found.get(id);
    if (found === undefined) return undefined;
    const build = cache.job(id);
    if (build !== undefined && (isUnderWay(build) || build.spec.createdAt > found.result.at)) return undefined;
    const made = build === undefined ? archive.known(id)?.result : build.result;
    return made !== undefined && made !== null && isSameImage(made, found.result) ? undefined : found;
  }

  async #stateOf(requested: RequestedBuild): Promise<RequestedState> {
    if (requested.found === 'image') {
      const { spec, digest } = requested;
      const result = { status: 'ready' as const, digest, at: this.#clock.now(), cached: true };
      if (!(await this.#noteFound(spec, result))) this.#found.set(spec.id, { spec, result });
      return { ...endedState(spec, result, true), began: false, asked: requested.repository };
    }
    const { spec } = requested.build;
    this.#found.delete(spec.id);
    // What was just written is in the cache.
    const state = this.get(spec.id);
    if (state === undefined)
      throw new LabwrightError('unknown_build', 404, 'The build was removed while it was asked for');
    return { ...state, began: requested.found === 'nothing', asked: requested.repository };
  }

  /**
   * Notes an image that was found as a build that is over, so that every replica, also after a restart, knows the address that
   * the answer names. Nothing runs for it, and it goes after `builds.retention`.
   *
   * @returns whether there is such a note or the build itself; where it cannot be written, the answer is true all the same
   */
  async #noteFound(spec: BuildSpec, result: BuildResult): Promise<boolean> {
    const { client, cache, archive, builder } = this.#options;
    const known = cache.job(spec.id)?.result ?? (await archive.find(spec.id))?.result;
    if (known !== undefined) return isSameImage(known, result);
    try {
      cache.observeJob(await client.create(Jobs, builder.buildFoundJob(spec, result)));
      return true;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      return false;
    }
  }
}

function isSameImage(one: BuildResult, other: BuildResult): boolean {
  return one.status === 'ready' && other.status === 'ready' && one.digest === other.digest;
}

/** The events of a build of which nothing but its end is known: one that did not have to be, or whose log is lost. */
function endedLog(spec: BuildSpec, result: BuildResult): BuildLog {
  const log = new BuildLog(spec.id, { size: 0, createdAt: result.at });
  log.end(endOf(spec, result));
  return log;
}

async function* lines(text: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  let count = 0;
  for await (const line of text) {
    yield `${line}\n`;
    count += 1;
    if (count % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
