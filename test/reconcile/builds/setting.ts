import { pino } from 'pino';
import { expect } from 'vitest';
import { buildConfig, type BuildsConfig, type ConfigInput } from '../../../src/config/index.ts';
import type { BuildEvent, BuildState, Repository, ResolvedRepository } from '../../../src/domain/build/build.ts';
import { type BuildPartsOptions, type WiredBuilds, wireBuilds } from '../../../src/app/build-parts.ts';
import type { LeaderElection } from '../../../src/reconcile/leader.ts';
import { Manager } from '../../../src/reconcile/manager.ts';
import type { BuildRequest, BuildService, RequestedState } from '../../../src/reconcile/builds/build-service.ts';
import { KueueExecutor, LocalExecutor } from '../../../src/reconcile/builds/executors/kubernetes/local-executor.ts';
import type { BuildScript, Kubelet } from '../../../sandbox/index.ts';
import { type SandboxRegistry, startRegistry } from '../../../sandbox/registry/index.ts';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { BuildArchive } from '../../../src/reconcile/builds/archive/build-archive.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { RegistryClient } from '../../../src/storage/registry/registry-client.ts';
import { Jobs, Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { canary } from '../../support/canary.ts';
import type { TestCluster } from '../../support/cluster.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { until } from '../support/until.ts';

type BuildsInput = NonNullable<ConfigInput['builds']>;

/** Planted in every build's Secret. */
export const PUSH_CREDENTIALS = JSON.stringify({
  auths: { 'registry.example': { auth: Buffer.from(`pusher:${canary('push')}`).toString('base64') } },
});
export const GIT_CREDENTIALS = `https://git:${canary('git')}@git.example\n`;

/** Commits by repository and ref; a name that is none here is its own commit. */
const COMMIT = '50533eb470ee6c24e872043d30b2fee463d6943f';

export interface BuildSettingOptions {
  readonly config?: Partial<BuildsInput>;
  /** What the build of a repository does; the recorded build where it says nothing. */
  readonly scripts?: (repository: string) => BuildScript | undefined;
  readonly kubelet?: boolean;
  /** How long the controller waits for an answer of the API server. */
  readonly requestTimeoutMs?: number;
  readonly executors?: (setting: BuildSetting) => BuildPartsOptions['makeExecutors'];
  /** How long an executor that cannot start builds is left alone the first time. */
  readonly quarantineMs?: number;
  readonly archive?: BuildArchive | undefined;
  /** How long the log of a finished build stays where it ran. */
  readonly logHeldMs?: number;
  /** Who leads, by number of the controller in the order in which they are started; all do when absent. */
  readonly election?: (index: number) => LeaderElection;
  readonly faults?: Parameters<Kubelet['setFaults']>[0];
  /** In the place of a Git host, where every ref of every repository is one commit. @throws BuildProblem */
  readonly resolve?: (repository: Repository, ref: string) => ResolvedRepository;
  /** In the place of the same host, which gives every commit. @throws BuildProblem */
  readonly checkCommit?: (repository: ResolvedRepository) => Promise<void>;
}

/** One build controller, its registry and a kubelet, on a cluster that others may share. */
export class BuildSetting {
  readonly cluster: TestCluster;
  readonly registry: SandboxRegistry;
  /** Between this controller and the API server: it counts, and has faults where a test wants them. */
  readonly proxy: FaultProxy;
  readonly controllerNamespace: string;
  readonly namespace: string;
  readonly config: BuildsConfig;
  /** What was logged, a JSON document each. */
  readonly log: string[] = [];
  kubelet!: Kubelet;
  readonly #options: BuildSettingOptions;
  readonly #running: Running[] = [];
  #started = 0;

  static async create(cluster: TestCluster, options: BuildSettingOptions = {}): Promise<BuildSetting> {
    const registry = await startRegistry();
    const proxy = await FaultProxy.start(cluster.direct);
    const setting = new BuildSetting(cluster, registry, proxy, options);
    await cluster.client.create(Namespaces, { metadata: { name: setting.controllerNamespace } });
    if (options.kubelet !== false) {
      setting.kubelet = await cluster.startKubelet({
        namespacePrefix: setting.namespace,
        faults: options.faults ?? [],
        builds: (pod) => {
          const url = pod.spec?.containers[0]?.args?.at(-1) ?? pod.spec?.containers[0]?.command?.at(-1) ?? '';
          return options.scripts?.(url);
        },
      });
    }
    await setting.start();
    return setting;
  }

  private constructor(
    cluster: TestCluster,
    registry: SandboxRegistry,
    proxy: FaultProxy,
    options: BuildSettingOptions,
  ) {
    this.cluster = cluster;
    this.registry = registry;
    this.proxy = proxy;
    this.#options = options;
    this.controllerNamespace = cluster.uniqueName('hub');
    this.namespace = `${this.controllerNamespace}-builds`;
    const { builds } = buildConfig({
      baseUrl: 'https://hub.example.org',
      auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
      images: { list: [{ reference: 'registry.example/lab:1' }] },
      lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
      builds: {
        builder: { image: 'registry.example/builder:1' },
        registry: { host: registry.host, url: registry.url, insecure: true, timeout: '10s', patience: '15s' },
        ...options.config,
      },
    });
    if (builds === undefined) throw new Error('no builds are configured');
    this.config = builds;
  }

  get builds(): BuildService {
    return this.nth(0).builds;
  }

  /** One of several controllers on the same namespace. */
  nth(index: number): BuildReplica {
    const running = this.#running[index];
    if (running === undefined) throw new Error('The controller does not run');
    return running.replica;
  }

  /** Starts a controller, or one more, and waits until it is ready. */
  async start(): Promise<BuildReplica> {
    const { cluster, config, namespace, controllerNamespace: controller } = this;
    const client = new KubeClient({
      connection: tokenConnection({ server: this.proxy.server, token: cluster.token }),
      timeoutMs: this.#options.requestTimeoutMs ?? 10_000,
    });
    const logger = pino({ level: 'trace' }, { write: (line: string) => void this.log.push(line) });
    const registry = new RegistryClient({ config: config.registry, credentials: () => Promise.resolve(null), logger });
    const election = this.#options.election?.(this.#started);
    this.#started += 1;
    const manager = new Manager({ logger, ...(election === undefined ? {} : { election }) });
    const { builds, cache, pool, operations, caches, controllers, components } = wireBuilds({
      ...{ client, config, controller, namespace, logger, concurrency: 8 },
      archive: this.#options.archive ?? new BuildArchive({ files: undefined, logger }),
      quarantineMs: this.#options.quarantineMs,
      logHeldMs: this.#options.logHeldMs ?? 500,
      isLeader: () => manager.isLeader,
      sources: {
        resolve: (repository, ref) =>
          new Promise((resolve) => resolve((this.#options.resolve ?? resolved)(repository, ref))),
        checkCommit: (repository) => this.#options.checkCommit?.(repository) ?? Promise.resolve(),
        findDigest: (image, signal) => registry.findDigest(image, signal),
        readSecrets: () =>
          Promise.resolve({ dockerConfig: PUSH_CREDENTIALS, git: { 'git-credentials': GIT_CREDENTIALS } }),
      },
      makeExecutors:
        this.#options.executors?.(this) ??
        (({ cache, builder }) => [
          new (config.queue.kueue === undefined ? LocalExecutor : KueueExecutor)({
            ...{
              name: 'cluster',
              capacity: Infinity,
              cache,
              builder,
              scope: { client, controller, namespace, logger },
            },
          }),
        ]),
    });
    const halt = new AbortController();
    manager
      .addCache(...caches)
      .addComponent(...components)
      .addController(...controllers);
    const working = manager.run(halt.signal);
    const replica = { builds, cache, pool, operations };
    this.#running.push({ replica, client, registry, halt, working });
    await builds.ready();
    return replica;
  }

  /** Stops the first controller. Nothing secret may have been logged until then. */
  async stop(): Promise<void> {
    const running = this.#running.shift();
    if (running === undefined) return;
    running.halt.abort();
    await running.working;
    await running.registry.close();
    await running.client.close();
    expect(this.log.join('')).not.toContain('canary-');
  }

  /** The n-th controller is gone at once: no call of it reaches the cluster any more, and nobody is told. */
  async kill(index: number): Promise<void> {
    const [killed] = this.#running.splice(index, 1);
    if (killed === undefined) return;
    await killed.client.close();
    killed.halt.abort();
    await killed.registry.close();
    await killed.working;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async close(): Promise<void> {
    this.proxy.onCall = () => 'pass';
    while (this.#running.length > 0) await this.stop();
    await this.kubelet?.close();
    await this.proxy.close();
    await this.registry.close();
  }

  request(change: Partial<BuildRequest> = {}, index = 0): Promise<RequestedState> {
    return this.nth(index).builds.request(aRequest(change));
  }

  state(id: string): BuildState {
    const state = this.builds.get(id);
    if (state === undefined) throw new Error(`There is no build ${id}`);
    return state;
  }

  /** Every event of a build, to the terminal one. */
  async events(id: string, lastEventId?: string, index = 0): Promise<BuildEvent[]> {
    const events: BuildEvent[] = [];
    const stream = this.nth(index).builds.events(id, lastEventId, AbortSignal.timeout(20_000));
    for await (const event of stream ?? []) events.push(event);
    return events;
  }

  /** Asks for a build and waits for its end. */
  async build(change: Partial<BuildRequest> = {}): Promise<BuildEvent[]> {
    const { spec } = await this.request(change);
    return this.events(spec.id);
  }

  async untilPhase(id: string, phase: string): Promise<BuildState> {
    return until(`build is ${phase}`, () => this.builds.get(id)?.phase === phase && this.state(id)).catch(
      (cause: unknown) => {
        throw new Error(
          `${String(cause)}; it is ${JSON.stringify(this.builds.get(id))}\n${this.log.slice(-15).join('')}`,
        );
      },
    );
  }

  /** Waits until nothing of a build that is over runs, and nothing secret is left. */
  async untilClean(id: string): Promise<void> {
    const { client } = this.cluster;
    await until('the build is cleaned up', async () => {
      const secret = await client.get(Secrets, { namespace: this.namespace, name: `build-${id}` });
      const { items } = await client.list(Pods, { namespace: this.namespace });
      const alive = items.filter(({ status }) => status?.phase === 'Running' || status?.phase === 'Pending');
      return secret === undefined && alive.length === 0;
    });
  }

  async jobs() {
    return (await this.cluster.client.list(Jobs, { namespace: this.namespace })).items;
  }

  async pods() {
    return (await this.cluster.client.list(Pods, { namespace: this.namespace })).items;
  }
}

/** One of the controllers on a cluster. */
export type BuildReplica = Pick<WiredBuilds, 'builds' | 'cache' | 'pool' | 'operations'>;

interface Running {
  readonly replica: BuildReplica;
  readonly client: KubeClient;
  readonly registry: RegistryClient;
  readonly halt: AbortController;
  readonly working: Promise<void>;
}

export function aRepository(name = 'ada/notebooks'): Repository {
  return { provider: 'gh', url: `https://github.com/${name}` };
}

export function aRequest(change: Partial<BuildRequest> = {}): BuildRequest {
  return { repository: aRepository(), ref: 'main', path: '', username: 'ada', detached: false, ...change };
}

/** @param head the commit that every name stands for */
export function resolved(repository: Repository, ref: string, head = COMMIT): ResolvedRepository {
  const commit = /^[0-9a-f]{40}$/.test(ref) ? ref : head;
  return {
    ...repository,
    ref,
    commit,
    binderSlug: repository.url.replace('https://github.com/', '').replace('/', '-'),
  };
}
