import type { Logger } from 'pino';
import { BuildPodBuilder } from '../builder/build/build-pod-builder.ts';
import type { BuildsConfig, ExecutorConfig } from '../config/index.ts';
import { BuildController, type ExecutorSetup } from '../reconcile/builds/controller/build-controller.ts';
import type { BuildService } from '../reconcile/builds/build-service.ts';
import { unlessAborted } from '../util/unless-aborted.ts';
import { Installation } from '../reconcile/builds/executors/installation.ts';
import { DockerExecutor } from '../reconcile/builds/executors/docker/docker-executor.ts';
import type { BuildExecutor } from '../reconcile/builds/executors/executor.ts';
import { KeptBuilds } from '../reconcile/builds/archive/kept-builds.ts';
import { KueueExecutor, LocalExecutor } from '../reconcile/builds/executors/kubernetes/local-executor.ts';
import { RemoteClusterExecutor } from '../reconcile/builds/executors/kubernetes/remote-cluster-executor.ts';
import { type KubeConnection, kubeconfigConnection } from '../storage/kubernetes/connection.ts';
import { GitCredentials } from '../storage/git/git-credentials.ts';
import { RefResolver } from '../storage/git/ref-resolver.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { LogStore } from '../storage/archive/log-store.ts';
import { RegistryClient } from '../storage/registry/registry-client.ts';
import { RegistryCredentials } from '../storage/registry/registry-credentials.ts';
import { findUserNamespaces } from '../storage/kubernetes/checks/user-namespaces.ts';

export interface BuildStageOptions {
  readonly config: BuildsConfig;
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Builds worked on at once. */
  readonly concurrency: number;
  readonly logger: Logger;
}

/** The build stage, wired; the part of the composition root that is there when builds are configured. */
export interface BuildStage {
  readonly builds: BuildService;
  /** Works until `signal` aborts and everything that was under way has ended. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Ends the questions to Git hosts: who waits for their answers is told that none come. Builds go on. */
  stopAsking(): Promise<void>;
  close(): Promise<void>;
}

/** @throws {SetupError} when a kubeconfig or the directory for logs cannot be used */
export async function createBuildStage(options: BuildStageOptions): Promise<BuildStage> {
  const { config, client, controller, concurrency, logger } = options;
  const namespace = config.namespace ?? `${controller}-builds`;
  const { directory, totalSize, retention } = config.logs;
  const kept =
    directory === undefined
      ? undefined
      : new KeptBuilds(await LogStore.open({ directory, totalSize, retention, logger }), logger);
  const credentials = new RegistryCredentials({ client, namespace: controller, secret: config.registry.credentials });
  const registry = new RegistryClient({ config: config.registry, credentials: () => credentials.read(), logger });
  const git = new GitCredentials({ client, namespace: controller, config: config.repositories });
  const resolver = new RefResolver({ config: config.repositories, credentials: git, logger });
  let asked: Promise<void> | undefined;
  const stopAsking = () => (asked ??= resolver.close());
  const connections = await connectAll(config.executors);
  const installation = new Installation({ client, controller, namespace, logger });
  const build = new BuildController({
    ...{ client, config, controller, namespace, concurrency, logger },
    store: kept,
    sources: {
      resolve: (repository, ref, signal, asker) => resolver.resolve(repository, ref, signal, asker),
      findDigest: (image, signal) => registry.findDigest(image, signal),
      readSecrets: async (repository) => ({
        dockerConfig: await credentials.read(),
        git: await git.filesFor(repository),
      }),
    },
    makeExecutors: (setup) =>
      config.executors.map((executor) =>
        makeExecutor(executor, { ...options, namespace, setup, connections, installation }),
      ),
  });
  return {
    builds: build.builds,
    async run(signal) {
      await Promise.all([
        build.run(signal),
        kept?.run(signal),
        warnOfNamespaces(options, namespace, build.builds, signal),
      ]);
    },
    stopAsking,
    async close() {
      await Promise.all([stopAsking(), registry.close()]);
      await Promise.all([...connections.values()].map((connection) => connection.close()));
    },
  };
}

/** The connections to other clusters, by name of executor. */
async function connectAll(executors: readonly ExecutorConfig[]): Promise<Map<string, KubeConnection>> {
  const connections = new Map<string, KubeConnection>();
  for (const executor of executors) {
    if (executor.kind !== 'kubernetes') continue;
    connections.set(executor.name, await kubeconfigConnection(executor.kubeconfig, executor.context));
  }
  return connections;
}

interface ExecutorMaking extends BuildStageOptions {
  readonly namespace: string;
  readonly setup: ExecutorSetup;
  readonly connections: ReadonlyMap<string, KubeConnection>;
  readonly installation: Installation;
}

function makeExecutor(executor: ExecutorConfig, making: ExecutorMaking): BuildExecutor {
  const { config, client, controller, namespace, logger, setup, connections, installation } = making;
  const { name, capacity = Infinity } = executor;
  const { onChange, onReady } = setup;
  switch (executor.kind) {
    case 'cluster': {
      const Executor = config.queue.kueue === undefined ? LocalExecutor : KueueExecutor;
      const scope = { client, controller, namespace, logger };
      const builder = new BuildPodBuilder(config, { controller, namespace });
      return new Executor({ name, capacity, scope, watches: setup.watches, builder });
    }
    case 'kubernetes': {
      const connection = connections.get(name);
      if (connection === undefined) throw new TypeError(`there is no connection for the executor ${name}`);
      const scope = { client: new KubeClient({ connection }), namespace: executor.namespace, config, logger };
      const { backend } = executor;
      return new RemoteClusterExecutor({ name, capacity, scope, installation, backend, onChange, onReady });
    }
    case 'docker': {
      const { address, tls, backend } = executor;
      const place = { name, capacity, address, tls, backend, config, installation };
      return new DockerExecutor({ ...place, onChange, onReady, logger });
    }
  }
}

/** Says once, at start, what the default backend misses in this cluster. */
async function warnOfNamespaces(
  { config, client, logger }: BuildStageOptions,
  namespace: string,
  builds: BuildService,
  signal: AbortSignal,
): Promise<void> {
  if (config.backend.kind !== 'buildah' || !config.executors.some(({ kind }) => kind === 'cluster')) return;
  try {
    await unlessAborted(builds.ready(), signal);
    const sentence = await findUserNamespaces(client, namespace, signal);
    if (sentence !== undefined) logger.warn(sentence);
  } catch (err) {
    logger.debug({ err }, 'it could not be found out whether pods can have user namespaces of their own');
  }
}
