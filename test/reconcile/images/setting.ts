import type { V1Pod } from '@kubernetes/client-node';
import { pino } from 'pino';
import { createPrepull, type PrepullParts } from '../../../src/app/prepull.ts';
import type { Config, ConfigInput } from '../../../src/config/index.ts';
import type { PrepullView } from '../../../src/domain/image/prepull/view.ts';
import type { WantedImage, WantedImages } from '../../../src/domain/image/wanted-image.ts';
import type { LeaderElection } from '../../../src/reconcile/leader.ts';
import { Manager } from '../../../src/reconcile/manager.ts';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces, Nodes, Pods, ServiceAccounts } from '../../../src/storage/kubernetes/resources.ts';
import { ImageNodes, type ImageNodesOptions, type NodeOptions } from '../../../sandbox/index.ts';
import type { TestCluster } from '../../support/cluster.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { aConfig } from '../support/labs.ts';
import { until } from '../support/until.ts';

/** The images that are wanted, which a test changes. */
export class Wanted implements WantedImages {
  readonly #listeners = new Set<() => void>();
  #images: readonly WantedImage[];

  constructor(images: readonly WantedImage[]) {
    this.#images = images;
  }

  set(images: readonly WantedImage[]): void {
    this.#images = images;
    for (const listener of this.#listeners) listener();
  }

  wanted(): readonly WantedImage[] {
    return this.#images;
  }

  onChange(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }
}

export function images(count: number, from = 1): WantedImage[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const digest = `sha256:${String(number).padStart(64, '0')}`;
    const reference = `registry.example/lab:${String(number)}@${digest}`;
    return { reference, digest, name: `Lab ${String(number)}`, size: 2 ** 20, architectures: null };
  });
}

export interface PrepullSettingOptions {
  readonly nodes: number | readonly Omit<NodeOptions, 'labels'>[];
  readonly wanted: readonly WantedImage[];
  readonly prepull?: ConfigInput['images']['prepull'];
  readonly lab?: Partial<ConfigInput['lab']>;
  readonly world?: Partial<ImageNodesOptions>;
  readonly podName?: string;
}

interface Running {
  readonly parts: PrepullParts;
  readonly halt: AbortController;
  readonly working: Promise<void>;
  readonly client: KubeClient;
}

/** Nodes of its own on a cluster that others may share, and any number of replicas that pull images to them. */
export class PrepullSetting {
  readonly cluster: TestCluster;
  readonly namespace: string;
  readonly proxy: FaultProxy;
  readonly wanted: Wanted;
  readonly log: string[] = [];
  nodes!: ImageNodes;
  readonly #options: PrepullSettingOptions;
  readonly #running: Running[] = [];
  readonly #names: string[] = [];

  static async create(cluster: TestCluster, options: PrepullSettingOptions): Promise<PrepullSetting> {
    const setting = new PrepullSetting(cluster, await FaultProxy.start(cluster.direct), options);
    await cluster.client.create(Namespaces, { metadata: { name: setting.namespace } });
    // No pod can be made before that; a controller of the cluster makes it.
    if (cluster.kind === 'apiserver') {
      const account = { namespace: setting.namespace, name: 'default' };
      await until('the account of pods is there', () => cluster.client.get(ServiceAccounts, account));
    }
    const { nodes } = options;
    const all = typeof nodes === 'number' ? Array.from({ length: nodes }, (_, at) => ({ name: String(at) })) : nodes;
    setting.nodes = await ImageNodes.start({
      ...{ client: cluster.client, namespace: setting.namespace, nodes: all.map((each) => setting.own(each)) },
      ...options.world,
    });
    return setting;
  }

  private constructor(cluster: TestCluster, proxy: FaultProxy, options: PrepullSettingOptions) {
    this.cluster = cluster;
    this.proxy = proxy;
    this.#options = options;
    this.namespace = cluster.uniqueName('prepull');
    this.wanted = new Wanted(options.wanted);
  }

  /** A node of this setting alone: by its name, and by a label that labs ask for. */
  own(options: Omit<NodeOptions, 'labels'>): NodeOptions {
    const name = this.node(options.name);
    this.#names.push(name);
    return { ...options, name, labels: { 'test/prepull': this.namespace } };
  }

  node(name: string | number): string {
    return `${this.namespace}-node-${String(name)}`;
  }

  config(change: Partial<ConfigInput['lab']> = {}): Config {
    const { prepull = {}, lab } = this.#options;
    return aConfig(
      { nodeSelector: { 'test/prepull': this.namespace }, ...lab, ...change },
      { images: { list: [{ reference: 'registry.example/lab:1' }], prepull } },
    );
  }

  /** One more replica, which leads unless told. */
  start({ election, off = false }: { election?: LeaderElection; off?: boolean } = {}): PrepullParts {
    const client = new KubeClient({
      connection: tokenConnection({ server: this.proxy.server, token: this.cluster.token }),
    });
    const logger = pino({ level: 'trace' }, { write: (line: string) => void this.log.push(line) });
    const config = off ? aConfig() : this.config();
    const { podName } = this.#options;
    const parts = createPrepull({ client, config, controller: this.namespace, logger, wanted: this.wanted, podName });
    const manager = new Manager({ logger, ...(election === undefined ? {} : { election }) })
      .addCache(...parts.caches)
      .addController(...parts.controllers);
    const halt = new AbortController();
    this.#running.push({ parts, client, halt, working: manager.run(halt.signal) });
    return parts;
  }

  /** Stops the replica that was started first. */
  async stop(): Promise<void> {
    const first = this.#running.shift();
    first?.halt.abort();
    await first?.working;
    await first?.client.close();
  }

  get view(): PrepullView {
    const view = this.#running[0]?.parts.view;
    if (view === undefined) throw new Error('Nothing is pulled ahead');
    return view;
  }

  async pods(): Promise<V1Pod[]> {
    return (await this.cluster.client.list(Pods, { namespace: this.namespace })).items;
  }

  record() {
    return this.cluster.client.get(ConfigMaps, { namespace: this.namespace, name: 'labwright-prepull' });
  }

  /** Waits until every node of the list has every wanted image, and no pod is left. */
  async untilWarm(names: readonly (string | number)[]): Promise<void> {
    const references = this.wanted
      .wanted()
      .map(({ reference }) => reference)
      .sort();
    await until('all images are on the nodes', () =>
      names.every((name) => {
        const there = new Set(this.nodes.images(this.node(name)));
        return references.every((reference) => there.has(reference));
      }),
    );
    await this.untilNoPods();
  }

  async untilNoPods(): Promise<void> {
    await until('no puller pod is left', async () => (await this.pods()).length === 0);
  }

  async close(): Promise<void> {
    this.proxy.onCall = () => 'pass';
    while (this.#running.length > 0) await this.stop();
    await this.nodes.close();
    await this.proxy.close();
    // The real API server is shared by all files of a run.
    for (const name of this.#names) await this.cluster.client.delete(Nodes, { name });
    for (const { metadata } of await this.pods()) {
      const ref = { namespace: this.namespace, name: metadata?.name ?? '' };
      await this.cluster.client.delete(Pods, ref, { gracePeriodSeconds: 0 });
    }
  }
}
