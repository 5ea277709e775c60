import type { V1ConfigMap } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import {
  FOUND_KIND,
  type FoundImages,
  foundImagesName,
  parseFoundImages,
  SOURCE_LABEL,
} from '../../domain/image/found-images.ts';
import { CONTROLLER_LABEL, KIND_LABEL } from '../../domain/names.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { type Cached, Reflector } from '../../storage/kubernetes/reflector.ts';
import { ConfigMaps } from '../../storage/kubernetes/resources.ts';
import { type Cache, type Health, stalenessOf } from '../health.ts';

export interface ImageCacheOptions {
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  /** What is known of a source has changed, whichever replica has read it. */
  readonly onChange: (source: string) => void;
  readonly logger: Logger;
}

/** What is known of one source, as it is in the cluster. */
export interface CachedSource extends Cached {
  readonly source: string;
  /** Undefined where the ConfigMap is damaged. */
  readonly found: FoundImages | undefined;
}

/** What the leader has found in registries, from the ConfigMaps that it writes: one for each source. */
export class ImageCache implements Cache {
  readonly name = 'image-cache';
  readonly synced: Promise<void>;
  readonly #controller: string;
  readonly #reflector: Reflector<V1ConfigMap, CachedSource>;
  #version = 0;

  constructor({ client, controller, onChange, logger }: ImageCacheOptions) {
    this.#controller = controller;
    this.#reflector = new Reflector<V1ConfigMap, CachedSource>({
      ...{ client, logger, resource: ConfigMaps },
      select: { namespace: controller, labelSelector: `${KIND_LABEL}=${FOUND_KIND},${CONTROLLER_LABEL}=${controller}` },
      project: (map) => ({
        uid: map.metadata?.uid ?? '',
        resourceVersion: map.metadata?.resourceVersion ?? '',
        source: map.metadata?.labels?.[SOURCE_LABEL] ?? '',
        found: parseFoundImages(map),
      }),
      onChange: (_key, now, before) => {
        this.#version += 1;
        onChange(now?.source ?? before?.source ?? '');
      },
    });
    this.synced = this.#reflector.ready;
  }

  get isSynced(): boolean {
    return this.#reflector.isReady;
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  /** Labs do without: a cache that cannot be read makes nothing unready. */
  health(): Health {
    const { isReady, lastError, staleMs } = this.#reflector;
    const stale = stalenessOf([this.#reflector]);
    const notice = isReady || lastError === undefined ? undefined : NO_RIGHT;
    return { component: this.name, ready: isReady, message: lastError?.message, staleMs, stale, notice };
  }

  get(source: string): CachedSource | undefined {
    return this.#reflector.get(`${this.#controller}/${foundImagesName(source)}`);
  }

  sources(): string[] {
    return Array.from(this.#reflector.values(), ({ source }) => source);
  }

  /** Takes in what was just written. */
  observe(map: V1ConfigMap): void {
    this.#reflector.observe(map);
  }

  forget(source: string, uid: string): void {
    this.#reflector.forget(`${this.#controller}/${foundImagesName(source)}`, uid);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }
}

const NO_RIGHT =
  'What is known of images cannot be read: the Role of the controller has to allow ConfigMaps in its own namespace. Labs run tags until then.';
