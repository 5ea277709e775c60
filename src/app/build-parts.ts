import type { Logger } from 'pino';
import { BuildPodBuilder } from '../builder/build/build-pod-builder.ts';
import type { BuildsConfig } from '../config/index.ts';
import type { Repository } from '../domain/build/build.ts';
import { rankNodes } from '../domain/build/rendezvous-hash.ts';
import { archiveController, type BuildArchive } from '../reconcile/builds/archive/build-archive.ts';
import { FinishedLogs } from '../reconcile/builds/archive/finished-logs.ts';
import { BuildLookup } from '../reconcile/builds/build-lookup.ts';
import { type BuildQuestions, BuildRequests } from '../reconcile/builds/build-requests.ts';
import type { BuildService } from '../reconcile/builds/build-service.ts';
import { Builds } from '../reconcile/builds/builds.ts';
import { BuildEvents } from '../reconcile/builds/controller/build-events.ts';
import { BuildInterest } from '../reconcile/builds/controller/build-interest.ts';
import { BuildOperations } from '../reconcile/builds/controller/build-operations.ts';
import { BuildReconciler } from '../reconcile/builds/controller/build-reconciler.ts';
import { NamespaceSetup } from '../reconcile/namespace-setup.ts';
import type { BuildExecutor, BuildSecrets } from '../reconcile/builds/executors/executor.ts';
import { ExecutorPool } from '../reconcile/builds/executors/executor-pool.ts';
import { BuildCache } from '../reconcile/builds/executors/kubernetes/build-cache.ts';
import { LogFollowers } from '../reconcile/builds/log/followers.ts';
import { LogBudget } from '../reconcile/builds/log/log-budget.ts';
import { buildOrphans } from '../reconcile/builds/executors/orphaned-runs.ts';
import { ADMISSION, buildAdmission } from '../reconcile/builds/queue/admission.ts';
import { QueueOrder } from '../reconcile/builds/queue/queue-order.ts';
import { changedSlots, SlotStore } from '../reconcile/builds/queue/slot-store.ts';
import { Controller, every } from '../reconcile/controller.ts';
import type { Cache, Component } from '../reconcile/health.ts';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';

/** What a build needs from outside of the cluster. */
export interface BuildSources extends BuildQuestions {
  /** What the build of a repository is given in secret. @throws BuildProblem */
  readonly readSecrets: (repository: Repository) => Promise<BuildSecrets>;
}

/** What the makers of executors are given. */
export interface ExecutorSetup {
  /** The builds of this cluster, where all intents are. */
  readonly cache: BuildCache;
  readonly builder: BuildPodBuilder;
  /** Something about this build has changed. */
  readonly onChange: (id: string) => void;
  /** An executor is ready, for the first time or again: builds may start there, or have been found there. */
  readonly onReady: () => void;
}

export interface BuildPartsOptions {
  readonly client: KubeClient;
  readonly config: BuildsConfig;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly sources: BuildSources;
  readonly makeExecutors: (setup: ExecutorSetup) => readonly BuildExecutor[];
  readonly archive: BuildArchive;
  /** Builds reconciled at once. */
  readonly concurrency: number;
  /** Whether this replica reconciles: see Manager. It always does when absent. */
  readonly isLeader?: (() => boolean) | undefined;
  readonly logger: Logger;
  /** How long an executor that cannot start builds is left alone the first time, in milliseconds. */
  readonly quarantineMs?: number | undefined;
  /** How long the log of a finished build stays where the build ran, in milliseconds. */
  readonly logHeldMs?: number | undefined;
}

/** The build stage, for the Manager and for the routes. */
export interface BuildParts {
  readonly builds: BuildService;
  readonly caches: readonly Cache[];
  readonly controllers: readonly Controller[];
  readonly components: readonly Component[];
}

/** With what tests look at. */
export interface WiredBuilds extends BuildParts {
  readonly cache: BuildCache;
  readonly pool: ExecutorPool;
  readonly operations: BuildOperations;
}

/** Without an archive, the log of a finished build is read from its pod or container: every replica can for this long. */
const LOG_HELD_MS = 2 * 60_000;
/** With an archive, long enough for the replicas that follow a build to read its last lines. */
const LOG_HELD_WITH_ARCHIVE_MS = 5_000;
const TELL_AT_ONCE = 16;
const NOTE_AT_ONCE = 4;

/** Wires the controllers of builds, what they look at, and the service that the routes ask. */
export function wireBuilds(options: BuildPartsOptions): WiredBuilds {
  const {
    client,
    config,
    controller,
    namespace,
    sources,
    archive,
    concurrency,
    logger,
    isLeader = () => true,
  } = options;
  const logHeldMs = options.logHeldMs ?? (archive.isEnabled ? LOG_HELD_WITH_ARCHIVE_MS : LOG_HELD_MS);
  const builder = new BuildPodBuilder(config, { controller, namespace });
  const { size, memory } = config.logs;
  const logBounds = { size, budget: new LogBudget(memory) };
  const operations = new BuildOperations(logBounds);
  const shared = { client, controller, namespace, logger };

  // What changes, and who is told of it.
  const onChange = (id: string) => {
    following.changed(id);
    reconciling.enqueue(id);
    telling.enqueue(id);
    orphans.enqueue(id);
    admission.enqueue(ADMISSION);
  };
  const onReady = () => {
    for (const id of reconciler.keys()) onChange(id);
  };
  const cache = new BuildCache({ ...shared, onChange, onAccountMissing: () => buildNamespace.applyAgain() });
  const slotStore = new SlotStore({
    ...shared,
    onChange: (slots, before) => {
      admission.enqueue(ADMISSION);
      for (const { id } of changedSlots(slots, before)) onChange(id);
      // The positions of all others have changed; only those whose builds are read here are told.
      for (const id of events.keys()) telling.enqueue(id);
    },
  });

  const executors = options.makeExecutors({ cache, builder, onChange, onReady });
  const pool = new ExecutorPool({ executors, logger, firstMs: options.quarantineMs });
  const order = new QueueOrder({ cache, slotStore });
  const following = new LogFollowers({
    logger,
    onChange: (id) => onChange(id),
    noOutputMs: config.deadlines.noOutput,
  });
  const buildNamespace = new NamespaceSetup({
    name: 'build-namespace',
    client,
    objects: () => builder.buildNamespaceObjects(),
    logger,
  });
  const logs = new FinishedLogs({ archive, executors: () => pool.all(), ...logBounds, logger });
  const parts = {
    ...{ client, config, namespace, cache, slotStore, pool, order, logger },
    ...{ operations, following, archive, logs },
  };

  const events = new BuildEvents({
    ...{ ...parts, isLeader, kueue: config.queue.kueue !== undefined },
    heldMs: archive.isEnabled ? 0 : logHeldMs,
  });
  const interest = new BuildInterest({ ...parts, abandonAfter: config.abandonAfter });
  const reconciler = new BuildReconciler({
    ...{ ...parts, findDigest: sources.findDigest, logHeldMs },
    readSecrets: ({ spec }) => sources.readSecrets(spec.repository),
    tell: (id) => telling.enqueue(id),
  });

  const caches = [cache, slotStore];
  const admission = buildAdmission({ ...parts, caches, bounds: config.queue });
  const orphans = buildOrphans({ ...parts, caches });
  const reconciling = new Controller({
    ...{ name: 'builds', caches, logger, concurrency },
    // It has no source of its own; that it is asked for one says that a term begins.
    sources: [
      (_enqueue, ended) => {
        reconciler.begin();
        // Whoever leads reads all logs; a replica that leads no more keeps those that somebody reads here.
        const rest = () => {
          for (const id of events.keys()) telling.enqueue(id);
        };
        ended.addEventListener('abort', rest, { once: true });
      },
    ],
    keys: () => reconciler.keys(),
    reconcile: (id, run) => reconciler.reconcile(id, run),
  });
  const telling = new Controller({
    ...{ name: 'build-events', caches, sources: [], logger, concurrency: TELL_AT_ONCE, needsLeader: false },
    keys: () => events.keys(),
    reconcile: (id) => events.reconcile(id),
  });
  const noting = new Controller({
    ...{ name: 'build-interest', caches, logger, concurrency: NOTE_AT_ONCE, needsLeader: false },
    sources: [every(interest.everyMs, () => interest.keys())],
    keys: () => interest.keys(),
    reconcile: (id) => interest.reconcile(id),
  });

  const requests = new BuildRequests({
    ...{ ...parts, builder, buildNamespace, ...sources },
    nodeFor: (repository) => (config.pod.placement === 'sticky' ? rankNodes(repository, cache.nodes())[0] : undefined),
  });
  const builds = new Builds({
    ...{ ...parts, buildNamespace, requests, builder },
    lookup: new BuildLookup({ client, namespace, cache, archive }),
    onReaders(id) {
      onChange(id);
      noting.enqueue(id);
    },
  });
  return {
    builds,
    cache,
    pool,
    operations,
    caches,
    controllers: [
      ...[buildNamespace.controller, admission, reconciling, orphans, telling, noting],
      archiveController(archive, logger),
      ...pool.controllers(),
    ],
    components: [component('build-executors', (signal) => pool.run(signal)), following],
  };
}

/** What runs beside the controllers and has nothing to say of its health. */
export function component(name: string, run: Component['run']): Component {
  return { name, run, health: () => ({ component: name, ready: true }) };
}
