import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createIdentification } from '../auth/identification.ts';
import { labTokens } from '../auth/keys/lab-tokens.ts';
import { KeyService } from '../auth/keys/service.ts';
import { readVersion } from '../cli/index.ts';
import { type Config, DEFAULT_NAMESPACE } from '../config/index.ts';
import { LabController } from '../reconcile/labs/lab-controller.ts';
import { createApp } from '../routes/server/app.ts';
import { startServer } from '../routes/server/server.ts';
import { askServiceAccountIssuer } from '../storage/kubernetes/checks/service-account-issuer.ts';
import { ownNamespace } from '../storage/kubernetes/connection.ts';
import { KeyStore } from '../storage/kubernetes/key-store.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { aborted } from '../util/sleep.ts';
import { type BuildStage, createBuildStage } from './builds.ts';
import type { Runtime } from './runtime.ts';

/** How long parties outside may go on answering when the program stops; requests in progress have a little longer. */
const ANSWERS_MS = 2_000;

/** The whole program, wired once: config -> storage -> services -> routes -> server. Ends when `stopping` aborts. */
export async function serve({ config, logger, listen, banner, cluster }: Runtime, stopping: AbortSignal) {
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
  const controller = new LabController({ client, config, controller: own, logger, tokens, builds: stage?.builds });
  const identification = createIdentification(config, {
    logger,
    askCluster: askServiceAccountIssuer(cluster.connection),
    sessionKeys: keys?.sealing,
  });
  const app = createApp({
    labs: controller.labs,
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
  const working = Promise.all([controller.run(halt.signal), stage?.run(halt.signal), keys?.run(halt.signal)]);
  logger.info({ ...server.address, cluster: client.server }, 'listening');
  process.stdout.write(banner);
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
