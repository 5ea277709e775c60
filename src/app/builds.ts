import type { Logger } from 'pino';
import { BuildPodBuilder } from '../builder/build/build-pod-builder.ts';
import type { BuildsConfig, ExecutorConfig } from '../config/index.ts';
import { BuildController, type ExecutorSetup } from '../reconcile/builds/controller/build-controller.ts';
import type { BuildService } from '../reconcile/builds/build-service.ts';
import { unlessAborted } from '../util/unless-aborted.ts';
import { AwayExecutor } from '../reconcile/builds/executors/away-executor.ts';
import { DockerExecutor } from '../reconcile/builds/executors/docker/docker-executor.ts';
import type { BuildExecutor } from '../reconcile/builds/executors/executor.ts';
import { archiveController, BuildArchive } from '../reconcile/builds/archive/build-archive.ts';
import { KubernetesExecutor } from '../reconcile/builds/executors/kubernetes/kubernetes-executor.ts';
import { otherCluster } from '../reconcile/builds/executors/kubernetes/other-cluster.ts';
import { type KubeConnection, kubeconfigConnection } from '../storage/kubernetes/connection.ts';
import { GitCredentials } from '../storage/git/git-credentials.ts';
import { readInstallation } from '../storage/kubernetes/checks/installation.ts';
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
  const files = directory === undefined ? undefined : await LogStore.open({ directory, totalSize, retention, logger });
  const archive = new BuildArchive({ files, logger });
  const archiving = archiveController(archive, logger);
  const credentials = new RegistryCredentials({ client, namespace: controller, secret: config.registry.credentials });
  const registry = new RegistryClient({ config: config.registry, credentials: () => credentials.read(), logger });
  const git = new GitCredentials({ client, namespace: controller, config: config.repositories });
  const resolver = new RefResolver({ config: config.repositories, credentials: git, logger });
  let asked: Promise<void> | undefined;
  const stopAsking = () => (asked ??= resolver.close());
  const connections = await connectAll(config.executors);
  const build = new BuildController({
    ...{ client, config, controller, namespace, concurrency, logger },
    archive,
    sources: {
      resolve: (repository, ref, signal, asker) => resolver.resolve(repository, ref, signal, asker),
      findDigest: (image, signal) => registry.findDigest(image, signal),
      readSecrets: async (repository) => ({
        dockerConfig: await credentials.read(),
        git: await git.filesFor(repository),
      }),
    },
    makeExecutors: (setup) =>
      config.executors.map((executor) => makeExecutor(executor, { ...options, namespace, setup, connections })),
  });
  return {
    builds: build.builds,
    async run(signal) {
      await Promise.all([
        build.run(signal),
        archiving.run({ stopping: signal, lost: new AbortController().signal, mayWrite: () => true }),
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
}

function makeExecutor(executor: ExecutorConfig, making: ExecutorMaking): BuildExecutor {
  const { config, client, controller, logger, setup, connections } = making;
  const installation = (signal: AbortSignal) => readInstallation(client, controller, making.namespace, signal);
  const { name, capacity = Infinity } = executor;
  switch (executor.kind) {
    case 'cluster':
      return new KubernetesExecutor({
        ...{ name, capacity, client, controller, namespace: making.namespace, watches: setup.watches },
        builder: new BuildPodBuilder(config, { controller, namespace: making.namespace }),
        job: config.queue.kueue === undefined ? 'intent' : 'kueue',
      });
    case 'kubernetes': {
      const connection = connections.get(name);
      if (connection === undefined) throw new TypeError(`there is no connection for the executor ${name}`);
      const place = { name, capacity, client: new KubeClient({ connection }), config, logger, ...setup };
      const { namespace, backend } = executor;
      return new AwayExecutor({
        ...{ name, capacity, installation, logger },
        make: (owner) => otherCluster({ ...place, controller: owner, namespace, backend }),
      });
    }
    case 'docker': {
      const { address, tls, backend } = executor;
      const { onChange, onReady } = setup;
      const place = { name, capacity, address, tls, backend, config, onChange, onReady, logger };
      return new AwayExecutor({
        ...{ name, capacity, installation, logger },
        make: (owner) => new DockerExecutor({ ...place, controller: owner }),
      });
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
