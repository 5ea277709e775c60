import type { V1ContainerStatus, V1Pod, V1PodSpec, V1PodStatus } from '@kubernetes/client-node';
import { type Outcome, WHOLE_NODE } from './record.ts';

export const PREPULL_KIND = 'prepull';
/** Which images a puller pod pulls: their digests, in the order of its containers. */
export const DIGESTS_ANNOTATION = 'labwright.dev/prepull-digests';
/** The node that a puller pod is for; a node's name can be longer than a label. */
export const NODE_ANNOTATION = 'labwright.dev/prepull-node';
export const REGISTRY_ANNOTATION = 'labwright.dev/prepull-registry';

/** A puller pod, as far as anything depends on it. */
export interface Puller {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly name: string;
  readonly node: string;
  readonly registry: string;
  readonly digests: readonly string[];
  readonly isTerminating: boolean;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** It is on its node. */
  readonly isScheduled: boolean;
  /** What the scheduler says of a pod that it finds no place for. */
  readonly refusal: string | undefined;
  /** What became of each image, once nothing more is going to happen in the pod; undefined before. */
  readonly outcomes: readonly Outcome[] | undefined;
}

/**
 * Reasons of a waiting container whose image is not there. The kubelet pulls before it does anything else for a container, so
 * that every other reason (`CreateContainerError`) says that the image is there; but for the first two, with which it waits for its turn.
 */
const WAITING = new Set(['ContainerCreating', 'PodInitializing', '']);
const NOT_PULLED = new Set([
  ...['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull', 'ImageInspectError'],
  ...['RegistryUnavailable', 'SignatureValidationFailed'],
]);

/** @returns undefined for a pod that is no puller pod */
export function observePuller({ metadata, spec, status }: V1Pod): Puller | undefined {
  const { annotations = {}, uid = '', resourceVersion = '', name = '' } = metadata ?? {};
  const {
    [NODE_ANNOTATION]: node,
    [DIGESTS_ANNOTATION]: digests = '',
    [REGISTRY_ANNOTATION]: registry = '',
  } = annotations;
  if (node === undefined) return undefined;
  const list = digests.split(' ').filter((each) => each !== '');
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
  return {
    ...{ uid, resourceVersion, name, node, registry, digests: list },
    isTerminating: metadata?.deletionTimestamp !== undefined,
    createdAt: timeOf(metadata?.creationTimestamp) ?? 0,
    isScheduled: (spec?.nodeName ?? '') !== '',
    refusal: scheduled?.status === 'False' ? (scheduled.message ?? scheduled.reason) : undefined,
    outcomes: judge(list, spec, status),
  };
}

/** The kubelet tells of all containers at once, when it has tried to pull for each of them. */
function judge(digests: readonly string[], spec: V1PodSpec | undefined, status: V1PodStatus | undefined) {
  const names = (spec?.containers ?? []).map(({ name }) => name);
  const statuses = names.map((name) => status?.containerStatuses?.find((each) => each.name === name));
  if (status?.phase === 'Failed' || status?.phase === 'Succeeded') {
    const why = {
      reason: status.reason ?? 'Failed',
      message: status.message ?? 'The pod has ended before the image was pulled',
    };
    // What never came as far as a container (evicted, out of pods) says something of the node and nothing of an image.
    if (status.containerStatuses === undefined) return [{ digest: WHOLE_NODE, failure: why }];
    return digests.map((digest, index) => outcomeOf(digest, statuses[index], why) ?? { digest, failure: why });
  }
  const outcomes = digests.map((digest, index) => outcomeOf(digest, statuses[index]));
  if (!outcomes.every((outcome) => outcome !== undefined)) return undefined;
  let before = timeOf(status?.startTime);
  return outcomes.map((outcome, index) => {
    const terminated = statuses[index]?.state?.terminated;
    const finished = timeOf(terminated?.finishedAt);
    const tookMs = before === undefined || finished === undefined ? undefined : Math.max(finished - before, 0);
    before = finished;
    return outcome.failure === undefined && tookMs !== undefined ? { ...outcome, tookMs } : outcome;
  });
}

/** @returns undefined while the container waits for its turn, or where `why` says it */
function outcomeOf(
  digest: string,
  status: V1ContainerStatus | undefined,
  why?: { readonly reason: string; readonly message: string },
): Outcome | undefined {
  if (status === undefined) return undefined;
  // A container that was made had its image, whether or not `/bin/true` is in it.
  if (status.imageID !== '' || status.state?.running !== undefined) return { digest };
  const { waiting } = status.state ?? {};
  const reason = waiting?.reason ?? '';
  if (NOT_PULLED.has(reason)) return { digest, failure: { reason, message: waiting?.message ?? '' } };
  if (why !== undefined || waiting === undefined || WAITING.has(reason)) return undefined;
  return { digest };
}

/** As JSON has it: client-node's type says that it is a Date. */
function timeOf(time: Date | string | null | undefined): number | undefined {
  const ms = time === undefined || time === null ? Number.NaN : new Date(time).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}
