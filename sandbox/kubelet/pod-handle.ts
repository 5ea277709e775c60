import { randomBytes } from 'node:crypto';
import type { V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Pods, type Ref } from '../../src/storage/kubernetes/resources.ts';
import { timestamp } from '../objects.ts';
import type { EventRecorder, EventText } from './event-recorder.ts';
import { type ContainerState, type PodPicture, podStatus, type Terminated, unschedulableStatus } from './pod-status.ts';

/** How a pod ended, beyond the exit code of its container. */
export interface Ending extends Pick<PodPicture, 'reason' | 'message' | 'disruption'> {
  /** Why the container ended, as the kubelet calls it. */
  readonly containerReason: string;
  readonly containerMessage?: string;
}

/** What a scheduler and a kubelet write about one pod: binding, status, events, the last delete. */
export class PodHandle {
  readonly podIP: string;
  readonly #client: KubeClient;
  readonly #events: EventRecorder;
  readonly #ref: Ref;
  #pod: V1Pod;
  #init: readonly ContainerState[] = [];
  #startTime = timestamp();
  #startedAt = timestamp();
  #hasStarted = false;

  constructor(client: KubeClient, events: EventRecorder, pod: V1Pod, podIP: string) {
    this.#client = client;
    this.#events = events;
    this.#pod = pod;
    this.#ref = { namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? '' };
    this.podIP = pod.status?.podIP ?? podIP;
    this.#hasStarted = pod.status?.containerStatuses?.some(({ state }) => state?.waiting === undefined) ?? false;
  }

  /** As last seen or written. */
  get pod(): V1Pod {
    return this.#pod;
  }

  /** Whether the pod is over. */
  get hasEnded(): boolean {
    const phase = this.#pod.status?.phase;
    return phase === 'Failed' || phase === 'Succeeded';
  }

  /** Whether the containers run or have run; known here before it is written. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get name(): string {
    return this.#ref.name;
  }

  /** Name of the first container. */
  get container(): string {
    return this.#pod.spec?.containers[0]?.name ?? '';
  }

  get image(): string {
    return this.#pod.spec?.containers[0]?.image ?? '';
  }

  /** Puts the pod on a node, unless it is on one. */
  async bind(node: string, tell: boolean, signal: AbortSignal): Promise<void> {
    this.#startTime = timestamp();
    if ((this.#pod.spec?.nodeName ?? '') !== '') return;
    const { name, namespace = '' } = this.#ref;
    const binding = {
      ...{ apiVersion: 'v1', kind: 'Binding', metadata: { name, namespace } },
      target: { kind: 'Node', name: node },
    };
    await this.#client.createSubresource(Pods, this.#ref, 'binding', binding, { signal });
    if (!tell) return;
    const message = `Successfully assigned ${namespace}/${name} to ${node}`;
    await this.#events.scheduler(this.#pod, 'Binding', { reason: 'Scheduled', message }, signal);
  }

  /** Says that the scheduler finds no node. */
  async refuseNode(message: string, signal: AbortSignal): Promise<void> {
    await this.#patch(unschedulableStatus(message), signal);
    const text = { type: 'Warning', reason: 'FailedScheduling', message } as const;
    await this.#events.scheduler(this.#pod, 'Scheduling', text, signal);
  }

  /** Writes the status that belongs to a picture; what it leaves out is that of a pod that waits on its node. */
  async show(picture: Partial<PodPicture> & Pick<PodPicture, 'main'>, signal: AbortSignal): Promise<void> {
    const whole = { phase: 'Pending', init: this.#init, ready: false, podIP: this.podIP, ...picture } as const;
    await this.#patch(podStatus(this.#pod, whole, this.#startTime), signal);
  }

  /** From now on this is how the init containers stand. */
  setInit(states: readonly ContainerState[]): void {
    this.#init = states;
  }

  /** The containers run from now on, or since before. */
  running(restart = false): ContainerState {
    if (restart) this.#startedAt = timestamp();
    this.#hasStarted = true;
    return { running: { startedAt: this.#startedAt } };
  }

  /** The containers have ended, and with them the pod. */
  async end(exitCode: number, ending: Ending, signal: AbortSignal): Promise<void> {
    const { containerReason, containerMessage, ...more } = ending;
    const terminated = terminatedState(exitCode, containerReason, this.#startedAt, containerMessage);
    await this.show({ phase: exitCode === 0 ? 'Succeeded' : 'Failed', main: { terminated }, ...more }, signal);
  }

  async event(text: EventText, signal: AbortSignal): Promise<void> {
    await this.#events.kubelet(this.#pod, text, signal);
  }

  /** As `event`, about the first container and as a warning. */
  async warn(reason: string, message: string, signal: AbortSignal): Promise<void> {
    await this.event({ type: 'Warning', reason, message, container: this.container }, signal);
  }

  /** The last delete, without grace: the pod is gone. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.delete(signal, { gracePeriodSeconds: 0 });
  }

  /** Deletes the pod, with its own grace where none is given. */
  async delete(signal: AbortSignal, grace: { readonly gracePeriodSeconds?: number } = {}): Promise<void> {
    const uid = this.#pod.metadata?.uid;
    await this.#client.delete(Pods, this.#ref, { signal, ...grace, ...(uid === undefined ? {} : { uid }) });
  }

  async #patch(status: object, signal: AbortSignal): Promise<void> {
    this.#pod = await this.#client.patch(Pods, this.#ref, { status }, { subresource: 'status', signal });
  }
}

export function terminatedState(exitCode: number, reason: string, startedAt: string, message?: string): Terminated {
  return {
    ...{ exitCode, reason, startedAt, finishedAt: timestamp() },
    ...(message === undefined ? {} : { message }),
    containerID: `sandbox://${randomBytes(32).toString('hex')}`,
  };
}
