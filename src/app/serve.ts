import type { Logger } from 'pino';
import { createIdentification } from '../auth/identification.ts';
import { labTokens } from '../auth/keys/lab-tokens.ts';
import { KeyService } from '../auth/keys/service.ts';
import { readVersion, remarkOnHomes } from '../cli/index.ts';
import { type Config, DEFAULT_NAMESPACE } from '../config/index.ts';
import { AlwaysLeader } from '../reconcile/leader.ts';
import { Manager } from '../reconcile/manager.ts';
import type { LabService } from '../reconcile/labs/lab-service.ts';
import { signingKeysController } from '../reconcile/signing-keys.ts';
import { createApp, limitCalls } from '../routes/server/app.ts';
import { startServer } from '../routes/server/server.ts';
import { askServiceAccountIssuer } from '../storage/kubernetes/checks/service-account-issuer.ts';
import { ownNamespace } from '../storage/kubernetes/connection.ts';
import { KeyStore } from '../storage/kubernetes/key-store.ts';
import { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { aborted, sleep } from '../util/sleep.ts';
import { type BuildStage, type BuildStageOptions, createBuildStage } from './builds.ts';
import { ConfigFile } from './config-file.ts';
import { configuredImages, createImages } from './images.ts';
import { createLabs } from './labs.ts';
import { leaseElection } from './leadership.ts';
import { createPrepull } from './prepull.ts';
import type { Runtime } from './cluster.ts';

/** How long upstream services may go on answering when the program stops; requests in progress have a little longer. */
const ANSWERS_MS = 2_000;

/**
 * The whole program, wired once: config -> storage -> services -> routes -> server. Ends when `signal` aborts.
 *
 * Where the configuration has a file, what is made of it alone is made anew when that changes: labs and routes.
 *
 * @throws when a part of it has ended by itself: the program has to be started again
 */
export async function serve(runtime: Runtime, signal: AbortSignal): Promise<void> {
  const { config, source, logger, listen, banner, cluster } = runtime;
  const broken = new AbortController();
  const stopping = AbortSignal.any([signal, broken.signal]);
  const { namespace, requestTimeout, requestsPerSecond, burst, concurrency } = config.kubernetes;
  const client = new KubeClient({
    connection: cluster.connection,
    timeoutMs: requestTimeout,
    requestsPerSecond,
    burst,
    inFlight: 4 * concurrency,
  });
  const own = namespace ?? ownNamespace() ?? DEFAULT_NAMESPACE;
  const homesEnd = remarkOnHomes(config);
  if (cluster.isShared && homesEnd !== undefined) logger.warn(homesEnd);
  const keys = keysFor(config, new KeyStore(client, own), logger);
  const tokens = keys === undefined ? undefined : labTokens(config, keys);
  const election = cluster.isShared ? leaseElection(config, cluster.connection, own, logger) : new AlwaysLeader();
  const manager = new Manager({
    ...{ logger, election },
    onFailure: (name, cause) => broken.abort(new Error(`${name} has ended by itself`, { cause })),
  });
  const shared = { client, controller: own, logger };
  const stage = await buildsFor(config, { ...shared, isLeader: () => manager.isLeader });
  const builds = stage?.builds;
  const labs = createLabs({ ...shared, config, tokens, builds });
  // In the sandbox nothing is pulled: any name of an image will do there.
  const images =
    cluster.isShared || config.images.sources.length > 0
      ? createImages({ ...shared, config, builds, labs: () => labs.labs.list().map(({ spec }) => spec.image.digest) })
      : configuredImages(config);
  const prepull = createPrepull({ ...shared, config, wanted: images.wanted, podName: process.env['POD_NAME'] });
  for (const parts of [labs, images, prepull, ...(stage === undefined ? [] : [stage])]) {
    manager
      .addCache(...parts.caches)
      .addComponent(...('components' in parts ? parts.components : []))
      .addController(...parts.controllers);
  }
  if (keys !== undefined) manager.addController(signingKeysController(keys, logger));
  const identification = createIdentification(config, {
    logger,
    askCluster: askServiceAccountIssuer(cluster.connection),
    sessionKeys: keys?.sealing,
  });
  const calls = limitCalls(config);
  const appFor = (now: Config, by: LabService) =>
    createApp({
      labs: by,
      images: images.by(now),
      prepull: prepull.view,
      health: () => manager.health(),
      builds,
      config: now,
      identification: { ...identification, users: identification.usersOf(now) },
      callLimits: calls,
      signing: tokens === undefined ? undefined : keys?.signing,
      logger,
      stopping,
      version: readVersion(),
    });
  const server = await startServer({ app: appFor(config, labs.labs), ...listen, limits: config.limits, logger });
  if (source !== undefined) {
    const use = (next: Config) => {
      const configured = labs.by(next);
      const app = appFor(next, configured.labs);
      // Only now, when nothing can fail any more, and both in the same moment.
      labs.use(configured);
      images.use(next);
      prepull.use(next);
      server.use(app);
    };
    manager.addComponent(new ConfigFile({ source, config, use, logger }));
  }
  const served = Promise.withResolvers<void>();
  const working = manager.run(stopping, { served: served.promise });
  logger.info({ ...server.address, cluster: client.server }, 'listening');
  process.stdout.write(banner);
  await aborted(stopping);
  // No new requests and no streams. The manager hands leadership over meanwhile and keeps what serves readers until then.
  const closed = server.close();
  const answered = new AbortController();
  void closed.then(() => answered.abort());
  await sleep(ANSWERS_MS, answered.signal);
  // Pending calls to upstream services fail, so that the requests that wait for them get a 503 and not a reset.
  const closing = await Promise.allSettled([identification.close(), stage?.stopAsking()]);
  await closed;
  served.resolve();
  await working;
  await Promise.all([stage?.close(), images.close()]);
  broken.signal.throwIfAborted();
  for (const each of closing) if (each.status === 'rejected') throw each.reason;
}

/** The build stage; undefined where nothing is built. */
async function buildsFor(
  { builds, kubernetes }: Config,
  shared: Omit<BuildStageOptions, 'config' | 'concurrency'>,
): Promise<BuildStage | undefined> {
  if (builds === undefined) return undefined;
  return createBuildStage({ ...shared, config: builds, concurrency: kubernetes.concurrency });
}

/** The keys of this installation; undefined where nothing that is configured needs them. */
function keysFor({ auth, lab }: Config, store: KeyStore, logger: Logger): KeyService | undefined {
  const login = auth.jupyterhub?.login;
  if (login === undefined && lab.token.source !== 'signed') return undefined;
  const lifetimes = { signing: lab.token.lifetime, sealing: login?.sessionLifetime ?? lab.token.lifetime };
  return new KeyService({ store, logger, lifetimes });
}
