#!/usr/bin/env node
import { setTimeout as delay } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { createIdentification } from './auth/identification.ts';
import { type BuildStage, createBuildStage } from './app/builds.ts';
import { KeyService } from './auth/keys/service.ts';
import { labTokens } from './auth/keys/lab-tokens.ts';
import {
  explainUsage,
  parseArguments,
  readVersion,
  requireLoopback,
  runCommand,
  type ServeCommand,
  UsageError,
} from './cli/index.ts';
import { type Config, ConfigError, DEFAULT_NAMESPACE, loadConfig } from './config/index.ts';
import { SetupError } from './domain/setup-error.ts';
import { createLabs } from './app/labs.ts';
import { Manager } from './reconcile/manager.ts';
import { signingKeysController } from './reconcile/signing-keys.ts';
import { createApp } from './routes/server/app.ts';
import { startServer } from './routes/server/server.ts';
import type { Cluster, Setup } from './app/runtime.ts';
import {
  inClusterConnection,
  isInCluster,
  kubeconfigConnection,
  ownNamespace,
} from './storage/kubernetes/connection.ts';
import type { KubeConnection } from './storage/kubernetes/connection.ts';
import { KeyStore } from './storage/kubernetes/key-store.ts';
import { KubeClient } from './storage/kubernetes/kube-client.ts';
import { askServiceAccountIssuer } from './storage/kubernetes/checks/service-account-issuer.ts';
import { startSandboxCluster, startTrial } from './app/sandbox.ts';

/** How long parties outside may go on answering when the program stops; requests in progress have a little longer. */
const ANSWERS_MS = 2_000;

/** The whole program, wired once: config -> storage -> services -> routes -> server. Ends when `stopping` aborts. */
async function serve({ config, logger, listen, greeting, cluster }: Setup, stopping: AbortSignal) {
  const { namespace, requestTimeout, requestsPerSecond, burst, concurrency } = config.kubernetes;
  const client = new KubeClient({
    connection: cluster.connection,
    timeoutMs: requestTimeout,
    requestsPerSecond,
    burst,
    inFlight: 4 * concurrency,
  });
  const own = namespace ?? ownNamespace() ?? DEFAULT_NAMESPACE;
  const keys = keysFor(config, new KeyStore(client, own), logger);
  const tokens = keys === undefined ? undefined : labTokens(config, keys);
  const stage = await buildsFor(config, client, own, logger);
  const parts = createLabs({ client, config, controller: own, logger, tokens, builds: stage?.builds });
  const manager = new Manager({ logger })
    .addCache(...parts.caches)
    .addComponent(...parts.components)
    .addController(...parts.controllers);
  if (keys !== undefined) manager.addController(signingKeysController(keys, logger));
  const identification = createIdentification(config, {
    logger,
    askCluster: askServiceAccountIssuer(cluster.connection),
    sessionKeys: keys?.sealing,
  });
  const app = createApp({
    labs: parts.labs,
    health: () => manager.health(),
    builds: stage?.builds,
    config,
    identification,
    signing: tokens === undefined ? undefined : keys?.signing,
    logger,
    stopping,
    version: readVersion(),
  });
  const server = await startServer({ app, ...listen, limits: config.limits, logger });
  const halt = new AbortController();
  const working = Promise.all([manager.run(halt.signal), stage?.run(halt.signal)]);
  logger.info({ ...server.address, cluster: client.server }, 'listening');
  process.stdout.write(greeting);
  await aborted(stopping);
  // In this order: no new requests and no streams, then no new work and no watches, then the connections.
  const closed = server.close();
  await Promise.race([closed, delay(ANSWERS_MS, undefined, { ref: false })]);
  // Who still waits for what a party outside has to say is told that it does not answer, and not cut off.
  await Promise.all([identification.close(), stage?.stopAsking()]);
  await closed;
  halt.abort();
  await working;
  await stage?.close();
}

/** The build stage; undefined where nothing is built. */
async function buildsFor(
  { builds, kubernetes }: Config,
  client: KubeClient,
  controller: string,
  logger: Logger,
): Promise<BuildStage | undefined> {
  if (builds === undefined) return undefined;
  return createBuildStage({ config: builds, client, controller, concurrency: kubernetes.concurrency, logger });
}

/** The keys of this installation; undefined where nothing that is configured needs them. */
function keysFor({ auth, lab }: Config, store: KeyStore, logger: Logger): KeyService | undefined {
  const login = auth.jupyterhub?.login;
  if (login === undefined && lab.token.source !== 'signed') return undefined;
  const lifetimes = { signing: lab.token.lifetime, sealing: login?.sessionLifetime ?? lab.token.lifetime };
  return new KeyService({ store, logger, lifetimes });
}

/** What to run with: the configuration file and its cluster, or everything for trying it out when there is none. */
async function prepare(command: ServeCommand): Promise<Setup> {
  if (command.config === undefined) return startTrial(command);
  const config = await loadConfig(command.config);
  const listen = { host: command.host ?? config.listen.host, port: command.port ?? config.listen.port };
  if (command.withLocalLabs) requireLoopback(listen.host);
  const logger = pino({ level: config.logLevel });
  return { config, listen, logger, greeting: '', cluster: await connect(command, config, logger) };
}

/** The configured cluster, the one this process runs in, or else the sandbox. */
async function connect(command: ServeCommand, { kubernetes }: Config, logger: Logger): Promise<Cluster> {
  const { kubeconfig, context } = kubernetes;
  if (!command.sandbox) {
    if (kubeconfig !== undefined) return owned(await kubeconfigConnection(kubeconfig, context));
    if (isInCluster(process.env)) return owned(inClusterConnection(process.env));
    logger.warn('No cluster is configured (kubernetes.kubeconfig) and this is no pod: using the embedded sandbox');
  }
  return startSandboxCluster(command, logger);
}

function owned(connection: KubeConnection): Cluster {
  return { connection, close: () => connection.close() };
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise;
}

/** The first signal stops in order, a second one at once. */
function stopOnSignals(): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return stop.signal;
}

async function main(args: readonly string[]): Promise<number> {
  const command = parseArguments(args);
  if (command.command !== 'serve') {
    const { exitCode, stdout, stderr } = await runCommand(command);
    process.stdout.write(stdout);
    process.stderr.write(stderr);
    return exitCode;
  }
  const stopping = stopOnSignals();
  const setup = await prepare(command);
  try {
    await serve(setup, stopping);
  } finally {
    await setup.cluster.close();
  }
  return 0;
}

/** One sentence for what the person who started it can mend; anything else is a fault of ours, with its stack. */
function explain(error: unknown): string {
  if (error instanceof UsageError) return explainUsage(error.message).stderr;
  if (error instanceof ConfigError) return `${error.message}\n`;
  const { code, message, stack } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return `labwright: ${message}. Choose another port with --port.\n`;
  if (code !== undefined || error instanceof SetupError || (error as Error).name === 'FaultsError')
    return `labwright: ${message}\n`;
  return `labwright: ${stack ?? String(error)}\n`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(explain(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
