import type { CoreV1Event, KubernetesObject, V1Pod, V1Secret } from '@kubernetes/client-node';
import { intentName, OWN_POD_NAME, podNameOf } from '../../domain/lab/object-names.ts';
import {
  asWanted,
  currentPod,
  type ObservedIntent,
  type ObservedLab,
  type WantedLab,
} from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import type { Cached } from '../../storage/kubernetes/reflector.ts';
import { MultiMap } from '../../util/multi-map.ts';
import type { Source } from '../controller.ts';
import type { Cache, Health, Staleness } from '../health.ts';
import { LabWatches, type LabWatchesOptions } from './lab-watches.ts';

export type LabCacheOptions = LabWatchesOptions;

type SlugListener = (slug: string) => void;
type EventListener = (slug: string, event: CoreV1Event) => void;

/**
 * The local copy of what the cluster has of labs: four or five watches, however many labs there are.
 *
 * Where labs share a namespace, their Services are watched there, and labs that have a namespace of their own from before are seen as long
 * as Labwright has the right to (`LabScope`).
 *
 * Namespaces and intents are watched as metadata only, so that no secret ever passes through a watch. Events of pods only
 * explain: the cache is synced, and labs are ready, without them.
 */
export class LabCache implements Cache {
  readonly name = 'lab-cache';
  /** Enqueues a lab's slug whenever one of its objects has changed. */
  readonly changes: Source;
  readonly #controller: string;
  readonly #watches: LabWatches;
  readonly #listeners = new Set<SlugListener>();
  readonly #eventListeners = new Set<EventListener>();
  /** Names of the namespaces of each lab: more than one only after the configured prefix has changed. */
  readonly #namespacesOf = new MultiMap();
  /** Keys of the pods and of the Services of each lab. */
  readonly #podsOf = new MultiMap();
  readonly #servicesOf = new MultiMap();
  /** Slugs of the labs of each user. */
  readonly #slugsOf = new MultiMap();
  /** By slug: the spawn whose pod was seen last. */
  readonly #seenPods = new Map<string, string>();

  constructor(options: LabCacheOptions) {
    this.#controller = options.controller;
    this.changes = (enqueue, signal) => subscribe(this.#listeners, enqueue, signal);
    const changed = (now: { slug: string } | undefined, before: { slug: string } | undefined) =>
      this.#changed((now ?? before)?.slug ?? '');
    this.#watches = new LabWatches(options, {
      onIntent: (_key, now, before) => {
        if (now === undefined) this.#seenPods.delete(before?.slug ?? '');
        if (before !== undefined) this.#slugsOf.delete(before.spec.user.username, before.slug);
        if (now !== undefined) this.#slugsOf.add(now.spec.user.username, now.slug);
        changed(now, before);
      },
      onNamespace: (key, now, before) => {
        index(this.#namespacesOf, key, now, before);
        changed(now, before);
      },
      onPod: (key, now, before) => {
        index(this.#podsOf, key, now, before);
        this.#notePod(now, before);
        changed(now, before);
      },
      onService: (key, now, before) => {
        index(this.#servicesOf, key, now, before);
        changed(now, before);
      },
      onEvent: (event) => this.#tell(event),
    });
  }

  get synced(): Promise<void> {
    return this.#watches.synced;
  }

  get isSynced(): boolean {
    return this.#watches.isSynced;
  }

  /** Whether what the lab consists of is followed. */
  sees({ spec, damaged }: ObservedIntent): boolean {
    return damaged || this.#watches.scope.sees(spec);
  }

  /** Why the cache is not synced or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    return this.#watches.lastError;
  }

  health(): Health {
    return this.#watches.health(this.name);
  }

  /** What is to be said with each answer about labs; undefined while the cache follows the cluster. */
  get staleness(): Staleness | undefined {
    return this.#watches.staleness;
  }

  /** Follows the cluster until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void> {
    return this.#watches.run(signal);
  }

  /** Calls the listener with each event of Kubernetes about the pod of a lab's present spawn, until `signal` aborts. */
  onPodEvent(listener: EventListener, signal: AbortSignal): void {
    subscribe(this.#eventListeners, listener, signal);
  }

  /** Every lab of which anything is there. */
  slugs(): Set<string> {
    const slugs = new Set(this.#namespacesOf.keys());
    for (const { slug } of this.#watches.intents.values()) slugs.add(slug);
    for (const { slug } of this.#watches.pods.values()) slugs.add(slug);
    for (const { slug } of this.#watches.services.values()) slugs.add(slug);
    return slugs;
  }

  intents(): IterableIterator<ObservedIntent> {
    return this.#watches.intents.values();
  }

  intentOf(slug: string): ObservedIntent | undefined {
    const intent = this.#watches.intents.get(this.#intentKey(slug));
    if (intent?.damaged !== true) return intent;
    // What it asked for cannot be read: what is there says where it is.
    const there =
      this.#firstOf(this.#podsOf, this.#watches.pods, slug) ??
      this.#firstOf(this.#servicesOf, this.#watches.services, slug);
    const objectName = there === undefined || there.name === OWN_POD_NAME ? {} : { objectName: there.name };
    const namespace = there?.namespace ?? this.namespaceOf(slug) ?? '';
    return { ...intent, spec: { ...intent.spec, namespace, ...objectName } };
  }

  /** Every lab that somebody has asked for. */
  *labs(): Generator<WantedLab, void> {
    for (const { slug } of this.#watches.intents.values()) {
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
    if (intent === undefined) return this.#observeOrphan(slug);
    const { namespace, objectName } = intent.spec;
    const pod = this.#watches.pods.get(`${namespace}/${podNameOf(intent.spec)}`);
    if (objectName !== undefined) return { intent, namespace: undefined, pod: pod?.slug === slug ? pod : undefined };
    const found = this.#watches.namespaces.get(namespace);
    // Whatever an intent says: a namespace of another lab, and what is in it, is none of this one.
    if (found !== undefined && found.slug !== slug) return { intent, namespace: undefined, pod: undefined };
    return { intent, namespace: found, pod };
  }

  /** What is there of a lab that nobody has asked for: its pod first, wherever that is. */
  #observeOrphan(slug: string): ObservedLab {
    const service = this.#firstOf(this.#servicesOf, this.#watches.services, slug);
    const namespace = this.namespaceOf(slug) ?? '';
    const own = this.#watches.pods.get(`${namespace}/${OWN_POD_NAME}`);
    const pod = own ?? this.#firstOf(this.#podsOf, this.#watches.pods, slug);
    if (pod !== undefined && pod.namespace !== namespace)
      return { intent: undefined, namespace: undefined, pod, service };
    return { intent: undefined, namespace: this.#watches.namespaces.get(namespace), pod, service };
  }

  #firstOf<T extends Cached>(
    keys: MultiMap,
    store: { readonly get: (key: string) => T | undefined },
    slug: string,
  ): T | undefined {
    const [key] = keys.get(slug);
    return key === undefined ? undefined : store.get(key);
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
    return names.find((name) => this.#watches.namespaces.get(name)?.permanent) ?? names[0];
  }

  /** Takes the answers of our own calls into the cache, so that what was written is read. */
  observeIntent(intent: V1Secret): void {
    this.#watches.intents.observe(intent);
  }

  observePod(pod: V1Pod): void {
    this.#watches.pods.observe(pod);
  }

  observeNamespace(namespace: KubernetesObject): void {
    this.#watches.namespaces.observe(namespace);
  }

  forgetIntent({ slug, uid }: Pick<ObservedIntent, 'slug' | 'uid'>): void {
    this.#watches.intents.forget(this.#intentKey(slug), uid);
  }

  forgetPod({ namespace, name, uid }: Pick<ObservedPod, 'namespace' | 'name' | 'uid'>): void {
    this.#watches.pods.forget(`${namespace}/${name}`, uid);
  }

  #intentKey(slug: string): string {
    return `${this.#controller}/${intentName(slug)}`;
  }

  #changed(slug: string): void {
    if (!this.isSynced) return;
    for (const listener of this.#listeners) listener(slug);
  }

  #notePod(now: ObservedPod | undefined, before: ObservedPod | undefined): void {
    if (now !== undefined) this.#seenPods.set(now.slug, now.spawnId);
    else if (before !== undefined && this.intentOf(before.slug) === undefined) this.#seenPods.delete(before.slug);
  }

  #tell(event: CoreV1Event): void {
    const { namespace, name, uid } = event.involvedObject;
    const pod = this.#watches.pods.get(`${namespace}/${name}`);
    // The pod of an earlier spawn may still be going, and its events are not about the lab that was asked for since.
    if (pod === undefined || uid !== pod.uid || currentPod(this.observe(pod.slug)) !== pod) return;
    for (const listener of this.#eventListeners) listener(pod.slug, event);
  }
}

/** Notes which lab an object belongs to; the label of one that is there may have been changed by somebody. */
function index(
  of: MultiMap,
  key: string,
  now: { slug: string } | undefined,
  before: { slug: string } | undefined,
): void {
  if (before !== undefined) of.delete(before.slug, key);
  if (now !== undefined) of.add(now.slug, key);
}

function subscribe<L>(listeners: Set<L>, listener: L, signal: AbortSignal): void {
  if (signal.aborted) return;
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener), { once: true });
}
