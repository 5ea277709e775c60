import { randomBytes } from 'node:crypto';
import type { V1Pod, V1Toleration } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Pods, type Ref } from '../../src/storage/kubernetes/resources.ts';
import { unschedulableStatus } from '../kubelet/pod-status.ts';
import { messages } from '../kubelet/messages.ts';
import { within } from '../kubelet/within.ts';
import { timestamp } from '../objects.ts';

/** Fetches an image to a node. @throws PullProblem */
export type Pull = (image: string, node: string, signal: AbortSignal) => Promise<void>;

/** Why an image cannot be pulled, as the kubelet calls it: `ErrImagePull`. */
export class PullProblem extends Error {
  readonly reason: string;

  constructor(message: string, reason = 'ErrImagePull') {
    super(message);
    this.reason = reason;
  }
}

export interface NodePodOptions {
  readonly client: KubeClient;
  readonly pod: V1Pod;
  readonly node: string;
  readonly taints: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
}

export interface PullTools {
  readonly has: (image: string) => boolean;
  readonly pull: Pull;
  readonly onPulled: (image: string) => void;
  readonly signal: AbortSignal;
}

/** State and image of one container, as in its status. */
interface Told {
  readonly state: object;
  readonly imageID: string;
}

const WAITING: Told = { state: { waiting: { reason: 'ContainerCreating' } }, imageID: '' };

/** One pod on a node where containers end as soon as they have their image. */
export class NodePod {
  readonly #options: NodePodOptions;
  readonly #ref: Ref;
  readonly #startTime = timestamp();

  constructor(options: NodePodOptions) {
    this.#options = options;
    const { namespace, name = '' } = options.pod.metadata ?? {};
    this.#ref = { namespace, name };
  }

  /** @returns when nothing more happens to the pod. @throws KubeError, or AbortError when the signal aborts */
  async run(tools: PullTools): Promise<void> {
    const { client, pod, node } = this.#options;
    if (pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') return;
    if ((pod.spec?.nodeName ?? '') === '') {
      const taint = this.#options.taints.find((each) => each.effect !== 'PreferNoSchedule' && !this.#tolerates(each));
      if (taint !== undefined) {
        const message = `0/1 nodes are available: 1 node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}.`;
        await this.#write(unschedulableStatus(message), tools.signal);
        return;
      }
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata: this.#ref, target: { kind: 'Node', name: node } };
      await client.createSubresource(Pods, this.#ref, 'binding', binding, { signal: tools.signal });
    }
    const containers = pod.spec?.containers ?? [];
    await this.#tell(
      'Pending',
      containers.map(() => WAITING),
      tools.signal,
    );
    const deadline = (pod.spec?.activeDeadlineSeconds ?? 0) * 1_000 || 2 ** 31 - 1;
    const told = await within(deadline, (signal) => this.#pullAll({ ...tools, signal }), tools.signal);
    if (told === undefined) return this.#exceed(tools);
    const failed = told.some(({ imageID }) => imageID === '');
    await this.#tell(failed ? 'Pending' : 'Succeeded', told, tools.signal);
  }

  /** One after another, and nothing is told before the last one. */
  async #pullAll({ has, pull, onPulled, signal }: PullTools): Promise<Told[]> {
    const told: Told[] = [];
    for (const { image = '' } of this.#options.pod.spec?.containers ?? []) {
      try {
        if (!has(image)) {
          await pull(image, this.#options.node, signal);
          signal.throwIfAborted();
          onPulled(image);
        }
        told.push(completed(image));
      } catch (error) {
        if (!(error instanceof PullProblem)) throw error;
        told.push({ state: { waiting: { reason: error.reason, message: error.message } }, imageID: '' });
      }
    }
    return told;
  }

  async #exceed({ has, signal }: PullTools): Promise<void> {
    const unknown = { exitCode: 137, reason: 'ContainerStatusUnknown', message: messages.containerLost };
    const told = (this.#options.pod.spec?.containers ?? []).map(({ image = '' }): Told => {
      const times = { startedAt: null, finishedAt: null };
      return has(image) ? completed(image) : { state: { terminated: { ...unknown, ...times } }, imageID: '' };
    });
    await this.#tell('Failed', told, signal, { reason: 'DeadlineExceeded', message: messages.podDeadline });
  }

  async #tell(phase: string, told: readonly Told[], signal: AbortSignal, more: object = {}): Promise<void> {
    const containers = this.#options.pod.spec?.containers ?? [];
    const containerStatuses = containers.map(({ name, image = '' }, index) => {
      const { state, imageID } = told[index] ?? WAITING;
      return { name, image, imageID, state, lastState: {}, ready: false, restartCount: 0, started: false };
    });
    await this.#write({ phase, startTime: this.#startTime, containerStatuses, ...more }, signal);
  }

  async #write(status: object, signal: AbortSignal): Promise<void> {
    await this.#options.client.patch(Pods, this.#ref, { status }, { subresource: 'status', signal });
  }

  #tolerates(taint: { readonly key: string; readonly value?: string; readonly effect: string }): boolean {
    const list: readonly V1Toleration[] = this.#options.pod.spec?.tolerations ?? [];
    return list.some(
      ({ key = '', operator = 'Equal', value = '', effect = '' }) =>
        (effect === '' || effect === taint.effect) &&
        (key === '' || key === taint.key) &&
        (operator === 'Exists' || value === (taint.value ?? '')),
    );
  }
}

function completed(image: string): Told {
  const now = timestamp();
  const containerID = `sandbox://${randomBytes(32).toString('hex')}`;
  const terminated = { exitCode: 0, reason: 'Completed', startedAt: now, finishedAt: now, containerID };
  return { state: { terminated }, imageID: image };
}
