import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { wantedPatch } from '../../../domain/build/build-intent.ts';
import { BuildPodBuilder } from '../../../builder/build/build-pod-builder.ts';
import type { BuildsConfig } from '../../../config/config.ts';
import type { Repository, ResolvedRepository } from '../../../domain/build/build.ts';
import { rankNodes } from '../../../domain/build/rendezvous-hash.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import type { Controller, Session } from '../../controller.ts';
import type { Cache } from '../../health.ts';
import { WorkQueue } from '../../work-queue.ts';
import { ADMISSION, buildAdmission } from '../queue/admission.ts';
import { QueueOrder } from '../queue/queue-order.ts';
import { buildOrphans } from '../executors/orphaned-runs.ts';
import { BuildFollowing } from '../log/build-following.ts';
import { BuildKeeper, type BuildStore } from '../archive/build-keeper.ts';
import { BuildOperations } from './build-operations.ts';
import { BuildReconciler } from './build-reconciler.ts';
import { BuildRequests } from '../build-requests.ts';
import { Builds } from '../builds.ts';
import type { BuildExecutor, BuildSecrets } from '../executors/executor.ts';
import { ExecutorPool } from '../executors/executor-pool.ts';
import { BuildNamespace } from '../build-namespace.ts';
import { KubernetesWatches } from '../executors/kubernetes/kubernetes-watches.ts';
import { SlotStore } from '../queue/slot-store.ts';

/** What a build needs from outside of the cluster. */
export interface BuildSources {
  /** @param asker user for whom it is asked, unless it is somebody who asks for many. @throws BuildProblem */
  readonly resolve: (
    repository: Repository,
    ref: string,
    signal?: AbortSignal,
    asker?: string,
  ) => Promise<ResolvedRepository>;
  /** Digest of an image in the registry, or null. @throws BuildProblem */
  readonly findDigest: (image: string, signal?: AbortSignal) => Promise<string | null>;
  /** What the build of a repository is given in secret. @throws BuildProblem */
  readonly readSecrets: (repository: Repository) => Promise<BuildSecrets>;
}

/** What the makers of executors are given. */
export interface ExecutorSetup {
  /** The Jobs of this cluster, where all intents are. */
  readonly watches: KubernetesWatches;
  /** Something about this build has changed. */
  readonly onChange: (id: string) => void;
  /** An executor is ready, for the first time or again: builds may start there, or have been found there. */
  readonly onReady: () => void;
}

export interface BuildControllerOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly sources: BuildSources;
  readonly makeExecutors: (setup: ExecutorSetup) => readonly BuildExecutor[];
  readonly store: BuildStore | undefined;
  /** Builds worked on at once. */
  readonly concurrency: number;
  readonly logger: Logger;
  /** How long an executor that cannot start builds is left alone the first time, in milliseconds. */
  readonly quarantineMs?: number | undefined;
}

/** Every build is looked at so often even if nothing seems to happen: a net under everything else. */
const RESYNC_MS = 10 * 60_000;
const BACKOFF_MS = 5_000;
/** Readers come and go; what they leave behind is at most so much too old. */
const LONGEST_RENEWAL_MS = 60_000;
const SHORTEST_RENEWAL_MS = 1_000;

/** All that keeps builds as they are wanted, in one piece; the counterpart of LabController. */
export class BuildController {
  readonly builds: Builds;
  readonly watches: KubernetesWatches;
  readonly pool: ExecutorPool;
  readonly #options: BuildControllerOptions;
  readonly #queue: WorkQueue;
  readonly #slotStore: SlotStore;
  readonly #order: QueueOrder;
  readonly #controllers: readonly Controller[];
  readonly #orphans: Controller;
  readonly #operations: BuildOperations;
  readonly #following: BuildFollowing;
  readonly #buildNamespace: BuildNamespace;

  constructor(options: BuildControllerOptions) {
    this.#options = options;
    const { client, config, controller, namespace, logger, sources, store } = options;
    const wake = (id: string) => {
      this.#queue.add(id);
      orphans.enqueue(id);
      admission.enqueue(ADMISSION);
    };
    const builder = new BuildPodBuilder(config, { controller, namespace });
    this.#queue = new WorkQueue((id) => reconciler.reconcile(id), {
      concurrency: options.concurrency,
      maxDelayMs: BACKOFF_MS,
      onError: (build, err, failures) => this.#report(build, err, failures),
    });
    this.watches = new KubernetesWatches({
      ...{ client, controller, namespace, logger },
      onChange: wake,
    });
    this.#slotStore = new SlotStore({
      ...{ client, controller, namespace, logger },
      onChange: (slots, before) => {
        admission.enqueue(ADMISSION);
        const changed = new Map([...before, ...slots].map((slot) => [slot.uid, slot]));
        for (const { uid, id } of changed.values()) {
          const isSame = before.some((slot) => slot.uid === uid) && slots.some((slot) => slot.uid === uid);
          if (!isSame) wake(id);
        }
        // Those who read how a build waits are told its new position.
        for (const { log, spec } of this.#operations.all()) if (log.readers > 0) this.#queue.add(spec.id);
      },
    });
    const executors = options.makeExecutors({
      watches: this.watches,
      onChange: wake,
      onReady: () => this.#lookAtAll(),
    });
    this.pool = new ExecutorPool({ executors, logger, firstMs: options.quarantineMs });
    const shared = { client, config, namespace, watches: this.watches, slotStore: this.#slotStore, pool: this.pool };
    this.#order = new QueueOrder(shared);
    const caches = [this.#slotStore, watchesCache(this.watches)];
    const admission = buildAdmission({ ...shared, caches, order: this.#order, bounds: config.queue, logger });
    const orphans = (this.#orphans = buildOrphans({ ...shared, caches, logger }));
    this.#controllers = [admission, orphans, ...this.pool.controllers()];
    this.#operations = new BuildOperations(config.logs.size);
    this.#following = new BuildFollowing({ logger, onChange: wake });
    this.#buildNamespace = new BuildNamespace({ client, objects: () => builder.buildNamespaceObjects(), logger });
    const keeper = new BuildKeeper({ store, executors: () => this.pool.all(), size: config.logs.size, logger });
    const all = {
      ...shared,
      order: this.#order,
      operations: this.#operations,
      keeper,
      buildNamespace: this.#buildNamespace,
    };
    const reconciler = new BuildReconciler({
      ...all,
      following: this.#following,
      findDigest: sources.findDigest,
      readSecrets: ({ spec }) => sources.readSecrets(spec.repository),
      logger,
    });
    const requests = new BuildRequests({
      ...all,
      builder,
      resolve: sources.resolve,
      findDigest: sources.findDigest,
      nodeFor: (repository) => this.#nodeFor(repository),
    });
    this.builds = new Builds({ ...all, requests, wake });
  }

  /** Works until `signal` aborts and everything that was under way has ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const working = [
      this.#buildNamespace.controller.run(alone(signal)),
      ...this.#controllers.map((controller) => controller.run(alone(signal))),
      this.watches.run(signal),
      this.#slotStore.run(signal),
      this.pool.run(signal),
      this.#renew(signal),
    ];
    // However long the cluster keeps us waiting: what was there before is looked at when there is a picture.
    const known = Promise.all([this.watches.ready, this.#slotStore.synced, this.#buildNamespace.provisioned]);
    void known.then(() => this.#lookAtAll());
    const resync = setInterval(() => this.#lookAtAll(), RESYNC_MS);
    await Promise.all(working);
    clearInterval(resync);
    await this.#queue.stop();
    await this.#following.stop();
  }

  #lookAtAll(): void {
    if (!this.builds.isReady()) return;
    for (const { spec } of this.watches.jobs()) this.#queue.add(spec.id);
    for (const { id } of this.#slotStore.slots) this.#queue.add(id);
    for (const executor of this.pool.all()) for (const { id } of executor.runs()) this.#queue.add(id);
    for (const controller of this.#controllers)
      if (controller.name === 'build-admission') controller.enqueue(ADMISSION);
    for (const executor of this.pool.all()) for (const { id } of executor.runs()) this.#orphans.enqueue(id);
  }

  /** Says in the cluster, now and then, that somebody here waits for a build: other controllers do not see who reads here. */
  async #renew(signal: AbortSignal): Promise<void> {
    const { abandonAfter } = this.#options.config;
    const everyMs = Math.min(Math.max(abandonAfter / 3, SHORTEST_RENEWAL_MS), LONGEST_RENEWAL_MS);
    const stopped = () => signal.aborted;
    while (!stopped()) {
      await delay(everyMs * (0.9 + Math.random() / 5), undefined, { signal }).catch(() => undefined);
      if (stopped() || !this.builds.isReady()) continue;
      for (const operation of this.#operations.all()) {
        if (operation.log.readers > 0) await this.#renewOne(operation.spec.id, abandonAfter);
      }
    }
  }

  async #renewOne(id: string, abandonAfter: number): Promise<void> {
    const build = this.watches.job(id);
    if (build === undefined || build.result !== null || build.spec.detached) return;
    if (build.wantedUntil > Date.now() + abandonAfter / 2) return;
    const { client, namespace, logger } = this.#options;
    try {
      const patch = wantedPatch(build, Date.now() + abandonAfter);
      const ref = { namespace, name: build.name };
      this.watches.observeJob(await client.patch(Jobs, ref, patch, { priority: 'background' }));
    } catch (err) {
      if (!isOutdated(err)) logger.debug({ err, build: id }, 'it could not be noted that somebody waits for a build');
    }
  }

  /** Where builds of this repository meet: a node on which builds run or ran, the same one as long as it is there. */
  #nodeFor(repository: string): string | undefined {
    if (this.#options.config.pod.placement !== 'sticky') return undefined;
    return rankNodes(repository, this.watches.nodes())[0];
  }

  /** What passes by itself is no news to anybody; what goes on is. */
  #report(build: string, err: unknown, failures: number): void {
    const level = err instanceof KubeError && failures < 5 ? 'debug' : 'warn';
    this.#options.logger[level]({ build, err, failures }, 'a build could not be moved on; it is tried again');
  }
}

/** For the time until the manager runs all of this: this process leads. */
function alone(stopping: AbortSignal): Session {
  return { stopping, lost: new AbortController().signal, mayWrite: () => true };
}

function watchesCache(watches: KubernetesWatches): Cache {
  return {
    name: 'builds',
    synced: watches.ready,
    get isSynced() {
      return watches.isReady;
    },
    health: () => ({ component: 'builds', ready: watches.isReady }),
    run: (signal) => watches.run(signal),
  };
}
