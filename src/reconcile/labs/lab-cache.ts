import type { CoreV1Event, KubernetesObject, V1Pod, V1Secret } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { parseIntent } from '../../domain/lab/intent.ts';
import { intentName, LAB_INTENT_KIND, LAB_KIND, POD_NAME } from '../../domain/lab/object-names.ts';
import {
  asWanted,
  currentPod,
  type ObservedIntent,
  type ObservedLab,
  type ObservedNamespace,
  type WantedLab,
} from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { CONTROLLER_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { describeOutage } from '../../storage/kubernetes/checks/outage.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { type Cached, Reflector } from '../../storage/kubernetes/reflector.ts';
import { Events, Namespaces, Pods, Secrets } from '../../storage/kubernetes/resources.ts';
import { MultiMap } from '../../util/multi-map.ts';
import type { Source } from '../controller.ts';
import { type Cache, type Health, type Staleness, stalenessOf } from '../health.ts';
import { labSelector, observeNamespace, observePod } from './observe.ts';

export interface LabCacheOptions {
  readonly client: KubeClient;
  /** The controller's own namespace: where the intents are, and what its objects are labelled with. */
  readonly controller: string;
  readonly logger: Logger;
}

interface PodEvent extends Cached {
  readonly event: CoreV1Event;
}

type SlugListener = (slug: string) => void;
type EventListener = (slug: string, event: CoreV1Event) => void;

const OUTAGE_CHECK_MS = 1_000;

/**
 * The local copy of what the cluster has of labs: four watches, however many labs there are.
 *
 * Namespaces and intents are watched as metadata only, so that no secret ever passes through a watch. Events of pods only
 * explain: the cache is synced, and labs are ready, without them.
 */
export class LabCache implements Cache {
  readonly name = 'lab-cache';
  readonly synced: Promise<void>;
  /** Enqueues a lab's slug whenever one of its objects has changed. */
  readonly changes: Source;
  readonly #options: LabCacheOptions;
  readonly #intents: Reflector<V1Secret, ObservedIntent>;
  readonly #namespaces: Reflector<KubernetesObject, ObservedNamespace>;
  readonly #pods: Reflector<V1Pod, ObservedPod>;
  readonly #events: Reflector<CoreV1Event, PodEvent>;
  readonly #listeners = new Set<SlugListener>();
  readonly #eventListeners = new Set<EventListener>();
  /** Names of the namespaces of each lab: more than one only after the configured prefix has changed. */
  readonly #namespacesOf = new MultiMap();
  /** Slugs of the labs of each user. */
  readonly #slugsOf = new MultiMap();
  /** By slug: the spawn whose pod was seen last. */
  readonly #seenPods = new Map<string, string>();

  constructor(options: LabCacheOptions) {
    this.#options = options;
    const { client, controller, logger } = options;
    this.changes = (enqueue, signal) => subscribe(this.#listeners, enqueue, signal);
    const changed = (_key: string, now: { slug: string } | undefined, before: { slug: string } | undefined) =>
      this.#changed((now ?? before)?.slug ?? '');
    this.#intents = new Reflector<V1Secret, ObservedIntent>({
      client,
      logger,
      resource: Secrets,
      select: { namespace: controller, labelSelector: labSelector(controller, LAB_INTENT_KIND), metadataOnly: true },
      project: ({ metadata }) => parseIntent(metadata),
      onChange: (key, now, before) => {
        if (now === undefined) this.#seenPods.delete(before?.slug ?? '');
        if (before !== undefined) this.#slugsOf.delete(before.spec.user.username, before.slug);
        if (now !== undefined) this.#slugsOf.add(now.spec.user.username, now.slug);
        changed(key, now, before);
      },
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
      onChange: (key, now, before) => {
        this.#notePod(now, before);
        changed(key, now, before);
      },
    });
    this.#events = new Reflector<CoreV1Event, PodEvent>({
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
    this.synced = Promise.all(this.#decisive.map((reflector) => reflector.ready)).then(() => undefined);
  }

  /** The watches without which nothing can be said about labs. */
  get #decisive() {
    return [this.#intents, this.#namespaces, this.#pods];
  }

  get isSynced(): boolean {
    return this.#decisive.every((reflector) => reflector.isReady);
  }

  /** Why the cache is not synced or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    return this.#decisive.map(({ lastError }) => lastError).find((error) => error !== undefined);
  }

  health(): Health {
    const staleMs = Math.max(...this.#decisive.map((reflector) => reflector.staleMs));
    const error = this.lastError ?? this.#events.lastError;
    const message = error === undefined ? undefined : `A watch fails: ${error.message}`;
    const stale = stalenessOf([...this.#decisive, this.#events]);
    return { component: this.name, ready: this.isSynced, message, staleMs, stale };
  }

  /** What is to be said with each answer about labs; undefined while the cache follows the cluster. */
  get staleness(): Staleness | undefined {
    return stalenessOf(this.#decisive);
  }

  /** Follows the cluster until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const outage = setInterval(() => this.#reportOutage(), OUTAGE_CHECK_MS);
    await Promise.all([...this.#decisive, this.#events].map((reflector) => reflector.run(signal)));
    clearInterval(outage);
  }

  /** Calls the listener with each event of Kubernetes about the pod of a lab's present spawn, until `signal` aborts. */
  onPodEvent(listener: EventListener, signal: AbortSignal): void {
    subscribe(this.#eventListeners, listener, signal);
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

  intentOf(slug: string): ObservedIntent | undefined {
    const intent = this.#intents.get(this.#intentKey(slug));
    if (intent?.damaged !== true) return intent;
    return { ...intent, spec: { ...intent.spec, namespace: this.namespaceOf(slug) ?? '' } };
  }

  /** Every lab that somebody has asked for. */
  *labs(): Generator<WantedLab, void> {
    for (const { slug } of this.#intents.values()) {
      const lab = asWanted(this.observe(slug));
      if (lab !== undefined) yield lab;
    }
  }

  /** Every lab that this user has asked for. */
  labsOf(username: string): WantedLab[] {
    return [...this.#slugsOf.get(username)].flatMap((slug) => asWanted(this.observe(slug)) ?? []);
  }

  /** What the cluster says about one lab. */
  observe(slug: string): ObservedLab {
    const intent = this.intentOf(slug);
    const namespace = intent?.spec.namespace ?? this.namespaceOf(slug);
    if (namespace === undefined) return { intent, namespace: undefined, pod: undefined };
    const found = this.#namespaces.get(namespace);
    // Whatever an intent says: a namespace of another lab, and what is in it, is none of this one.
    if (found !== undefined && found.slug !== slug) return { intent, namespace: undefined, pod: undefined };
    return { intent, namespace: found, pod: this.#pods.get(`${namespace}/${POD_NAME}`) };
  }

  /**
   * Whether the pod of this spawn has been there since this process began to watch: if it is not there now, it was deleted.
   * Every replica finds this out for itself.
   */
  hasSeenPod({ slug, spec }: ObservedIntent): boolean {
    return spec.adopted === true || this.#seenPods.get(slug) === spec.spawnId;
  }

  /** A namespace that a lab has from before: one to be kept for good if there are several. */
  namespaceOf(slug: string): string | undefined {
    const names = [...this.#namespacesOf.get(slug)];
    return names.find((name) => this.#namespaces.get(name)?.permanent) ?? names[0];
  }

  /** Takes the answers of our own calls into the cache, so that what was written is read. */
  observeIntent(intent: V1Secret): void {
    this.#intents.observe(intent);
  }

  observePod(pod: V1Pod): void {
    this.#pods.observe(pod);
  }

  observeNamespace(namespace: KubernetesObject): void {
    this.#namespaces.observe(namespace);
  }

  forgetIntent({ slug, uid }: Pick<ObservedIntent, 'slug' | 'uid'>): void {
    this.#intents.forget(this.#intentKey(slug), uid);
  }

  forgetPod({ namespace, uid }: Pick<ObservedPod, 'namespace' | 'uid'>): void {
    this.#pods.forget(`${namespace}/${POD_NAME}`, uid);
  }

  #intentKey(slug: string): string {
    return `${this.#options.controller}/${intentName(slug)}`;
  }

  #changed(slug: string): void {
    if (!this.isSynced) return;
    for (const listener of this.#listeners) listener(slug);
  }

  #notePod(now: ObservedPod | undefined, before: ObservedPod | undefined): void {
    if (now !== undefined) this.#seenPods.set(now.slug, now.spawnId);
    else if (before !== undefined && this.intentOf(before.slug) === undefined) this.#seenPods.delete(before.slug);
  }

  #index(name: string, now: ObservedNamespace | undefined, before: ObservedNamespace | undefined): void {
    const slug = (now ?? before)?.slug ?? '';
    if (now === undefined) this.#namespacesOf.delete(slug, name);
    else this.#namespacesOf.add(slug, name);
  }

  #tell(event: CoreV1Event): void {
    const { namespace, uid } = event.involvedObject;
    const pod = this.#pods.get(`${namespace}/${POD_NAME}`);
    // The pod of an earlier spawn may still be going, and its events are not about the lab that was asked for since.
    if (pod === undefined || uid !== pod.uid || currentPod(this.observe(pod.slug)) !== pod) return;
    for (const listener of this.#eventListeners) listener(pod.slug, event);
  }

  #outage: string | undefined;

  /** Says once what is wrong while the cache is not synced yet. */
  #reportOutage(): void {
    const { client, logger } = this.#options;
    const sentence = this.isSynced ? undefined : describeOutage(client.server, this.lastError);
    if (sentence !== undefined && sentence !== this.#outage) logger.error(`${sentence} Trying again.`);
    if (sentence === undefined && this.#outage !== undefined) logger.info('The Kubernetes API answers.');
    this.#outage = sentence;
  }
}

function subscribe<L>(listeners: Set<L>, listener: L, signal: AbortSignal): void {
  if (signal.aborted) return;
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener), { once: true });
}
