import type { CoreV1Event, KubernetesObject, V1Pod, V1Secret } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { parseIntent } from '../../domain/lab/intent.ts';
import { intentName, LAB_INTENT_KIND, LAB_KIND, POD_NAME } from '../../domain/lab/object-names.ts';
import { CONTROLLER_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import type { ObservedIntent, ObservedLab, ObservedNamespace } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { type Cached, Reflector } from '../../storage/kubernetes/reflector.ts';
import { Events, Namespaces, Pods, Secrets } from '../../storage/kubernetes/resources.ts';
import { labSelector, observeNamespace, observePod } from './observe.ts';

export interface LabWatchesOptions {
  readonly client: KubeClient;
  /** The controller's own namespace: where the intents are, and what its objects are labelled with. */
  readonly controller: string;
  readonly logger: Logger;
  /** A lab's objects have changed. Not called before the first complete picture. */
  readonly onChange: (slug: string) => void;
  /** Kubernetes has something to say about a lab's pod. */
  readonly onPodEvent: (slug: string, event: CoreV1Event) => void;
}

interface News extends Cached {
  readonly event: CoreV1Event;
}

/**
 * The controller's picture of the cluster: four watches, however many labs there are.
 *
 * Namespaces and intents are watched as metadata only, so that no secret ever passes through a watch.
 */
export class LabWatches {
  readonly #options: LabWatchesOptions;
  readonly #intents: Reflector<V1Secret, ObservedIntent>;
  readonly #namespaces: Reflector<KubernetesObject, ObservedNamespace>;
  readonly #pods: Reflector<V1Pod, ObservedPod>;
  readonly #news: Reflector<CoreV1Event, News>;
  /** Names of the namespaces of each lab: more than one only after the configured prefix has changed. */
  readonly #namespacesOf = new Map<string, Set<string>>();
  readonly ready: Promise<void>;

  constructor(options: LabWatchesOptions) {
    this.#options = options;
    const { client, controller, logger } = options;
    const changed = (_key: string, now: { slug: string } | undefined, before: { slug: string } | undefined) =>
      this.#changed((now ?? before)?.slug ?? '');
    this.#intents = new Reflector<V1Secret, ObservedIntent>({
      client,
      logger,
      resource: Secrets,
      select: { namespace: controller, labelSelector: labSelector(controller, LAB_INTENT_KIND), metadataOnly: true },
      project: ({ metadata }) => parseIntent(metadata),
      onChange: changed,
    });
    this.#namespaces = new Reflector<KubernetesObject, ObservedNamespace>({
      client,
      logger,
      resource: Namespaces,
      select: {
        labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY},${CONTROLLER_LABEL}=${controller}`,
        metadataOnly: true,
      },
      project: observeNamespace,
      onChange: (key, now, before) => {
        this.#index(key, now, before);
        changed(key, now, before);
      },
    });
    this.#pods = new Reflector<V1Pod, ObservedPod>({
      client,
      logger,
      resource: Pods,
      select: { labelSelector: labSelector(controller, LAB_KIND) },
      project: observePod,
      onChange: changed,
    });
    this.#news = new Reflector<CoreV1Event, News>({
      client,
      logger,
      resource: Events,
      select: { fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${POD_NAME}` },
      watchOnly: true,
      project: (event) => ({ uid: '', resourceVersion: '', event }),
      onChange: (_key, now) => {
        if (now !== undefined) this.#tell(now.event);
      },
    });
    this.ready = Promise.all(this.#all.map((reflector) => reflector.ready)).then(() => undefined);
  }

  get #all() {
    return [this.#intents, this.#namespaces, this.#pods, this.#news];
  }

  get isReady(): boolean {
    return this.#all.every((reflector) => reflector.isReady);
  }

  /** Milliseconds since the quietest of the watches that send bookmarks has last heard anything. */
  get staleMs(): number {
    return Math.max(this.#intents.staleMs, this.#namespaces.staleMs, this.#pods.staleMs);
  }

  /** Why the picture is not there or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    return this.#all.map(({ lastError }) => lastError).find((error) => error !== undefined);
  }

  /** Follows the cluster until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((reflector) => reflector.run(signal)));
  }

  /** Every lab of which anything is there. */
  slugs(): Set<string> {
    const slugs = new Set(this.#namespacesOf.keys());
    for (const { slug } of this.#intents.values()) slugs.add(slug);
    for (const { slug } of this.#pods.values()) slugs.add(slug);
    return slugs;
  }

  intents(): IterableIterator<ObservedIntent> {
    return this.#intents.values();
  }

  /** What the cluster says about one lab. */
  observe(slug: string): ObservedLab {
    const intent = this.#intents.get(this.#intentKey(slug));
    const namespace = intent?.spec.namespace ?? this.namespaceOf(slug);
    return {
      intent,
      namespace: namespace === undefined ? undefined : this.#namespaces.get(namespace),
      pod: namespace === undefined ? undefined : this.#pods.get(`${namespace}/${POD_NAME}`),
    };
  }

  /** A namespace that a lab has from before: one to be kept for good if there are several. */
  namespaceOf(slug: string): string | undefined {
    const names = [...(this.#namespacesOf.get(slug) ?? [])];
    return names.find((name) => this.#namespaces.get(name)?.permanent) ?? names[0];
  }

  /** Takes the answers of our own writes into the picture, so that what was written is read. */
  observeIntent(intent: V1Secret): void {
    this.#intents.observe(intent);
  }

  observePod(pod: V1Pod): void {
    this.#pods.observe(pod);
  }

  observeNamespace(namespace: KubernetesObject): void {
    this.#namespaces.observe(namespace);
  }

  forgetIntent({ slug, uid }: ObservedIntent): void {
    this.#intents.forget(this.#intentKey(slug), uid);
  }

  #intentKey(slug: string): string {
    return `${this.#options.controller}/${intentName(slug)}`;
  }

  #changed(slug: string): void {
    if (this.isReady) this.#options.onChange(slug);
  }

  #index(name: string, now: ObservedNamespace | undefined, before: ObservedNamespace | undefined): void {
    const slug = (now ?? before)?.slug ?? '';
    const names = this.#namespacesOf.get(slug) ?? new Set();
    if (now === undefined) names.delete(name);
    else names.add(name);
    if (names.size === 0) this.#namespacesOf.delete(slug);
    else this.#namespacesOf.set(slug, names);
  }

  #tell(event: CoreV1Event): void {
    const { namespace, uid } = event.involvedObject;
    const pod = this.#pods.get(`${namespace}/${POD_NAME}`);
    if (pod !== undefined && (uid === undefined || uid === pod.uid)) this.#options.onPodEvent(pod.slug, event);
  }
}
