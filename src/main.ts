#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { pino, type Logger } from 'pino';
import { identityProviders } from './auth/providers.ts';
import { type Config, loadConfig } from './config/index.ts';
import { LabController } from './reconcile/lab-controller.ts';
import { createApp } from './routes/app.ts';
import { startServer } from './routes/server.ts';
import {
  inClusterConnection,
  isInCluster,
  type KubeConnection,
  kubeconfigConnection,
  ownNamespace,
} from './storage/connection.ts';
import { KubeClient } from './storage/kube-client.ts';

/** How to reach the cluster, and what to close when it is not needed any more. */
interface Cluster {
  readonly connection: KubeConnection;
  readonly close: () => Promise<void>;
}

/** Runs the controller until `stopped` aborts. */
async function serve(config: Config, cluster: Cluster, logger: Logger, stopped: AbortSignal): Promise<void> {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const { namespace, requestTimeout, requestsPerSecond, burst } = config.kubernetes;
  const client = new KubeClient({
    connection: cluster.connection,
    timeoutMs: requestTimeout,
    requestsPerSecond,
    burst,
  });
  const controller = new LabController({
    client,
    config,
    controller: namespace ?? ownNamespace() ?? 'labwright',
    logger,
  });
  const app = createApp({
    labs: controller.labs,
    config,
    identity: identityProviders(config, logger),
    logger,
    stopping: stopped,
    version,
  });
  const halt = new AbortController();
  const running = controller.run(halt.signal);
  const server = await startServer({ app, host: config.listen.host, port: config.listen.port, logger });
  logger.info({ address: server.address, cluster: client.server }, 'listening');
  await new Promise<void>((resolve) => stopped.addEventListener('abort', () => resolve(), { once: true }));
  // In order: no new requests and no streams, then no new work and no watches, then the connections.
  await server.close();
  halt.abort();
  await running;
  await client.close();
  await cluster.close();
}

async function connect(config: Config, logger: Logger): Promise<Cluster> {
  const { kubeconfig, context } = config.kubernetes;
  if (kubeconfig !== undefined) {
    const connection = await kubeconfigConnection(kubeconfig, context);
    return { connection, close: () => Promise.resolve() };
  }
  if (isInCluster(process.env)) {
    return { connection: inClusterConnection(process.env), close: () => Promise.resolve() };
  }
  const { startSandbox } = await import('./sandbox/index.ts');
  const sandbox = await startSandbox({ serve: true, logger });
  return { connection: sandbox.connection(), close: () => sandbox.close() };
}
const config = await loadConfig(process.argv[3] ?? '');
const logger = pino({ level: config.logLevel });
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
process.on('SIGINT', () => stop.abort());
await serve(config, await connect(config, logger), logger, stop.signal);
