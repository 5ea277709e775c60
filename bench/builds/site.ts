import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildsConfig, parseConfig } from '../../src/config/index.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';
import { kubeconfigText } from '../../test/support/api-server.ts';
import { canary } from '../../test/support/canary.ts';
import { ControllerProcess } from '../../test/support/controller-process.ts';
import { FaultProxy } from '../../test/support/fault-proxy.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { Cluster } from './cluster.ts';
import { Observer, type Seen } from './observer.ts';
import { type Question, readBuild, type Reading } from './reader.ts';

export interface SiteOptions {
  /** Controllers on one namespace. */
  readonly controllers?: number;
  /** Sections of `builds` on top of those of the benchmark. */
  readonly builds?: Readonly<Record<string, object>>;
  /** Whether a first build can end well; default: it can, and is done. */
  readonly canBuild?: boolean;
  /** Done before the controllers start. */
  readonly prepare?: (namespace: string) => Promise<unknown>;
}

/** Small enough that the kubelet, and not the scheduler's arithmetic, is the bound. */
const POD = {
  ...{ cpu: 1, memory: '256Mi', ephemeralStorage: '64Mi' },
  ...{ cpuRequest: 0.001, memoryRequest: '4Mi', ephemeralStorageRequest: '1Mi' },
};
const MANY = 1000;
/** Nothing listens there, and nobody asks it anything: a commit stands for itself. A name would have to be looked up. */
export const GIT_HOST = '127.0.0.1:2';
const NAMESPACE_GONE_MS = 180_000;

/** Labwright with builds, as processes of this machine, in namespaces of its own on the real cluster. */
export class Site {
  readonly namespace: string;
  readonly token = canary(randomBytes(16).toString('hex'));
  readonly #cluster: Cluster;
  readonly #folder = mkdtempSync(join(tmpdir(), 'bench-builds-'));
  readonly #proxies: FaultProxy[] = [];
  readonly #controllers: ControllerProcess[] = [];
  #observer: Observer | undefined;
  #count = 0;

  static async start(cluster: Cluster, options: SiteOptions = {}): Promise<Site> {
    const site = new Site(cluster);
    try {
      await site.#start(options);
      return site;
    } catch (error) {
      await site.close();
      throw error;
    }
  }

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.namespace = `bench-${randomBytes(4).toString('hex')}`;
  }

  get builds(): string {
    return `${this.namespace}-builds`;
  }

  get observer(): Observer {
    if (this.#observer === undefined) throw new Error('the site has not started');
    return this.#observer;
  }

  get controllers(): readonly ControllerProcess[] {
    return this.#controllers;
  }

  /** Between the first controller and the API server. */
  get proxy(): FaultProxy {
    return this.#proxies[0]!;
  }

  /** The builds section as the controllers read it. */
  get config(): BuildsConfig {
    const { builds } = parseConfig(readFileSync(this.#controllers[0]!.configFile, 'utf8'));
    if (builds === undefined) throw new Error('the configuration has no builds');
    return builds;
  }

  /** A question about a repository that nobody has built, which the scripted builder does this for. */
  question(script: string, options: Partial<Question> = {}, controller = 0): Question {
    this.#count += 1;
    return {
      api: `${this.#controllers[controller]!.url}/labwright`,
      token: this.token,
      repository: `http://${GIT_HOST}/${this.namespace}/${script}-n${this.#count}`,
      commit: randomBytes(20).toString('hex'),
      as: 'builds',
      ...options,
    };
  }

  /** Asks for a build and follows it. */
  read(question: Question, deadlineMs = 180_000): Promise<Reading> {
    return readBuild(question, AbortSignal.timeout(deadlineMs));
  }

  /** What the API server showed of the build that was read. */
  seen({ id }: Reading): Seen {
    return this.observer.get(id ?? '');
  }

  async close(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.close()));
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    await this.#observer?.close();
    rmSync(this.#folder, { recursive: true, force: true });
    const { client } = this.#cluster;
    const names = [this.namespace, this.builds];
    for (const name of names) await client.delete(Namespaces, { name }).catch(() => undefined);
    // What is being removed takes processor time from whatever is measured next.
    await waitFor(
      'the namespaces to go',
      NAMESPACE_GONE_MS,
      async () => {
        const left = await Promise.all(names.map((name) => client.get(Namespaces, { name })));
        return left.every((namespace) => namespace === undefined) ? true : undefined;
      },
      500,
    );
  }

  async #start({ controllers = 1, builds = {}, canBuild = true, prepare }: SiteOptions): Promise<void> {
    const { client, server, ca, token } = this.#cluster;
    await client.create(Namespaces, { metadata: { name: this.namespace } });
    await prepare?.(this.namespace);
    for (let index = 0; index < controllers; index += 1) {
      const proxy = await FaultProxy.start({ server, ca });
      this.#proxies.push(proxy);
      const kubeconfig = join(this.#folder, `kubeconfig-${index}`);
      writeFileSync(kubeconfig, kubeconfigText(proxy.server, token), { mode: 0o600 });
      this.#controllers.push(await this.#prepare(kubeconfig, builds));
    }
    this.#observer = await Observer.start(client, this.builds);
    for (const controller of this.#controllers) controller.start();
    await Promise.all(this.#controllers.map((controller) => controller.firstAnswer()));
    if (!canBuild) return;
    // The builder is pulled, and the code has run once.
    const [warm] = await Promise.all(
      this.#controllers.map((_each, index) => this.read(this.question('l3', {}, index))),
    );
    if (warm?.ends[0]?.type !== 'ready') {
      throw new Error(`a first build did not end well: ${JSON.stringify(warm)}\n${this.#controllers[0]?.output ?? ''}`);
    }
  }

  #prepare(kubeconfig: string, builds: Readonly<Record<string, object>>): Promise<ControllerProcess> {
    const sha256 = createHash('sha256').update(this.token).digest('hex');
    const { registry, builder } = this.#cluster;
    return ControllerProcess.prepare({
      credentials: { kubeconfig },
      namespace: this.namespace,
      image: builder,
      auth: { tokens: [{ sha256, role: 'admin' }] },
      config: {
        builds: {
          ...builds,
          registry: { host: registry, url: `http://${registry}`, insecure: true, ...builds['registry'] },
          repositories: { privateHosts: [GIT_HOST], ...builds['repositories'] },
          naming: { prefix: `${this.namespace}/` },
          builder: { image: builder, ...builds['builder'] },
          pod: { ...POD, ...builds['pod'] },
          queue: {
            ...{ running: MANY, perUser: MANY, perRepository: MANY, waiting: MANY, waitingPerUser: MANY },
            ...builds['queue'],
          },
        },
      },
    });
  }
}
