import type { CoreV1Event, KubernetesObject, V1Pod, V1Secret } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { parseIntent } from '../../domain/lab/intent.ts';
import { intentName, LAB_INTENT_KIND, LAB_KIND, OWN_POD_NAME, podNameOf } from '../../domain/lab/object-names.ts';
import {
  asWanted,
  currentPod,
  type ObservedIntent,
  type ObservedLab,
  type ObservedNamespace,
  type ObservedService,
  type WantedLab,
} from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { CONTROLLER_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { describeOutage } from '../../storage/kubernetes/checks/outage.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { type Cached, Reflector } from '../../storage/kubernetes/reflector.ts';
import { Events, Namespaces, Pods, Secrets, Services } from '../../storage/kubernetes/resources.ts';
import { MultiMap } from '../../util/multi-map.ts';
import type { Source } from '../controller.ts';
import { type Cache, type Health, type Staleness, stalenessOf } from '../health.ts';
import { LabScope } from './lab-scope.ts';
import { labSelector, observeNamespace, observePod, observeService } from './observe.ts';

export interface LabCacheOptions {
  readonly client: KubeClient;
  /** The controller's own namespace: where the intents are, and what its objects are labelled with. */
  readonly controller: string;
  /** The namespace that labs share, where they do. */
  readonly sharedNamespace?: string | undefined;
  readonly logger: Logger;
}

interface PodEvent extends Cached {
  readonly event: CoreV1Event;
}

type SlugListener = (slug: string) => void;
type EventListener = (slug: string, event: CoreV1Event) => void;

const OUTAGE_CHECK_MS = 1_000;

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
  readonly synced: Promise<void>;
  /** Enqueues a lab's slug whenever one of its objects has changed. */
  readonly changes: Source;
  readonly #options: LabCacheOptions;
  readonly #intents: Reflector<V1Secret, ObservedIntent>;
  readonly #namespaces: Reflector<KubernetesObject, ObservedNamespace>;
  readonly #pods: Reflector<V1Pod, ObservedPod>;
  readonly #services: Reflector<KubernetesObject, ObservedService>;
  readonly #events: Reflector<CoreV1Event, PodEvent>;
  readonly #scope: LabScope;
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
    this.#options = options;
    const { client, controller, sharedNamespace, logger } = options;
    const labels = `${MANAGED_BY_LABEL}=${MANAGED_BY},${CONTROLLER_LABEL}=${controller}`;
    this.#scope = new LabScope({ client, sharedNamespace, labels });
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
        labelSelector: labels,
        metadataOnly: true,
      },
      project: observeNamespace,
      onChange: (key, now, before) => {
        index(this.#namespacesOf, key, now, before);
        changed(key, now, before);
      },
    });
    this.#pods = new Reflector<V1Pod, ObservedPod>({
      client,
      logger,
      resource: Pods,
      select: () => ({ ...this.#scope.only, labelSelector: labSelector(controller, LAB_KIND) }),
      project: observePod,
      onChange: (key, now, before) => {
        index(this.#podsOf, key, now, before);
        this.#notePod(now, before);
        changed(key, now, before);
      },
    });
    this.#services = new Reflector<KubernetesObject, ObservedService>({
      client,
      logger,
      resource: Services,
      select: {
        namespace: sharedNamespace ?? controller,
        labelSelector: labSelector(controller, LAB_KIND),
        metadataOnly: true,
      },
      project: observeService,
      onChange: (key, now, before) => {
        index(this.#servicesOf, key, now, before);
        changed(key, now, before);
      },
    });
    this.#events = new Reflector<CoreV1Event, PodEvent>({
      client,
      logger,
      resource: Events,
      // Of labs that were made the other way, nothing explains why they do not start.
      select:
        sharedNamespace === undefined
          ? { fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${OWN_POD_NAME}` }
          : { namespace: sharedNamespace, fieldSelector: 'involvedObject.kind=Pod' },
      watchOnly: true,
      project: (event) => ({ uid: '', resourceVersion: '', event }),
      onChange: (_key, now) => {
        if (now !== undefined) this.#tell(now.event);
      },
    });
    this.synced = this.#untilSynced();
  }

  /** The watches without which nothing can be said about labs. */
  get #decisive() {
    return [
      this.#intents,
      this.#pods,
      ...(this.#scope.seesNamespaces ? [this.#namespaces] : []),
      ...(this.#options.sharedNamespace === undefined ? [] : [this.#services]),
    ];
  }

  async #untilSynced(): Promise<void> {
    await this.#scope.known;
    await Promise.all(this.#decisive.map((reflector) => reflector.ready));
    const unseen = [...this.#intents.values()].find(({ spec }) => !this.#scope.sees(spec));
    if (unseen === undefined) this.#isSynced = true;
    else await this.#scope.refuse(unseen);
  }

  #isSynced = false;

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Whether what the lab consists of is followed. */
  sees({ spec, damaged }: ObservedIntent): boolean {
    return damaged || this.#scope.sees(spec);
  }

  /** Why the cache is not synced or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    const errors = this.#decisive.map(({ lastError }) => lastError);
    return this.#scope.lastError ?? errors.find((error) => error !== undefined);
  }

  health(): Health {
    const staleMs = Math.max(...this.#decisive.map((reflector) => reflector.staleMs));
    const error = this.lastError ?? this.#events.lastError;
    const message =
      this.#scope.refusal?.message ?? (error === undefined ? undefined : `A watch fails: ${error.message}`);
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
    const following = [this.#intents.run(signal), this.#events.run(signal)];
    await this.#scope.find(signal);
    const rest = this.#decisive.filter((reflector) => reflector !== this.#intents);
    await Promise.all([...following, ...rest.map((reflector) => reflector.run(signal))]);
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
    for (const { slug } of this.#services.values()) slugs.add(slug);
    return slugs;
  }

  intents(): IterableIterator<ObservedIntent> {
    return this.#intents.values();
  }

  intentOf(slug: string): ObservedIntent | undefined {
    const intent = this.#intents.get(this.#intentKey(slug));
    if (intent?.damaged !== true) return intent;
    // What it asked for cannot be read: what is there says where it is.
    const there =
      this.#firstOf(this.#podsOf, this.#pods, slug) ?? this.#firstOf(this.#servicesOf, this.#services, slug);
    const objectName = there === undefined || there.name === OWN_POD_NAME ? {} : { objectName: there.name };
    const namespace = there?.namespace ?? this.namespaceOf(slug) ?? '';
    return { ...intent, spec: { ...intent.spec, namespace, ...objectName } };
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
    if (intent === undefined) return this.#observeOrphan(slug);
    const { namespace, objectName } = intent.spec;
    const pod = this.#pods.get(`${namespace}/${podNameOf(intent.spec)}`);
    if (objectName !== undefined) return { intent, namespace: undefined, pod: pod?.slug === slug ? pod : undefined };
    const found = this.#namespaces.get(namespace);
    // Whatever an intent says: a namespace of another lab, and what is in it, is none of this one.
    if (found !== undefined && found.slug !== slug) return { intent, namespace: undefined, pod: undefined };
    return { intent, namespace: found, pod };
  }

  /** What is there of a lab that nobody has asked for: its pod first, wherever that is. */
  #observeOrphan(slug: string): ObservedLab {
    const service = this.#firstOf(this.#servicesOf, this.#services, slug);
    const namespace = this.namespaceOf(slug) ?? '';
    const own = this.#pods.get(`${namespace}/${OWN_POD_NAME}`);
    const pod = own ?? this.#firstOf(this.#podsOf, this.#pods, slug);
    if (pod !== undefined && pod.namespace !== namespace)
      return { intent: undefined, namespace: undefined, pod, service };
    return { intent: undefined, namespace: this.#namespaces.get(namespace), pod, service };
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

  forgetPod({ namespace, name, uid }: Pick<ObservedPod, 'namespace' | 'name' | 'uid'>): void {
    this.#pods.forget(`${namespace}/${name}`, uid);
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

  #tell(event: CoreV1Event): void {
    const { namespace, name, uid } = event.involvedObject;
    const pod = this.#pods.get(`${namespace}/${name}`);
    // The pod of an earlier spawn may still be going, and its events are not about the lab that was asked for since.
    if (pod === undefined || uid !== pod.uid || currentPod(this.observe(pod.slug)) !== pod) return;
    for (const listener of this.#eventListeners) listener(pod.slug, event);
  }

  #outage: string | undefined;

  /** Says once what is wrong while the cache is not synced yet. */
  #reportOutage(): void {
    const { client, logger } = this.#options;
    const refusal = this.#scope.refusal?.message;
    const sentence = this.isSynced ? undefined : (refusal ?? describeOutage(client.server, this.lastError));
    if (sentence !== undefined && sentence !== this.#outage) {
      logger.error(refusal === undefined ? `${sentence} Trying again.` : sentence);
    }
    if (sentence === undefined && this.#outage !== undefined) logger.info('The Kubernetes API answers.');
    this.#outage = sentence;
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
