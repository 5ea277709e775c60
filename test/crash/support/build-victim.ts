import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSelector, BUILD_LABEL, parseBuild } from '../../../src/domain/build/build-intent.ts';
import { parseSlots, SLOTS_NAME } from '../../../src/domain/build/build-slots.ts';
import { type SandboxRegistry, startRegistry } from '../../../sandbox/registry/index.ts';
import { ConfigMaps, Jobs, Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { said } from '../../reconcile/builds/gate.ts';
import { until } from '../../reconcile/support/until.ts';
import { kubeconfigText } from '../../support/api-server.ts';
import { canary } from '../../support/canary.ts';
import type { TestCluster } from '../../support/cluster.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { ControllerProcess } from '../../support/controller-process.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { BuildApi } from './build-api.ts';
import { LEADERSHIP, moreCalls } from './leadership.ts';
import type { CallName, Side } from './victim.ts';

const MANY = 500;
const COMMIT = '50533eb470ee6c24e872043d30b2fee463d6943f';
/** Every build under test waits in a call of its own until the process dies. */
const CONCURRENCY = 128;
/** Of the controller's namespace: what builds push with. */
const CREDENTIALS = 'registry';

/** What is there of a build that is over. */
export interface BuildRest {
  readonly status: string | undefined;
  /** Phases of its pods. */
  readonly pods: readonly (string | undefined)[];
  readonly hasSecret: boolean;
  readonly hasSlot: boolean;
  /** The registry has the image that the result names, and no result names another. */
  readonly hasImage: boolean;
}

/** The controller as a process of its own, with a proxy that can stop its builds in the middle of any call; see Victim. */
export class BuildVictim {
  readonly process: ControllerProcess;
  readonly api: BuildApi;
  readonly #cluster: TestCluster;
  readonly #registry: SandboxRegistry;
  readonly #proxy: FaultProxy;
  readonly #folder: string;
  readonly #controller: string;
  readonly #namespace: string;
  #repositories = 0;

  static async create(cluster: TestCluster): Promise<BuildVictim> {
    const controller = cluster.uniqueName('crash');
    const registry = await startRegistry();
    await cluster.client.create(Namespaces, { metadata: { name: controller } });
    const config = JSON.stringify({
      auths: { [registry.host]: { auth: Buffer.from(`pusher:${canary('push')}`).toString('base64') } },
    });
    await cluster.client.create(Secrets, {
      metadata: { name: CREDENTIALS, namespace: controller },
      data: { 'config.json': Buffer.from(config).toString('base64') },
    });
    await cluster.startKubelet({
      namespacePrefix: controller,
      builds: (pod) => {
        const isEndless = pod.spec?.containers[0]?.args?.some((arg) => arg.includes('/endless-')) === true;
        return { lines: [said('one'), said('two')], hang: isEndless };
      },
    });
    const proxy = await FaultProxy.start(cluster.direct);
    const folder = mkdtempSync(join(tmpdir(), 'labwright-crash-'));
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigText(proxy.server, cluster.token), { mode: 0o600 });
    const token = canary(randomBytes(16).toString('hex'));
    const queue = { running: MANY, perUser: MANY, perRepository: MANY, waiting: MANY, waitingPerUser: MANY };
    const process = await ControllerProcess.prepare({
      credentials: { kubeconfig },
      namespace: controller,
      image: 'registry.example/lab:1',
      auth: { tokens: [{ sha256: createHash('sha256').update(token).digest('hex'), role: 'admin' }] },
      config: {
        leadership: LEADERSHIP,
        kubernetes: { namespace: controller, kubeconfig, concurrency: CONCURRENCY, requestTimeout: '60s' },
        builds: {
          registry: { host: registry.host, url: registry.url, insecure: true, credentials: CREDENTIALS },
          builder: { image: 'registry.example/builder:1' },
          queue,
        },
      },
    });
    const victim = new BuildVictim(cluster, registry, proxy, process, { token, folder, controller });
    await victim.start();
    return victim;
  }

  private constructor(
    cluster: TestCluster,
    registry: SandboxRegistry,
    proxy: FaultProxy,
    process: ControllerProcess,
    { token, folder, controller }: { token: string; folder: string; controller: string },
  ) {
    this.#cluster = cluster;
    this.#registry = registry;
    this.#proxy = proxy;
    this.process = process;
    this.api = new BuildApi(`${process.url}/labwright`, token);
    this.#folder = folder;
    this.#controller = controller;
    this.#namespace = `${controller}-builds`;
  }

  /** One that nobody has built. */
  newRepository(kind: 'quick' | 'endless'): string {
    this.#repositories += 1;
    return `ada/${kind}-${String(this.#repositories).padStart(3, '0')}`;
  }

  request(repository: string): Promise<string> {
    return this.api.request(repository, COMMIT);
  }

  async start(): Promise<void> {
    this.process.start();
    await this.process.firstAnswer();
  }

  /** The writes that go with some work, in the order in which they came; the second of its kind ends in ` 2`. */
  async writesDuring(work: () => Promise<unknown>): Promise<CallName[]> {
    const since = performance.now();
    await work();
    const name = this.#namer();
    const isWrite = ({ verb }: KubeRequest) => !['get', 'list', 'watch'].includes(verb);
    return this.#proxy.requests.calls(since, isWrite).flatMap((request) => name(request) ?? []);
  }

  /**
   * Begins some work and stops it just before or just after the API server does this call. Work stopped earlier stays so.
   *
   * @param others ids of builds whose calls, which are tried again while they are held, are not of this work
   */
  async stopAt<T>(
    call: CallName,
    side: Side,
    work: () => Promise<T>,
    others: readonly string[] = [],
  ): Promise<{ answer: Promise<T | undefined> }> {
    const name = this.#namer(others);
    const held = this.#proxy.held.size;
    let isHeld = false;
    this.#proxy.onCall = (_n, request) => {
      if (isHeld || name(request) !== call) return 'pass';
      isHeld = true;
      return side === 'before' ? 'hold-before' : 'hold-after';
    };
    const answer = work().catch(() => undefined);
    await until(`${call} is held`, () => this.#proxy.held.size > held);
    return { answer };
  }

  /** The process ends here and now, and another one starts. */
  async die(): Promise<void> {
    await this.process.kill('SIGKILL');
    await until('the proxy has noticed', () => this.#proxy.held.size === 0);
    this.#proxy.onCall = () => 'pass';
    await this.start();
  }

  /** Kills the process as soon as it has made so many more calls. */
  async dieAfter(calls: number): Promise<void> {
    await moreCalls(this.#proxy.requests, calls);
    await this.process.kill('SIGKILL');
    await this.start();
  }

  /** The id of the build of a repository; undefined when there is none. */
  async idOf(repository: string): Promise<string | undefined> {
    const { items } = await this.#cluster.client.list(Jobs, { namespace: this.#namespace });
    const builds = items.flatMap((job) => parseBuild(job) ?? []);
    return builds.find(({ spec }) => spec.repository.url.endsWith(`/${repository}`))?.spec.id;
  }

  /** Waits until nothing of a build that is over runs or is secret, and tells what there is then. */
  async restOf(id: string): Promise<BuildRest> {
    let rest: BuildRest | undefined;
    await until('the build is cleaned up', async () => {
      rest = await this.#look(id);
      return rest.status !== undefined && !rest.hasSecret && !rest.hasSlot && !rest.pods.some(isAlive);
    }).catch((cause: unknown) => {
      throw new Error(`${String(cause)}: ${JSON.stringify(rest)}\n${this.process.output.slice(-4_000)}`, { cause });
    });
    return rest!;
  }

  async #look(id: string): Promise<BuildRest> {
    const { client } = this.#cluster;
    const ref = { namespace: this.#namespace, name: `build-${id}` };
    const labelSelector = `${buildSelector(this.#controller)},${BUILD_LABEL}=${id}`;
    const [job, secret, pods, map] = await Promise.all([
      client.get(Jobs, ref),
      client.get(Secrets, ref),
      client.list(Pods, { namespace: this.#namespace, labelSelector }),
      client.get(ConfigMaps, { namespace: this.#namespace, name: SLOTS_NAME }),
    ]);
    const build = job && parseBuild(job);
    const [, name = '', tag = ''] = /^[^/]+\/([^:]+):(.+)$/.exec(build?.spec.image ?? '') ?? [];
    const digest = this.#registry.digestOf(name, tag);
    const result = build?.result;
    return {
      status: result?.status,
      // A pod that was deleted and has ended is as good as gone.
      pods: pods.items
        .filter(({ metadata, status }) => metadata?.deletionTimestamp === undefined || isAlive(status?.phase))
        .map(({ status }) => status?.phase),
      hasSecret: secret !== undefined,
      hasSlot: map !== undefined && parseSlots(map).some((slot) => slot.id === id),
      hasImage: digest !== undefined && result?.status === 'ready' && result.digest === digest,
    };
  }

  async close(): Promise<void> {
    await this.process.close();
    await this.api.close();
    await this.#proxy.close();
    await this.#registry.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Names calls in the order in which it is asked; undefined for those that are no build's. */
  #namer(others: readonly string[] = []): (request: KubeRequest) => CallName | undefined {
    const counts = new Map<string, number>();
    return ({ verb, resource, subresource, namespace, url }) => {
      if (others.some((id) => url.includes(id))) return undefined;
      const isOfBuild = namespace === this.#namespace && ['jobs', 'pods', 'secrets', 'configmaps'].includes(resource);
      if (verb === 'watch' || verb === 'list' || !isOfBuild) return undefined;
      const call = `${verb} ${subresource === '' ? resource : `${resource}/${subresource}`}`;
      const count = (counts.get(call) ?? 0) + 1;
      counts.set(call, count);
      return count === 1 ? call : `${call} ${count}`;
    };
  }
}

function isAlive(phase: string | undefined): boolean {
  return phase === 'Running' || phase === 'Pending';
}
