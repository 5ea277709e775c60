import type { CoreV1Event, V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Events } from '../../src/storage/kubernetes/resources.ts';
import { timestamp } from '../objects.ts';

export interface EventText {
  readonly type?: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** Name of the container it is about. */
  readonly container?: string;
  /** Whether that container is an init container. */
  readonly init?: boolean;
}

/** Writes events about pods, shaped as the scheduler's and the kubelet's own. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #node: string;
  #count = 0;

  constructor(client: KubeClient, node: string) {
    this.#client = client;
    this.#node = node;
  }

  async scheduler(pod: V1Pod, action: 'Binding' | 'Scheduling', text: EventText, signal: AbortSignal): Promise<void> {
    await this.#write(pod, signal, {
      ...this.#base(pod, text),
      action,
      eventTime: `${new Date().toISOString().slice(0, -1)}000Z`,
      reportingComponent: 'default-scheduler',
      reportingInstance: 'default-scheduler-sandbox',
    });
  }

  async kubelet(pod: V1Pod, text: EventText, signal: AbortSignal): Promise<void> {
    const now = timestamp();
    await this.#write(pod, signal, {
      ...this.#base(pod, text),
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      source: { component: 'kubelet', host: this.#node },
      reportingComponent: 'kubelet',
      reportingInstance: this.#node,
    });
  }

  #base({ metadata }: V1Pod, { type = 'Normal', reason, message, container, init = false }: EventText): object {
    const { namespace = '', name = '', uid = '', resourceVersion = '' } = metadata ?? {};
    this.#count += 1;
    const suffix = `${Date.now().toString(16)}${this.#count.toString(16).padStart(5, '0')}`;
    const fieldPath =
      container === undefined ? {} : { fieldPath: `spec.${init ? 'initContainers' : 'containers'}{${container}}` };
    return {
      metadata: { namespace, name: `${name}.${suffix}` },
      involvedObject: { kind: 'Pod', apiVersion: 'v1', namespace, name, uid, resourceVersion, ...fieldPath },
      ...{ type, reason, message },
    };
  }

  /** An event that cannot be written is lost, as a kubelet's would be. */
  async #write(_pod: V1Pod, signal: AbortSignal, event: object): Promise<void> {
    await this.#client.create(Events, event as CoreV1Event, { signal }).catch(() => undefined);
  }
}
