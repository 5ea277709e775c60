import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startRegistry } from '../../sandbox/index.ts';
import { tokenConnection } from '../../src/storage/kubernetes/connection.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { kubeconfigText, startApiServer } from '../../test/support/api-server.ts';
import { canary } from '../../test/support/canary.ts';
import { ControllerProcess } from '../../test/support/controller-process.ts';
import { FaultProxy } from '../../test/support/fault-proxy.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { IMAGE } from '../images.ts';
import { startKubeletProcess } from '../setting.ts';
import { Balancer } from './balancer.ts';
import { Client } from './client.ts';
import { LeaseWatch } from './lease-watch.ts';

export const NAMESPACE = 'labwright';
export const BUILDS = 'labwright-builds';
/** Pods and builds take a moment, so that what happens to replicas happens in the middle of them. */
const DELAYS = { schedule: 100, init: 100, pull: 500, start: 200, ready: 500, build: 3_000, stop: 300 };
const PROBE_MS = 500;
const READY_MS = 120_000;
const MANY = 500;
/** As long as an endpoint may still be used after its pod is told to go. */
const PAUSE_MS = 1_000;

/** One replica, with a proxy of its own that counts what it asks of the API server. */
export interface Replica {
  readonly name: string;
  readonly process: ControllerProcess;
  readonly proxy: FaultProxy;
  readonly port: number;
  isRunning: boolean;
}

/** A cluster and so many replicas of the program behind one Service. One more is kept for rolling restarts. */
export class Fleet {
  readonly replicas: readonly Replica[];
  readonly client: KubeClient;
  readonly lease: LeaseWatch;
  readonly service: Client;
  readonly token: string;
  readonly #balancer: Balancer;
  readonly #close: (() => unknown)[];
  readonly #leaving = new Set<Replica>();
  readonly #probing: NodeJS.Timeout;

  static async start(count: number, random: () => number): Promise<Fleet> {
    const closing: (() => unknown)[] = [];
    try {
      return await launch(count, random, closing);
    } catch (error) {
      for (const close of closing.toReversed()) await close();
      throw error;
    }
  }

  constructor(
    parts: Pick<Fleet, 'replicas' | 'client' | 'lease' | 'token'>,
    balancer: Balancer,
    close: (() => unknown)[],
  ) {
    this.replicas = parts.replicas;
    this.client = parts.client;
    this.lease = parts.lease;
    this.token = parts.token;
    this.#balancer = balancer;
    this.#close = close;
    this.service = new Client(balancer.url, parts.token);
    this.#probing = setInterval(() => void this.#probe(), PROBE_MS);
  }

  get running(): readonly Replica[] {
    return this.replicas.filter(({ isRunning }) => isRunning);
  }

  /** The one that the Lease names; the first one where there is no Lease. */
  get leader(): Replica | undefined {
    const { holder } = this.lease;
    return this.running.find(({ name }) => name === holder) ?? (holder === '' ? this.running[0] : undefined);
  }

  /** Starts a replica and waits until it is ready. */
  async begin(replica: Replica): Promise<void> {
    this.#leaving.delete(replica);
    replica.process.start();
    replica.isRunning = true;
    const isReady = async () => ((await this.#isReady(replica)) ? true : undefined);
    await waitFor(`${replica.name} to be ready`, READY_MS, isReady).catch((cause: unknown) => {
      throw new Error(`${replica.name} does not become ready: ${replica.process.output}`, { cause });
    });
    await this.#probe();
  }

  /** Stops a replica as a rolling update does: it leaves the Service first. @returns when it was told to end */
  async end(replica: Replica): Promise<number> {
    this.#leaving.add(replica);
    await this.#probe();
    await delay(PAUSE_MS);
    const at = performance.now();
    await replica.process.kill('SIGTERM');
    replica.isRunning = false;
    return at;
  }

  async kill(replica: Replica): Promise<void> {
    await replica.process.kill('SIGKILL');
    replica.isRunning = false;
  }

  /** A client of one replica alone. */
  clientOf({ process }: Replica): Client {
    return new Client(process.url, this.token);
  }

  async close(): Promise<void> {
    clearInterval(this.#probing);
    for (const close of this.#close.toReversed()) await close();
  }

  async #probe(): Promise<void> {
    const candidates = this.running.filter((replica) => !this.#leaving.has(replica));
    const ready = await Promise.all(candidates.map((replica) => this.#isReady(replica)));
    this.#balancer.ready = candidates.filter((_replica, index) => ready[index]).map(({ port }) => port);
  }

  async #isReady({ process }: Replica): Promise<boolean> {
    const signal = AbortSignal.timeout(2 * PROBE_MS);
    return fetch(`${process.url}/readyz`, { signal }).then(
      async (answer) => {
        await answer.body?.cancel();
        return answer.ok;
      },
      () => false,
    );
  }
}

async function launch(count: number, random: () => number, closing: (() => unknown)[]): Promise<Fleet> {
  const api = await startApiServer({ controllers: 'stock' });
  closing.push(() => api.close());
  const connection = tokenConnection(api);
  closing.push(() => connection.dispatcher.destroy());
  const client = new KubeClient({ connection });
  await client.create(Namespaces, { metadata: { name: NAMESPACE } });
  await waitFor('the default account', 30_000, () => client.get(Namespaces, { name: 'kube-node-lease' }), 100);
  await delay(3_000);
  const kubelet = await startKubeletProcess({ server: api.server, token: api.token, ca: api.ca, delays: DELAYS });
  closing.push(() => kubelet.kill('SIGKILL'));
  const registry = await startRegistry({ maxBytes: 2 ** 30 });
  closing.push(() => registry.close());
  const folder = mkdtempSync(join(tmpdir(), 'labwright-replicas-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'logs'));
  const token = canary(randomBytes(16).toString('hex'));
  const replicas: Replica[] = [];
  for (let index = 0; index <= count; index += 1) {
    const proxy = await FaultProxy.start(api);
    closing.push(() => proxy.close());
    const kubeconfig = join(folder, `kubeconfig-${index}`);
    writeFileSync(kubeconfig, kubeconfigText(proxy.server, api.token), { mode: 0o600 });
    const name = `labwright-${index}`;
    const queue = { running: MANY, perUser: MANY, perRepository: MANY, waiting: MANY, waitingPerUser: MANY };
    const process = await ControllerProcess.prepare({
      credentials: { kubeconfig },
      namespace: NAMESPACE,
      image: IMAGE,
      env: { POD_NAME: name },
      auth: { tokens: [{ sha256: createHash('sha256').update(token).digest('hex'), role: 'admin' }] },
      config: {
        builds: {
          registry: { host: registry.host, url: registry.url, insecure: true },
          builder: { image: 'registry.example/builder:1' },
          logs: { directory: join(folder, 'logs') },
          queue,
        },
      },
    });
    closing.push(() => process.close());
    replicas.push({ name, process, proxy, port: Number(new URL(process.url).port), isRunning: false });
  }
  const balancer = await Balancer.start(random);
  closing.push(() => balancer.close());
  const lease = new LeaseWatch(client, NAMESPACE);
  closing.push(() => lease.close());
  const fleet = new Fleet({ replicas, client, lease, token }, balancer, closing);
  try {
    await Promise.all(replicas.slice(0, count).map((replica) => fleet.begin(replica)));
    return fleet;
  } catch (error) {
    await fleet.close();
    closing.length = 0;
    throw error;
  }
}
