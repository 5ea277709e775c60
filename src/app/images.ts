import type { Logger } from 'pino';
import { LRUCache } from 'lru-cache';
import type { Config } from '../config/index.ts';
import type { WantedImages } from '../domain/image/wanted-image.ts';
import type { Controller } from '../reconcile/controller.ts';
import type { Cache } from '../reconcile/health.ts';
import { ConfiguredImages } from '../reconcile/images/configured-images.ts';
import { ImageCache } from '../reconcile/images/image-cache.ts';
import { ImageCatalogue } from '../reconcile/images/image-catalogue.ts';
import type { ImageService } from '../reconcile/images/image-service.ts';
import { ImageSources, imageSourcesController } from '../reconcile/images/image-sources.ts';
import type { ReadyBuilds } from '../reconcile/images/read-builds.ts';
import type { Registries } from '../reconcile/images/read-source.ts';
import { Wanted } from '../reconcile/images/wanted.ts';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { Authorities } from '../storage/outbound/authorities.ts';
import { GoogleArtifacts } from '../storage/registry/google-artifacts.ts';
import { type ImageRegistry, OciRegistry } from '../storage/registry/image-registry.ts';
import { RegistryCredentials } from '../storage/registry/registry-credentials.ts';

export interface ImagePartsOptions {
  readonly client: KubeClient;
  /** What holds at the start. */
  readonly config: Config;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Undefined where nothing is built. */
  readonly builds?: ReadyBuilds | undefined;
  /** Digests of what the labs run that there are; none are counted when absent. */
  readonly labs?: () => Iterable<string>;
  /** Tests give registries of their own. */
  readonly registries?: Registries;
}

/** Everything about images, for the Manager and for HTTP. */
export interface ImageParts {
  readonly caches: readonly Cache[];
  readonly controllers: readonly Controller[];
  /** The images that are to be on the nodes, by the configuration that holds now. */
  readonly wanted: WantedImages;
  /** The images of another configuration. */
  by(config: Config): ImageService;
  /** From now on, this configuration says what is read. */
  use(config: Config): void;
  close(): Promise<void>;
}

/** Wires what reads registries and what knows of it. */
export function createImages(options: ImagePartsOptions): ImageParts {
  const { client, config, controller, logger, builds, labs = () => [], ...given } = options;
  let current = config;
  const wanted = new Wanted({ labs, mostUsed: () => current.images.prepull?.mostUsed ?? 0 });
  const own = new OwnRegistries({ client, controller, logger, config: () => current });
  const registries = given.registries ?? own;
  const onChange = (name: string) => {
    reading.enqueue(name);
    wanted.changed();
  };
  const cache = new ImageCache({ client, controller, logger, onChange });
  const sources = new ImageSources({ client, cache, registries, builds, controller, config: () => current });
  const reading = imageSourcesController(sources, cache, logger);
  let made: { readonly config: Config; readonly images: ImageService } | undefined;
  // Routes and what is pulled ahead have the same, so that it is arranged once.
  const by = (next: Config) => {
    if (made?.config !== next) {
      made = { config: next, images: new ImageCatalogue({ config: next, cache, registries, logger }) };
    }
    return made.images;
  };
  wanted.use(by(config));
  return {
    caches: [cache],
    controllers: [reading],
    wanted,
    by,
    use(next) {
      current = next;
      wanted.use(by(next));
      for (const name of sources.keys()) reading.enqueue(name);
    },
    close: () => own.close(),
  };
}

/** For a cluster in which nothing is pulled: no registry is asked. */
export function configuredImages(config: Config): ImageParts {
  const wanted = new Wanted({ labs: () => [], mostUsed: () => 0 });
  const by = (next: Config) => new ConfiguredImages(next);
  wanted.use(by(config));
  return {
    caches: [],
    controllers: [],
    wanted,
    by,
    use: (next) => wanted.use(by(next)),
    close: () => Promise.resolve(),
  };
}

interface OwnRegistriesOptions {
  readonly client: KubeClient;
  readonly controller: string;
  readonly logger: Logger;
  readonly config: () => Config;
}

/** Most registries that connections are kept to. */
const REGISTRIES = 50;
const TIMEOUT_MS = 10_000;

/** The registries by their hosts, each as the configuration says how it is asked. */
class OwnRegistries implements Registries {
  readonly artifacts: GoogleArtifacts;
  readonly #options: OwnRegistriesOptions;
  readonly #closing = new Set<Promise<void>>();
  readonly #known: LRUCache<string, ImageRegistry>;

  constructor(options: OwnRegistriesOptions) {
    this.#options = options;
    this.artifacts = new GoogleArtifacts({ logger: options.logger, timeout: TIMEOUT_MS });
    this.#known = new LRUCache({ max: REGISTRIES, dispose: (registry) => this.#close(registry) });
  }

  of(host: string): ImageRegistry {
    const { client, controller, logger } = this.#options;
    const { credentials: secret, authorities, ...settings } = this.#settingsOf(host);
    const key = JSON.stringify([settings, secret, authorities]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const credentials = new RegistryCredentials({ client, namespace: controller, secret });
    const made = new OciRegistry({
      ...{ settings, logger, authorities: new Authorities(authorities) },
      credentials: () => credentials.read(),
    });
    this.#known.set(key, made);
    return made;
  }

  async close(): Promise<void> {
    this.#known.clear();
    await Promise.all([this.artifacts.close(), ...this.#closing]);
  }

  #settingsOf(host: string) {
    const { images, builds, lab } = this.#options.config();
    const authorities = builds?.certificateAuthorities;
    const named = images.registries.find((each) => each.host === host);
    if (named !== undefined) return { ...named, credentials: named.credentials ?? lab.pullSecret, authorities };
    if (builds?.registry.host === host) {
      const { url, insecure, timeout, tokenHosts, credentials } = builds.registry;
      return { host, url, insecure, timeout, tokenHosts, credentials, authorities };
    }
    return { host, insecure: false, timeout: TIMEOUT_MS, credentials: lab.pullSecret, authorities };
  }

  #close(registry: ImageRegistry): void {
    const closing = registry.close();
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }
}
