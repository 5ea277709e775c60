import { type Logger, pino } from 'pino';
import { requireLoopback, type ServeCommand, UsageError } from '../cli/index.ts';
import { type Config, parseConfig, readConfigFile } from '../config/index.ts';
import type { KubeConnection } from '../storage/kubernetes/connection.ts';
import { inClusterConnection, isInCluster } from '../storage/kubernetes/connection.ts';
import { kubeconfigConnection } from '../storage/kubernetes/kubeconfig.ts';
import type { Cluster, Runtime } from './cluster.ts';
import { demoRuntime, startSandboxCluster } from './demo.ts';

/** What to run with: the configuration file and its cluster, or everything for trying it out when there is none. */
export async function resolveRuntime(command: ServeCommand): Promise<Runtime> {
  if (command.config === undefined) return demoRuntime(command);
  const source = { path: command.config, text: await readConfigFile(command.config) };
  const config = parseConfig(source.text, source.path);
  const listen = { host: command.host ?? config.listen.host, port: command.port ?? config.listen.port };
  if (command.withLocalLabs) requireLoopback(listen.host);
  const logger = pino({ level: config.logLevel });
  return { config, source, listen, logger, banner: '', cluster: await connect(command, config, logger) };
}

/**
 * The cluster of a configuration, for a command that is there for as long as its answer takes.
 *
 * @throws UsageError where none is configured and this is no pod
 */
export async function connectTo(config: Config): Promise<KubeConnection> {
  const connection = await configuredConnection(config);
  if (connection !== undefined) return connection;
  throw new UsageError('--cluster: expected kubernetes.kubeconfig in the configuration, or to run in a pod');
}

/** The configured cluster, the one this process runs in, or else the sandbox. */
async function connect(command: ServeCommand, config: Config, logger: Logger): Promise<Cluster> {
  if (!command.sandbox) {
    const connection = await configuredConnection(config);
    if (connection !== undefined) return { connection, isShared: true, close: () => connection.close() };
    logger.warn('No cluster is configured (kubernetes.kubeconfig) and this is no pod: using the embedded sandbox');
  }
  return startSandboxCluster(command, logger);
}

/** The cluster that is configured, or the one this process runs in; undefined where there is neither. */
async function configuredConnection({ kubernetes }: Config): Promise<KubeConnection | undefined> {
  const { kubeconfig, context } = kubernetes;
  if (kubeconfig !== undefined) return kubeconfigConnection(kubeconfig, context);
  return isInCluster(process.env) ? inClusterConnection(process.env) : undefined;
}
