import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { createImages, type ImageParts } from '../../../src/app/images.ts';
import { buildConfig, type Config } from '../../../src/config/index.ts';
import {
  buildFoundImages,
  type FoundImages,
  foundImagesName,
  parseFoundImages,
} from '../../../src/domain/image/found-images.ts';
import type { ImageService } from '../../../src/reconcile/images/image-service.ts';
import type { ReadyBuilds } from '../../../src/reconcile/images/read-builds.ts';
import type { LeaderElection } from '../../../src/reconcile/leader.ts';
import { Manager } from '../../../src/reconcile/manager.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces } from '../../../src/storage/kubernetes/resources.ts';
import type { TestCluster } from '../../support/cluster.ts';
import { Contents } from '../../storage/registry/image-registry.ts';
import { type Script, ScriptedServer } from '../../storage/registry/scripted-registry.ts';

export const REPOSITORY = 'labs/science';

/** A registry with images, which can be told to answer something else. */
export class TestRegistry {
  readonly contents = new Contents();
  readonly server: ScriptedServer;
  /** What it says to everything; undefined where it answers as a registry. */
  trouble: Script | undefined;
  readonly #tags = new Set<string>();

  private constructor(server: ScriptedServer) {
    this.server = server;
    server.answer((seen) => {
      if (this.trouble !== undefined) return this.trouble;
      if (!seen.url.includes('/tags/list')) return this.contents.answer(seen);
      return { status: 200, body: JSON.stringify({ name: REPOSITORY, tags: [...this.#tags] }) };
    });
  }

  static async start(): Promise<TestRegistry> {
    return new TestRegistry(await ScriptedServer.start());
  }

  /** Pushes an image of its own, or moves the tag to another one. @returns its digest */
  push(tag: string): string {
    this.#tags.add(tag);
    return this.contents.putImage(REPOSITORY, tag, [1_000, Number.parseInt(randomUUID().slice(0, 8), 16)]);
  }

  remove(tag: string): void {
    this.#tags.delete(tag);
    this.contents.remove(`${REPOSITORY}/manifests/${tag}`);
  }

  reference(tag: string): string {
    return `${this.server.host}/${REPOSITORY}:${tag}`;
  }
}

export interface RunningImages {
  readonly parts: ImageParts;
  readonly images: ImageService;
  readonly logs: string[];
  stop(): Promise<void>;
}

/** Replicas of what reads registries, in a namespace of their own. */
export class ImagesSetting {
  readonly cluster: TestCluster;
  readonly registry: TestRegistry;
  readonly namespace: string;
  readonly #running: RunningImages[] = [];

  private constructor(cluster: TestCluster, registry: TestRegistry) {
    this.cluster = cluster;
    this.registry = registry;
    this.namespace = cluster.uniqueName('images');
  }

  static async open(cluster: TestCluster): Promise<ImagesSetting> {
    const setting = new ImagesSetting(cluster, await TestRegistry.start());
    await cluster.client.create(Namespaces, { metadata: { name: setting.namespace } });
    return setting;
  }

  config(images: object = {}, builds?: object, lab: object = {}): Config {
    const { host, url } = this.registry.server;
    return buildConfig({
      baseUrl: 'https://hub.example.org',
      auth: { tokens: [{ role: 'hub', sha256: '0'.repeat(64) }] },
      images: {
        sources: [
          { name: 'science', repository: `${host}/${REPOSITORY}`, tags: { kinds: { release: { wanted: 2 } } } },
        ],
        registries: [{ host, url, insecure: true, timeout: '2s' }],
        ...images,
      },
      lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }], ...lab },
      ...(builds === undefined
        ? {}
        : { builds: { registry: { host }, builder: { image: `${host}/builder:1` }, ...builds } }),
    });
  }

  start(config = this.config(), election?: LeaderElection, builds?: ReadyBuilds): RunningImages {
    const logs: string[] = [];
    const logger = pino({ level: 'debug' }, { write: (line: string) => void logs.push(line) });
    const client = new KubeClient({ connection: this.cluster.connection() });
    const parts = createImages({ client, config, controller: this.namespace, logger, builds });
    const stopping = new AbortController();
    const working = new Manager({ logger, ...(election === undefined ? {} : { election }) })
      .addCache(...parts.caches)
      .addController(...parts.controllers)
      .run(stopping.signal);
    let stopped: Promise<void> | undefined;
    const stop = async () => {
      stopping.abort();
      await working;
      await parts.close();
    };
    const running = { parts, images: parts.by(config), logs, stop: () => (stopped ??= stop()) };
    this.#running.push(running);
    return running;
  }

  /** What is written down of a source. */
  async stored(source = 'science'): Promise<FoundImages | undefined> {
    const map = await this.#map(source);
    return map === undefined ? undefined : parseFoundImages(map);
  }

  /** Changes what is written down, as if it had been found so. */
  async rewrite(change: Partial<FoundImages>, source = 'science'): Promise<void> {
    const map = await this.#map(source);
    const found = map === undefined ? undefined : parseFoundImages(map);
    if (found === undefined) throw new Error(`nothing is written down of ${source}`);
    const changed = buildFoundImages(source, { ...found, ...change }, this.namespace, map?.metadata?.resourceVersion);
    await this.cluster.client.replace(ConfigMaps, changed);
  }

  /** Makes what is written down unreadable. */
  async damage(source = 'science'): Promise<void> {
    const ref = { namespace: this.namespace, name: foundImagesName(source) };
    await this.cluster.client.patch(ConfigMaps, ref, { binaryData: null });
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((running) => running.stop()));
    await this.registry.server.close();
  }

  #map(source: string) {
    return this.cluster.client.get(ConfigMaps, { namespace: this.namespace, name: foundImagesName(source) });
  }
}
