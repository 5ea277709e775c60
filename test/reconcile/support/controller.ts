import type { KubernetesObject, V1Pod } from '@kubernetes/client-node';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { createLabs, type LabParts, type LabPatience } from '../../../src/app/labs.ts';
import { placeOf } from '../../../src/builder/lab/place.ts';
import { buildObjectNames, type LabObjectNames } from '../../../src/domain/lab/object-names.ts';
import type { Config } from '../../../src/config/index.ts';
import type { LabEvent, LabKey, LabPhase, LabState } from '../../../src/domain/lab/lab.ts';
import { LAB_LABEL, labSlug } from '../../../src/domain/names.ts';
import type { BuildService } from '../../../src/reconcile/builds/build-service.ts';
import type { LeaderElection } from '../../../src/reconcile/leader.ts';
import { Manager } from '../../../src/reconcile/manager.ts';
import type { CreateLab, LabService, LabTokens } from '../../../src/reconcile/labs/lab-service.ts';
import type { Delays, Fault, Kubelet } from '../../../sandbox/index.ts';
import { tokenConnection } from '../../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import * as resources from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { aConfig, aKey, PLANTED } from './labs.ts';
import type { Clock } from '../../../src/util/clock.ts';
import { aborted } from '../../../src/util/sleep.ts';
import { until } from './until.ts';

const { Namespaces, Pods, Secrets } = resources;

export interface SettingOptions {
  /** `perLab` for a test about namespaces of labs' own; otherwise as the run of the suites says. */
  readonly namespaces?: 'perLab' | 'shared' | undefined;
  readonly config?: Config;
  readonly leftoverGrace?: number;
  readonly patience?: LabPatience;
  readonly clock?: Clock;
  /** Signs the tokens of labs, where the configuration asks for it. */
  readonly tokens?: LabTokens | undefined;
  readonly faults?: readonly Fault[];
  readonly delays?: Delays;
  /** What builds the images of labs, asked for at each start of the controller. */
  readonly builds?: () => BuildService | undefined;
  /** False: pods stay pending until the test moves them. */
  readonly kubelet?: boolean;
  /** False: the test starts the controller. */
  readonly start?: boolean;
}

/** One lab controller with a namespace, a prefix and a kubelet of its own on a cluster that others may share. */
export class Setting {
  readonly cluster: TestCluster;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly prefix: string;
  /** Between this controller and the API server: it counts, and has faults where a test wants them. */
  readonly proxy: FaultProxy;
  /** What was logged, a JSON document each. */
  readonly log: string[] = [];
  /** Missing where the test does without. */
  kubelet!: Kubelet;
  #options: SettingOptions;
  #running: Running | undefined;
  readonly #replicas: Running[] = [];

  static async create(cluster: TestCluster, options: SettingOptions = {}): Promise<Setting> {
    const setting = new Setting(cluster, await FaultProxy.start(cluster.direct), options);
    await cluster.client.create(Namespaces, { metadata: { name: setting.controller } });
    const { namespaces, namespace } = setting.config.lab;
    if (namespaces === 'shared') await cluster.client.create(Namespaces, { metadata: { name: namespace ?? '' } });
    const { delays, faults = [] } = options;
    if (options.kubelet !== false) {
      setting.kubelet = await cluster.startKubelet({
        namespacePrefix: setting.prefix,
        faults,
        ...(delays === undefined ? {} : { delays }),
      });
    }
    if (options.start !== false) await setting.start();
    return setting;
  }

  private constructor(cluster: TestCluster, proxy: FaultProxy, options: SettingOptions) {
    this.cluster = cluster;
    this.proxy = proxy;
    this.#options = options;
    this.prefix = cluster.uniqueName('labs');
    this.controller = `${this.prefix}-controller`;
  }

  /** For the test's own looking and meddling. */
  get client(): KubeClient {
    return this.cluster.client;
  }

  get labs(): LabService {
    if (this.#running === undefined) throw new Error('The controller does not run');
    return this.#running.parts.labs;
  }

  /** Goes on with another configuration, without a restart. */
  reconfigure(config: Config): void {
    this.#options = { ...this.#options, config };
    const { parts } = this.#running ?? {};
    parts?.use(parts.by(this.config));
  }

  /** Starts the controller, with other options than before where some are given, and waits for its first picture. */
  async start(change: SettingOptions = {}): Promise<void> {
    this.launch(change);
    await this.labs.ready();
  }

  /** As `start`, without waiting. */
  launch(change: SettingOptions = {}): void {
    this.#options = { ...this.#options, ...change };
    this.#running = this.#run();
  }

  /**
   * Starts one more controller beside the first one.
   *
   * @param leads whether it reconciles, too, as when there is no election; otherwise it only serves
   */
  async addReplica({ leads, proxy = this.proxy }: { leads: boolean; proxy?: FaultProxy }): Promise<LabService> {
    const replica = this.#run(proxy, leads ? undefined : NEVER_LEADS);
    this.#replicas.push(replica);
    const { labs } = replica.parts;
    await labs.ready();
    return labs;
  }

  #run(proxy = this.proxy, election?: LeaderElection): Running {
    const config = this.config;
    const client = new KubeClient({
      connection: tokenConnection({ server: proxy.server, token: this.cluster.token }),
      timeoutMs: config.kubernetes.requestTimeout,
    });
    const logger = pino({ level: 'trace' }, { write: (line: string) => void this.log.push(line) });
    const { leftoverGrace, patience, tokens, builds, clock } = this.#options;
    const parts = createLabs({
      client,
      config,
      controller: this.controller,
      logger,
      tokens,
      builds: builds?.(),
      ...(clock === undefined ? {} : { clock }),
      // All run on one machine, with one clock; what may pass is not what most tests are about.
      patience: {
        clockSkew: 0,
        longestGrace: 5_000,
        ...(leftoverGrace === undefined ? {} : { leftoverGrace }),
        ...patience,
      },
    });
    const manager = new Manager({ logger, ...(election === undefined ? {} : { election }) })
      .addCache(...parts.caches)
      .addComponent(...parts.components)
      .addController(...parts.controllers);
    const halt = new AbortController();
    return { parts, client, halt, working: manager.run(halt.signal) };
  }

  /** Stops the controller. Nothing secret may have been logged until then. */
  async stop(): Promise<void> {
    const all = [...this.#replicas.splice(0), ...(this.#running === undefined ? [] : [this.#running])];
    this.#running = undefined;
    for (const { halt } of all) halt.abort();
    await Promise.all(all.map(({ working }) => working));
    await Promise.all(all.map(({ client }) => client.close()));
    for (const secret of Object.values(PLANTED)) expect(this.log.join('')).not.toContain(secret);
  }

  /** Stops the controller and what belongs to it alone. */
  async close(): Promise<void> {
    this.proxy.onCall = () => 'pass';
    await this.stop();
    await this.kubelet?.close();
    await this.proxy.close();
  }

  async restart(change: SettingOptions = {}): Promise<void> {
    await this.stop();
    await this.start(change);
  }

  /** The configuration, with namespaces for this test alone. */
  get config(): Config {
    const base = this.#options.config ?? aConfig();
    const { namespaces = SHARED ? 'shared' : base.lab.namespaces } = this.#options;
    return base.lab.namespacePrefix === 'lab' ? placed(base, this.prefix, namespaces) : base;
  }

  /** What the objects of a lab are called. */
  names(key: LabKey = aKey()): LabObjectNames {
    const user = { username: key.username, uid: 1000, gid: 1000 };
    return buildObjectNames(key, placeOf(this.config.lab, this.controller, { user, servername: key.servername }));
  }

  namespaceOf(key: LabKey = aKey()): string {
    return this.names(key).namespace;
  }

  podRef(key: LabKey = aKey()) {
    return { namespace: this.namespaceOf(key), name: this.names(key).pod };
  }

  intentRef(key: LabKey = aKey()) {
    return { namespace: this.controller, name: `lab-${labSlug(key)}` };
  }

  state(key: LabKey = aKey()): LabState {
    const state = this.labs.get(key);
    if (state === undefined) throw new Error(`There is no lab of ${key.username}`);
    return state;
  }

  /** Asks for a lab and waits until it runs. */
  async spawn(lab: CreateLab): Promise<LabState> {
    await this.labs.create(lab);
    return this.untilPhase('running', lab.key);
  }

  async untilPhase(phase: LabPhase, key: LabKey = aKey(), timeoutMs?: number): Promise<LabState> {
    const seen = () => this.labs.get(key);
    const found = await until(`the lab is ${phase}`, () => seen()?.phase === phase && seen(), timeoutMs).catch(
      (cause: unknown) => {
        throw new Error(`${String(cause)}; it is ${JSON.stringify(seen())}\n${this.log.slice(-10).join('')}`);
      },
    );
    return found;
  }

  /** Waits until a failed lab has been cleaned up: the reason is left, pod and secrets are gone. */
  async untilCleaned(key: LabKey = aKey()): Promise<void> {
    await this.untilMarkedClean(key);
    expect(await this.pod(key)).toBeUndefined();
    expect(await this.secretNames(key)).toEqual([]);
  }

  pod(key: LabKey = aKey()): Promise<V1Pod | undefined> {
    return this.client.get(Pods, this.podRef(key));
  }

  namespace(key: LabKey = aKey()): Promise<KubernetesObject | undefined> {
    return this.client.get(Namespaces, { name: this.namespaceOf(key) });
  }

  async secretNames(key: LabKey = aKey()): Promise<string[]> {
    const labelSelector = `${LAB_LABEL}=${labSlug(key)}`;
    const { items } = await this.client.list(Secrets, { namespace: this.namespaceOf(key), labelSelector });
    return items.map(({ metadata }) => metadata?.name ?? '').sort();
  }

  /** Every event of the lab's current operation, to the terminal one. */
  async events(key: LabKey = aKey(), lastEventId?: string, timeoutMs = 15_000): Promise<LabEvent[]> {
    const stream = this.labs.events(key, lastEventId, AbortSignal.timeout(timeoutMs));
    const events: LabEvent[] = [];
    for await (const event of stream ?? []) events.push(event);
    return events;
  }

  /** Waits until the controller has noted that nothing of a failed lab runs any more. */
  async untilMarkedClean(key: LabKey = aKey()): Promise<void> {
    await until('the failed lab is cleaned up', async () => {
      const intent = await this.client.get(Secrets, this.intentRef(key));
      return intent?.metadata?.annotations?.['labwright.dev/cleaned'] === 'true';
    });
  }

  /** Waits until nothing is known of the lab and its intent is gone. */
  async untilForgotten(key: LabKey = aKey()): Promise<void> {
    await until('the lab is forgotten', () => this.labs.get(key) === undefined);
    await until('its intent is gone', async () => (await this.client.get(Secrets, this.intentRef(key))) === undefined);
  }

  /** Follows the events of the lab until one has this message. */
  async untilEvent(message: string, key: LabKey = aKey()): Promise<LabEvent> {
    for await (const event of this.labs.events(key, undefined, AbortSignal.timeout(15_000)) ?? []) {
      if (event.message === message) return event;
    }
    throw new Error(`There was no event "${message}"`);
  }

  /** Writes a pod's status as the kubelet would. */
  async setPodStatus(status: object, key: LabKey = aKey()): Promise<void> {
    await this.client.patch(Pods, this.podRef(key), { status }, { subresource: 'status' });
  }

  /** Puts a pod on a node and starts it, where the test has no kubelet. */
  async runByHand(key: LabKey = aKey()): Promise<void> {
    await this.untilPod(key);
    await this.client.createSubresource(Pods, this.podRef(key), 'binding', {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: this.podRef(key).name },
      target: { kind: 'Node', name: 'node-of-the-test' },
    });
    await this.setPodStatus(
      { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], podIP: '10.0.0.1' },
      key,
    );
  }

  /** Makes the pod one from before pods said what was asked for: it cannot be adopted. */
  async forgetSpec(key: LabKey = aKey()): Promise<void> {
    await this.client.patch(Pods, this.podRef(key), { metadata: { annotations: { 'labwright.dev/spec': null } } });
  }

  untilPod(key: LabKey = aKey()): Promise<V1Pod> {
    return until('the pod is there', () => this.pod(key));
  }
}

/** Whether all labs of these suites share a namespace, where a test does not say how they are. */
export const SHARED = process.env['LABWRIGHT_TEST_NAMESPACES'] === 'shared';

/** For a replica that serves while others reconcile. */
const NEVER_LEADS: LeaderElection = {
  isLeader: false,
  health: () => ({ component: 'leader', ready: true }),
  run: (signal) => aborted(signal),
};

interface Running {
  readonly parts: LabParts;
  readonly client: KubeClient;
  readonly halt: AbortController;
  readonly working: Promise<void>;
}

/** The same configuration for namespaces of this test alone. */
function placed(config: Config, namespacePrefix: string, namespaces: 'perLab' | 'shared'): Config {
  const namespace = namespaces === 'shared' ? `${namespacePrefix}-shared` : undefined;
  return { ...config, lab: { ...config.lab, namespacePrefix, namespaces, namespace } };
}

/**
 * One cluster for a test file, and controllers that end with the test that started them.
 *
 * @param options `concurrent`: tests run side by side, so that the controllers end with the last one; `namespaces`: for all of them
 */
export function useCluster(options: { readonly concurrent?: boolean } & Pick<SettingOptions, 'namespaces'> = {}) {
  let cluster: TestCluster;
  const settings: Setting[] = [];
  const closeAll = () => Promise.all(settings.splice(0).map((setting) => setting.close()));
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(async () => {
    if (options.concurrent !== true) await closeAll();
  });
  afterAll(async () => {
    await closeAll();
    await cluster.close();
  });
  return {
    /** A name nobody else uses. */
    uniqueName: (prefix: string) => cluster.uniqueName(prefix),
    async setting(settingOptions?: SettingOptions): Promise<Setting> {
      const setting = await Setting.create(cluster, { namespaces: options.namespaces, ...settingOptions });
      settings.push(setting);
      return setting;
    },
  };
}
