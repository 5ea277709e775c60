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
import { WorkQueue } from '../../work-queue.ts';
import { Admission } from '../queue/admission.ts';
import { LogFollowers } from '../log/followers.ts';
import { LogBudget } from '../log/log-budget.ts';
import type { BuildArchive } from '../archive/build-archive.ts';
import { FinishedLogs } from '../archive/finished-logs.ts';
import { BuildOperations } from './build-operations.ts';
import { BuildReconciler } from './build-reconciler.ts';
import { BuildRequests } from '../build-requests.ts';
import { Builds } from '../builds.ts';
import type { BuildExecutor, BuildSecrets } from '../executors/executor.ts';
import { ExecutorPool } from '../executors/executor-pool.ts';
import { GroundKeeper } from './ground-keeper.ts';
import { KubernetesWatches } from '../executors/kubernetes/kubernetes-watches.ts';
import { SlotLedger } from '../queue/slot-ledger.ts';

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
  readonly archive: BuildArchive;
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
  readonly #ledger: SlotLedger;
  readonly #admission: Admission;
  readonly #operations: BuildOperations;
  readonly #following: LogFollowers;
  readonly #ground: GroundKeeper;

  constructor(options: BuildControllerOptions) {
    this.#options = options;
    const { client, config, controller, namespace, logger, sources, archive } = options;
    const wake = (id: string) => this.#queue.add(id);
    const runChanged = (id: string) => {
      this.#following.changed(id);
      wake(id);
    };
    const builder = new BuildPodBuilder(config, { controller, namespace });
    this.#queue = new WorkQueue((id) => reconciler.reconcile(id), {
      concurrency: options.concurrency,
      maxDelayMs: BACKOFF_MS,
      onError: (build, err, failures) => this.#report(build, err, failures),
    });
    this.watches = new KubernetesWatches({
      ...{ client, controller, namespace, logger },
      onChange: (id) => {
        runChanged(id);
        this.#admission.changed();
      },
    });
    this.#ledger = new SlotLedger({
      ...{ client, controller, namespace, logger },
      onChange: (slots, before) => {
        this.#admission.changed();
        for (const { id } of [...slots, ...before]) wake(id);
        // Everybody's place has changed.
        for (const { id } of this.#admission.waiting()) wake(id);
      },
    });
    const executors = options.makeExecutors({
      watches: this.watches,
      onChange: runChanged,
      onReady: () => this.#lookAtAll(),
    });
    this.pool = new ExecutorPool({ executors, logger, firstMs: options.quarantineMs });
    const shared = { client, config, namespace, watches: this.watches, ledger: this.#ledger, pool: this.pool };
    this.#admission = new Admission({
      ...shared,
      bounds: config.queue,
      onError: (err) => logger.warn({ err }, 'builds that wait could not be given their turn; it is tried again'),
    });
    const { size, memory } = config.logs;
    const logBounds = { size, budget: new LogBudget(memory) };
    this.#operations = new BuildOperations(logBounds);
    this.#following = new LogFollowers({ logger, onChange: wake });
    this.#ground = new GroundKeeper({ client, ground: builder.buildGround(), logger });
    const logs = new FinishedLogs({ archive, executors: () => this.pool.all(), ...logBounds, logger });
    const all = {
      ...shared,
      admission: this.#admission,
      operations: this.#operations,
      archive,
      logs,
      ground: this.#ground,
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
      this.#ground.run(signal),
      this.watches.run(signal),
      this.#ledger.run(signal),
      this.pool.run(signal),
      this.#renew(signal),
    ];
    // However long the cluster keeps us waiting: what was there before is looked at when there is a picture.
    const known = Promise.all([this.watches.ready, this.#ledger.ready, this.#ground.laid]);
    void known.then(() => this.#lookAtAll());
    const resync = setInterval(() => this.#lookAtAll(), RESYNC_MS);
    await Promise.all(working);
    clearInterval(resync);
    await this.#admission.stop();
    await this.#queue.stop();
    await this.#following.stop();
  }

  #lookAtAll(): void {
    if (!this.builds.isReady()) return;
    for (const { spec } of this.watches.jobs()) this.#queue.add(spec.id);
    for (const { id } of this.#ledger.slots) this.#queue.add(id);
    for (const executor of this.pool.all()) for (const { id } of executor.runs()) this.#queue.add(id);
    this.#admission.changed();
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
