import type { CoreV1Event, KubernetesObject, V1Pod, V1Secret } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { parseIntent } from '../../domain/lab/intent.ts';
import { LAB_INTENT_KIND, LAB_KIND, OWN_POD_NAME } from '../../domain/lab/object-names.ts';
import type { ObservedIntent, ObservedNamespace, ObservedService } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import { CONTROLLER_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { describeOutage } from '../../storage/kubernetes/checks/outage.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { type Cached, Reflector, type ReflectorOptions } from '../../storage/kubernetes/reflector.ts';
import { Events, Namespaces, Pods, Secrets, Services } from '../../storage/kubernetes/resources.ts';
import { type Health, type Staleness, stalenessOf } from '../health.ts';
import { LabScope } from './lab-scope.ts';
import { labSelector, observeNamespace, observePod, observeService } from './observe.ts';

export interface LabWatchesOptions {
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

type OnChange<Value extends Cached> = NonNullable<ReflectorOptions<KubernetesObject, Value>['onChange']>;

/** Called with what has changed, after it has been kept. */
export interface LabListeners {
  readonly onIntent: OnChange<ObservedIntent>;
  readonly onNamespace: OnChange<ObservedNamespace>;
  readonly onPod: OnChange<ObservedPod>;
  readonly onService: OnChange<ObservedService>;
  readonly onEvent: (event: CoreV1Event) => void;
}

const OUTAGE_CHECK_MS = 1_000;

/** What is watched of labs, and how well that goes: four or five watches, however many labs there are. */
export class LabWatches {
  readonly intents: Reflector<V1Secret, ObservedIntent>;
  readonly namespaces: Reflector<KubernetesObject, ObservedNamespace>;
  readonly pods: Reflector<V1Pod, ObservedPod>;
  readonly services: Reflector<KubernetesObject, ObservedService>;
  readonly scope: LabScope;
  readonly synced: Promise<void>;
  readonly #events: Reflector<CoreV1Event, PodEvent>;
  readonly #options: LabWatchesOptions;
  #isSynced = false;
  /** What has been said of an outage that lasts. */
  #outage: string | undefined;

  constructor(options: LabWatchesOptions, listeners: LabListeners) {
    this.#options = options;
    const { client, controller, sharedNamespace, logger } = options;
    const labels = `${MANAGED_BY_LABEL}=${MANAGED_BY},${CONTROLLER_LABEL}=${controller}`;
    const ofLabs = labSelector(controller, LAB_KIND);
    this.scope = new LabScope({ client, sharedNamespace, labels });
    this.intents = new Reflector<V1Secret, ObservedIntent>({
      ...{ client, logger, resource: Secrets },
      select: { namespace: controller, labelSelector: labSelector(controller, LAB_INTENT_KIND), metadataOnly: true },
      project: ({ metadata }) => parseIntent(metadata),
      onChange: listeners.onIntent,
    });
    this.namespaces = new Reflector<KubernetesObject, ObservedNamespace>({
      ...{ client, logger, resource: Namespaces },
      select: { labelSelector: labels, metadataOnly: true },
      project: observeNamespace,
      onChange: listeners.onNamespace,
    });
    this.pods = new Reflector<V1Pod, ObservedPod>({
      ...{ client, logger, resource: Pods },
      select: () => ({ ...this.scope.only, labelSelector: ofLabs }),
      project: observePod,
      onChange: listeners.onPod,
    });
    this.services = new Reflector<KubernetesObject, ObservedService>({
      ...{ client, logger, resource: Services },
      select: { namespace: sharedNamespace ?? controller, labelSelector: ofLabs, metadataOnly: true },
      project: observeService,
      onChange: listeners.onService,
    });
    this.#events = new Reflector<CoreV1Event, PodEvent>({
      ...{ client, logger, resource: Events },
      // Of labs that were made the other way, nothing explains why they do not start.
      select:
        sharedNamespace === undefined
          ? { fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${OWN_POD_NAME}` }
          : { namespace: sharedNamespace, fieldSelector: 'involvedObject.kind=Pod' },
      watchOnly: true,
      project: (event) => ({ uid: '', resourceVersion: '', event }),
      onChange: (_key, now) => {
        if (now !== undefined) listeners.onEvent(now.event);
      },
    });
    this.synced = this.#untilSynced();
  }

  /** Whether all is known that is needed to say anything about labs. Events only explain. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Why it is not synced or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    const errors = this.#decisive.map(({ lastError }) => lastError);
    return this.scope.lastError ?? errors.find((error) => error !== undefined);
  }

  health(component: string): Health {
    const staleMs = Math.max(...this.#decisive.map((reflector) => reflector.staleMs));
    const error = this.lastError ?? this.#events.lastError;
    const message =
      this.scope.refusal?.message ?? (error === undefined ? undefined : `A watch fails: ${error.message}`);
    const stale = stalenessOf([...this.#decisive, this.#events]);
    return { component, ready: this.isSynced, message, staleMs, stale };
  }

  /** What is to be said with each answer about labs; undefined while the cluster is followed. */
  get staleness(): Staleness | undefined {
    return stalenessOf(this.#decisive);
  }

  /** Follows the cluster until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const outage = setInterval(() => this.#reportOutage(), OUTAGE_CHECK_MS);
    const following = [this.intents.run(signal), this.#events.run(signal)];
    await this.scope.find(signal);
    const rest = this.#decisive.filter((reflector) => reflector !== this.intents);
    await Promise.all([...following, ...rest.map((reflector) => reflector.run(signal))]);
    clearInterval(outage);
  }

  /** The watches without which nothing can be said about labs. */
  get #decisive() {
    return [
      this.intents,
      this.pods,
      ...(this.scope.seesNamespaces ? [this.namespaces] : []),
      ...(this.#options.sharedNamespace === undefined ? [] : [this.services]),
    ];
  }

  async #untilSynced(): Promise<void> {
    await this.scope.known;
    await Promise.all(this.#decisive.map((reflector) => reflector.ready));
    const unseen = [...this.intents.values()].find(({ spec }) => !this.scope.sees(spec));
    if (unseen === undefined) this.#isSynced = true;
    else await this.scope.refuse(unseen);
  }

  /** Says once what is wrong while nothing is synced yet. */
  #reportOutage(): void {
    const { client, logger } = this.#options;
    const refusal = this.scope.refusal?.message;
    const sentence = this.isSynced ? undefined : (refusal ?? describeOutage(client.server, this.lastError));
    if (sentence !== undefined && sentence !== this.#outage) {
      logger.error(refusal === undefined ? `${sentence} Trying again.` : sentence);
    }
    if (sentence === undefined && this.#outage !== undefined) logger.info('The Kubernetes API answers.');
    this.#outage = sentence;
  }
}
