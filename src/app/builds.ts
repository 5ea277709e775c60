import type { Logger } from 'pino';
import type { BuildsConfig } from '../config/index.ts';
import { BuildArchive } from '../reconcile/builds/archive/build-archive.ts';
import type { BuildService } from '../reconcile/builds/build-service.ts';
import { SetupError } from '../domain/setup-error.ts';
import { Installation } from '../reconcile/builds/executors/installation.ts';
import { LogStore, type LogStoreOptions } from '../storage/archive/log-store.ts';
import { GitCredentials } from '../storage/git/git-credentials.ts';
import { Authorities } from '../storage/outbound/authorities.ts';
import { RefResolver } from '../storage/git/ref-resolver.ts';
import { findUserNamespaces } from '../storage/kubernetes/checks/user-namespaces.ts';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { RegistryClient } from '../storage/registry/registry-client.ts';
import { RegistryCredentials } from '../storage/registry/registry-credentials.ts';
import { raceAbort } from '../util/abort.ts';
import { aborted } from '../util/sleep.ts';
import { connectAll, makeExecutor } from './build-executors.ts';
import { type BuildParts, component, wireBuilds } from './build-parts.ts';

export interface BuildStageOptions {
  readonly config: BuildsConfig;
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Builds reconciled at once. */
  readonly concurrency: number;
  /** Whether this replica reconciles: see Manager. */
  readonly isLeader?: () => boolean;
  readonly logger: Logger;
}

/** The build stage with all that it has outside of the cluster; there where builds are configured. */
export interface BuildStage extends BuildParts {
  /** Ends the questions to Git hosts: who waits for their answers is told that none come. Builds go on. */
  stopAsking(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Where logs are kept. A directory that cannot be written is no reason to be without labs: it is tried for every log, and kept
 * from when it can be.
 */
export async function openLogs(options: LogStoreOptions): Promise<LogStore> {
  try {
    return await LogStore.open(options);
  } catch (err) {
    if (!(err instanceof SetupError)) throw err;
    options.logger.error({ err }, 'logs of builds are lost until their directory can be written');
    return new LogStore(options);
  }
}

export async function createBuildStage(options: BuildStageOptions): Promise<BuildStage> {
  const { config, client, controller, logger } = options;
  const namespace = config.namespace ?? `${controller}-builds`;
  const { directory, totalSize, retention } = config.logs;
  const files = directory === undefined ? undefined : await openLogs({ directory, totalSize, retention, logger });
  const archive = new BuildArchive({ files, logger });
  const credentials = new RegistryCredentials({ client, namespace: controller, secret: config.registry.credentials });
  const authorities = new Authorities(config.certificateAuthorities);
  const registry = new RegistryClient({
    ...{ config: config.registry, logger, authorities },
    credentials: () => credentials.read(),
  });
  const git = new GitCredentials({ client, namespace: controller, config: config.repositories });
  const resolver = new RefResolver({ config: config.repositories, credentials: git, logger, authorities });
  let asked: Promise<void> | undefined;
  const stopAsking = () => (asked ??= resolver.close());
  const connections = connectAll(config.executors);
  const installation = new Installation({ client, controller, namespace, logger });
  const parts = wireBuilds({
    ...options,
    namespace,
    archive,
    sources: {
      resolve: (repository, ref, signal, requester) => resolver.resolve(repository, ref, signal, requester),
      checkCommit: (repository, signal, requester) => resolver.checkCommit(repository, signal, requester),
      findDigest: (image, signal) => registry.findDigest(image, signal),
      readSecrets: async (repository) => ({
        dockerConfig: await credentials.read(),
        git: await git.filesFor(repository),
        authorities: await authorities.read(),
      }),
    },
    makeExecutors: (setup) =>
      config.executors.map((executor) =>
        makeExecutor(executor, { ...options, namespace, setup, connections, installation }),
      ),
  });
  const warning = async (signal: AbortSignal) => {
    await warnOfNamespaces(options, namespace, parts.builds, signal);
    await aborted(signal);
  };
  return {
    ...parts,
    components: [...parts.components, component('user-namespaces-check', warning)],
    stopAsking,
    async close() {
      await Promise.all([stopAsking(), registry.close()]);
      await Promise.all([...connections.values()].map((connection) => connection.close()));
    },
  };
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
    await raceAbort(builds.ready(), signal);
    const sentence = await findUserNamespaces(client, namespace, signal);
    if (sentence !== undefined) logger.warn(sentence);
  } catch (err) {
    logger.debug({ err }, 'it could not be found out whether pods can have user namespaces of their own');
  }
}
