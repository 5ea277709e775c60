import type { V1Pod } from '@kubernetes/client-node';
import { timestamp } from '../objects.ts';

/** The state of one container in a status patch. */
export type ContainerState =
  | { readonly waiting: { readonly reason: string; readonly message?: string } }
  | { readonly running: { readonly startedAt: string } }
  | { readonly terminated: Terminated };

export interface Terminated {
  readonly exitCode: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly containerID: string;
}

/** What a pod is at one moment; `podStatus` turns it into the status that a kubelet would write. */
export interface PodPicture {
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /** State of each init container, in order. */
  readonly init: readonly ContainerState[];
  /** State of every container of the pod; the simulation treats them alike. */
  readonly main: ContainerState;
  readonly ready: boolean;
  /** False: the node controller has found the node silent. It says so of the pod, and nothing of its containers. */
  readonly nodeAnswers?: false;
  /** Null as long as the pod has no network. */
  readonly podIP: string | null;
  readonly restarts?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly disruption?: { readonly reason: string; readonly message: string };
}

const DIGEST = '61a235ed6ff160be83a3b104feec6ac53299abdd68554e7fa3307b952de4bbb0';
export const NODE_ADDRESS = '127.0.0.1';

/** The status of a pod on a node, with the conditions and container statuses of a 1.34 kubelet. */
export function podStatus(pod: V1Pod, picture: PodPicture, startTime: string): object {
  const { phase, podIP, reason, message } = picture;
  return {
    phase,
    startTime,
    hostIP: NODE_ADDRESS,
    hostIPs: [{ ip: NODE_ADDRESS }],
    ...(podIP === null ? {} : { podIP, podIPs: [{ ip: podIP }] }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    conditions: conditionsOf(pod, picture),
    ...initStatuses(pod, picture),
    containerStatuses: (pod.spec?.containers ?? []).map(({ name, image = '' }) =>
      containerStatus(name, image, picture.main, picture.ready, picture.restarts ?? 0),
    ),
  };
}

function initStatuses(pod: V1Pod, { init }: PodPicture): object {
  const containers = pod.spec?.initContainers ?? [];
  if (containers.length === 0) return {};
  return {
    initContainerStatuses: containers.map(({ name, image = '' }, index) => {
      const state = init[index] ?? { waiting: { reason: 'PodInitializing' } };
      return containerStatus(name, image, state, isCompleted(state), 0);
    }),
  };
}

function containerStatus(
  name: string,
  image: string,
  state: ContainerState,
  ready: boolean,
  restartCount: number,
): object {
  const started = 'waiting' in state ? '' : `${image.replace(/@.*$/, '').replace(/:[^:/]*$/, '')}@sha256:${DIGEST}`;
  const id = 'terminated' in state ? { containerID: state.terminated.containerID } : {};
  return {
    ...{ name, image, imageID: started, ready, restartCount, state, lastState: {} },
    started: ready && 'running' in state,
    ...id,
  };
}

function isCompleted(state: ContainerState): boolean {
  return 'terminated' in state && state.terminated.exitCode === 0;
}

function conditionsOf(pod: V1Pod, picture: PodPicture): object[] {
  const initNames = (pod.spec?.initContainers ?? []).map(({ name }) => name);
  const incomplete = initNames.filter(
    (_name, index) => !isCompleted(picture.init[index] ?? { waiting: { reason: '' } }),
  );
  const names = (pod.spec?.containers ?? []).map(({ name }) => name);
  const unready = {
    Failed: { reason: 'PodFailed' },
    Succeeded: { reason: 'PodCompleted' },
    Pending: { reason: 'ContainersNotReady', message: `containers with unready status: [${names.join(' ')}]` },
    Running: { reason: 'ContainersNotReady', message: `containers with unready status: [${names.join(' ')}]` },
  }[picture.phase];
  const isEnded = picture.phase === 'Failed' || picture.phase === 'Succeeded';
  return [
    condition('PodReadyToStartContainers', picture.podIP !== null && !isEnded),
    condition('Initialized', incomplete.length === 0, {
      reason: 'ContainersNotInitialized',
      message: `containers with incomplete status: [${incomplete.join(' ')}]`,
    }),
    condition('Ready', picture.ready && picture.nodeAnswers !== false, picture.ready ? {} : unready),
    condition('ContainersReady', picture.ready, unready),
    condition('PodScheduled', true),
    ...(picture.disruption === undefined ? [] : [{ ...condition('DisruptionTarget', true), ...picture.disruption }]),
  ];
}

/** @param otherwise reason and message of a condition that does not hold */
function condition(type: string, holds: boolean, otherwise: object = {}): object {
  return {
    ...{ type, status: holds ? 'True' : 'False', lastProbeTime: null, lastTransitionTime: timestamp() },
    ...(holds ? {} : otherwise),
  };
}

/** The status of a pod for which the scheduler finds no node. */
export function unschedulableStatus(message: string): object {
  return { phase: 'Pending', conditions: [condition('PodScheduled', false, { reason: 'Unschedulable', message })] };
}
