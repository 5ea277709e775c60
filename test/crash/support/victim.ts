import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigMaps, Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { until } from '../../reconcile/support/until.ts';
import { kubeconfigText } from '../../support/api-server.ts';
import { canary } from '../../support/canary.ts';
import type { TestCluster } from '../../support/cluster.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { ControllerProcess } from '../../support/controller-process.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { isOfElection, LEADERSHIP, moreCalls } from './leadership.ts';
import { snapshot, type WhatIsLeft } from './snapshot.ts';

/** One call of an operation: `create pods`, `create secrets of the controller`; the second of its kind ends in ` 2`. */
export type CallName = string;
export type Side = 'before' | 'after';

/** A Secret of the controller's namespace that every lab gets a copy of. */
const SOURCE = 'source';
/** What the configuration has labs made with. */
const EXTRA = 'extra';
/** Every operation under test waits in a call of its own until the process dies. */
const CONCURRENCY = 128;
/** After a death another process starts, waits for the Lease to expire, and goes on with dozens of operations at once. */
const PATIENCE_MS = 30_000;

/**
 * The controller as a process of its own, with a proxy between it and the API server that can stop it in the middle of
 * any call. Any number of operations can be stopped, each where the test wants it, before the process is killed: one
 * death is then a crash at all these points.
 */
export class Victim {
  readonly process: ControllerProcess;
  readonly #cluster: TestCluster;
  readonly #proxy: FaultProxy;
  readonly #folder: string;
  readonly #prefix: string;
  readonly #controller: string;
  #users = 0;

  static async create(cluster: TestCluster): Promise<Victim> {
    const prefix = cluster.uniqueName('crash');
    const controller = `${prefix}-controller`;
    await cluster.client.create(Namespaces, { metadata: { name: controller } });
    await cluster.client.create(Secrets, {
      metadata: { name: SOURCE, namespace: controller },
      data: { licence: Buffer.from(canary('licence')).toString('base64') },
    });
    await cluster.startKubelet({ namespacePrefix: prefix });
    const proxy = await FaultProxy.start(cluster.direct);
    const folder = mkdtempSync(join(tmpdir(), 'labwright-crash-'));
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigText(proxy.server, cluster.token), { mode: 0o600 });
    const process = await ControllerProcess.prepare({
      credentials: { kubeconfig },
      namespace: controller,
      image: 'registry.example/lab:1',
      config: {
        leadership: LEADERSHIP,
        kubernetes: { namespace: controller, kubeconfig, concurrency: CONCURRENCY, requestTimeout: '60s' },
      },
      lab: {
        namespacePrefix: prefix,
        secrets: [{ secretName: SOURCE, secretKey: 'licence', env: 'LICENCE' }],
        extraObjects: [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: EXTRA }, data: { of: '{username}' } }],
      },
      labEnv: (username) => ({ JUPYTERHUB_API_TOKEN: canary(`token-of-${username}`) }),
    });
    const victim = new Victim(cluster, proxy, process, { folder, prefix, controller });
    await victim.start();
    return victim;
  }

  private constructor(
    cluster: TestCluster,
    proxy: FaultProxy,
    process: ControllerProcess,
    { folder, prefix, controller }: { folder: string; prefix: string; controller: string },
  ) {
    this.#cluster = cluster;
    this.#proxy = proxy;
    this.process = process;
    this.#folder = folder;
    this.#prefix = prefix;
    this.#controller = controller;
  }

  get api() {
    return this.process.api;
  }

  /** A user who has never had a lab; all names are equally long. */
  newUser(): string {
    this.#users += 1;
    return `user-${String(this.#users).padStart(3, '0')}`;
  }

  async start(): Promise<void> {
    this.process.start();
    await this.process.firstAnswer();
  }

  /** The names of the calls that an operation makes, in the order in which they came. */
  async callsOf(user: string, work: () => Promise<unknown>): Promise<CallName[]> {
    const since = performance.now();
    await work();
    const name = this.#namer(user);
    return this.#proxy.requests.calls(since).flatMap((request) => name(request) ?? []);
  }

  /**
   * Begins an operation for a user and stops it just before or just after the API server does this call. Operations that
   * were stopped earlier stay so.
   *
   * @returns the answer to the operation; 0 when the process dies before it gives one
   */
  async stopAt(user: string, call: CallName, side: Side, operation: () => Promise<number>): Promise<Promise<number>[]> {
    const name = this.#namer(user);
    const held = this.#proxy.held.size;
    this.#proxy.onCall = (_n, request) => {
      if (request.verb === 'watch' || name(request) !== call) return 'pass';
      return side === 'before' ? 'hold-before' : 'hold-after';
    };
    const answer = operation().catch(() => 0);
    await until(`the ${call} of ${user} is held`, () => this.#proxy.held.size > held);
    this.#proxy.onCall = () => 'pass';
    // In a list, because a promise in a promise would be waited for.
    return [answer];
  }

  /** The process ends here and now, and another one starts. */
  async die(): Promise<void> {
    await this.process.kill('SIGKILL');
    await until('the proxy has noticed', () => this.#proxy.held.size === 0);
    await this.start();
  }

  /** Kills the process as soon as it has made so many more calls. */
  async dieAfter(calls: number): Promise<void> {
    await moreCalls(this.#proxy.requests, calls);
    await this.process.kill('SIGKILL');
  }

  async untilRunning(username: string): Promise<void> {
    await until(
      `${username} has a lab that runs`,
      async () => (await this.api.get(username))?.status === 'running',
      PATIENCE_MS,
    );
  }

  async untilGone(username: string): Promise<void> {
    await until(`${username} has no lab`, async () => (await this.api.get(username)) === undefined, PATIENCE_MS);
  }

  /** What is there, once the cluster has removed what belonged to a lab that has ended. */
  async snapshot(username: string): Promise<WhatIsLeft> {
    const namespace = `${this.#prefix}-${username}`;
    const { client } = this.#cluster;
    await until('what belonged to a lab is gone with it', async () => {
      const [owner, owned] = await Promise.all([
        client.get(Secrets, { namespace, name: 'lab-env' }),
        client.get(ConfigMaps, { namespace, name: EXTRA }),
      ]);
      return (owner === undefined) === (owned === undefined);
    });
    return snapshot(this.#cluster.client, { namespace, controller: this.#controller, username });
  }

  async close(): Promise<void> {
    await this.process.close();
    await this.#proxy.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Names the calls of one user's operation in the order in which it is asked; undefined for those of other users. A
   * create in the controller's namespace does not say whose it is: operations are begun one after the other.
   */
  #namer(user: string): (request: KubeRequest) => CallName | undefined {
    const counts = new Map<string, number>();
    const own = new Set([`${this.#prefix}-${user}`, this.#controller, '']);
    return (request) => {
      const { verb, resource, namespace } = request;
      if (!own.has(namespace) || isOfElection(request)) return undefined;
      // A lab has nothing but Secrets there; other controllers look for other things when they start.
      if (namespace === this.#controller && resource !== 'secrets') return undefined;
      const name = `${verb} ${resource}${namespace === this.#controller ? ' of the controller' : ''}`;
      const count = (counts.get(name) ?? 0) + 1;
      counts.set(name, count);
      return count === 1 ? name : `${name} ${count}`;
    };
  }
}
