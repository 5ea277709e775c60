import { LAB_CONTAINER, type ObservedContainer, type PodFacts } from './pod.ts';

/**
 * Why a lab does not run or a build has no image, as one machine word and one sentence for the user. The same words are used by the API, the
 * events, the logs and the metrics.
 */
export type Reason =
  | 'Abandoned'
  | 'AdmissionDenied'
  | 'BuildFailed'
  | 'BuilderImageUnavailable'
  | 'Cancelled'
  | 'ContainerConfigError'
  | 'ContainerCreateError'
  | 'DeadlineExceeded'
  | 'DeletedExternally'
  | 'Error'
  | 'Evicted'
  | 'ExecutorUnavailable'
  | 'Exited'
  | 'ImageNotFound'
  | 'ImagePullError'
  | 'InitContainerFailed'
  | 'InvalidImageName'
  | 'InvalidObject'
  | 'MissingSecret'
  | 'NameTaken'
  | 'NoOutput'
  | 'NodeLost'
  | 'NotReady'
  | 'OOMKilled'
  | 'PermissionMissing'
  | 'Preempted'
  | 'PullTimeout'
  | 'PushFailed'
  | 'PushTimeout'
  | 'QueueFull'
  | 'QueueTimeout'
  | 'QuotaExceeded'
  | 'RateLimited'
  | 'RefNotFound'
  | 'RegistryDenied'
  | 'RegistryUnavailable'
  | 'RepositoryInvalid'
  | 'RepositoryNotAllowed'
  | 'RepositoryNotFound'
  | 'RepositoryUnavailable'
  | 'SchedulingTimeout'
  | 'Unschedulable'
  | 'VolumeMountFailed';

/** What is wrong, or what is being waited for. */
export interface Finding {
  readonly reason: Reason;
  /** One sentence for the user. It holds no secret and nothing of an API server's body. */
  readonly message: string;
}

/** A finding that may pass: it is fatal once it has lasted for `afterMs`; 0 is at once, Infinity never by itself. */
export interface Trouble extends Finding {
  readonly afterMs: number;
}

/** Texts of container runtimes and registries that say that no later attempt can succeed. */
const IMAGE_HOPELESS =
  /not found|manifest unknown|name unknown|no such image|repository does not exist|denied|unauthorized|authorization failed|authentication required|no basic auth credentials|forbidden|invalid reference|no match for platform|no matching manifest|no image found in/i;
/** Names of images and addresses in such texts: their words are the user's, not the registry's. */
const IMAGE_NAMES = /"[^"\s]*"|\S*\/\S*/g;

/** What the kubelet writes as the reason of a waiting container (pkg/kubelet/images, pkg/kubelet/kuberuntime). */
const PULL_REASONS = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'ImageInspectError',
  'RegistryUnavailable',
  'SignatureValidationFailed',
]);
const CREATE_REASONS = new Set([
  'CreateContainerError',
  'RunContainerError',
  'PreCreateHookError',
  'PreStartHookError',
  'PostStartHookError',
]);

/** The container was made, and its command could not be run: not there, or not executable. */
const START_REASONS: ReadonlySet<string> = new Set(['StartError', 'ContainerCannotRun']);

/** What a pod is for: what its sentences are about, and whose end counts. */
export interface PodSubject {
  readonly noun: 'lab' | 'build';
  readonly container: string;
  /** What to do about too little memory. */
  readonly moreMemory: string;
}

const LAB: PodSubject = { noun: 'lab', container: LAB_CONTAINER, moreMemory: ' Choose a larger size.' };

const IMAGE_GRACE_MS = 120_000;
const CREATE_GRACE_MS = 15_000;
const CONFIG_GRACE_MS = 3_000;

/** Why this pod is over, or undefined while it is not. A pod that somebody deletes is over. */
export function findEnd(pod: PodFacts, subject = LAB): Finding | undefined {
  const ended = pod.phase === 'Failed' || pod.phase === 'Succeeded';
  if (!ended && !pod.terminating) return undefined;
  return findDisruption(pod, subject) ?? (ended ? findExit(pod, subject) : undefined) ?? deletedExternally(subject);
}

/** The pod is not there any more and nobody asked us to delete it. */
export function deletedExternally({ noun }: PodSubject = LAB): Finding {
  return { reason: 'DeletedExternally', message: `The ${noun} was stopped from outside: its pod was deleted.` };
}

function findDisruption({ reason, disruption }: PodFacts, { noun }: PodSubject): Finding | undefined {
  if (disruption === 'PreemptionByScheduler') {
    return { reason: 'Preempted', message: `The ${noun} was stopped to make room for something more important.` };
  }
  if (reason === 'NodeLost' || disruption === 'DeletionByTaintManager' || disruption === 'DeletionByPodGC') {
    return { reason: 'NodeLost', message: `The machine the ${noun} ran on was lost.` };
  }
  if (reason === 'Evicted' || disruption === 'TerminationByKubelet' || disruption === 'EvictionByEvictionAPI') {
    return {
      reason: 'Evicted',
      message: `The ${noun} was evicted from its machine, which was short of resources or drained.`,
    };
  }
  return undefined;
}

function findExit(pod: PodFacts, subject: PodSubject): Finding | undefined {
  const { noun } = subject;
  if (pod.reason === 'DeadlineExceeded') {
    return { reason: 'DeadlineExceeded', message: `The ${noun} ran longer than it may.` };
  }
  // Once the lab itself has ended, it counts; what is ended after it, such as a helper, does not.
  const lab = pod.containers.find(({ name, init }) => name === subject.container && !init);
  const failed = pod.containers.find(({ terminated }) => terminated !== null && terminated.exitCode !== 0);
  const container = lab?.terminated ? lab : (failed ?? lab);
  const terminated = container?.terminated;
  if (container === undefined || terminated === undefined || terminated === null) {
    return pod.phase === 'Failed'
      ? { reason: 'Error', message: `The ${noun} ended before it could start.` }
      : { reason: 'Exited', message: `The ${noun} has ended.` };
  }
  if (terminated.reason === 'OOMKilled') {
    return {
      reason: 'OOMKilled',
      message: `The ${noun} used more memory than it has and was ended.${subject.moreMemory}`,
    };
  }
  if (container.init) {
    const message = `The preparation step "${container.name}" of the ${noun} failed with exit code ${terminated.exitCode}.`;
    return { reason: 'InitContainerFailed', message };
  }
  if (START_REASONS.has(terminated.reason)) {
    return {
      reason: 'ContainerCreateError',
      message: `The ${noun}'s command cannot be started: the image does not have it, or cannot run it.`,
    };
  }
  if (terminated.exitCode === 0) return { reason: 'Exited', message: `The ${noun} has ended.` };
  return { reason: 'Error', message: `The ${noun}'s process ended with exit code ${terminated.exitCode}.` };
}

/** What keeps a living pod from running, if anything is known. */
export function findTrouble(pod: PodFacts, subject = LAB): Trouble | undefined {
  const { noun } = subject;
  for (const container of pod.containers) {
    const trouble = container.waiting === null ? undefined : waitingTrouble(container, container.waiting, subject);
    if (trouble !== undefined) return trouble;
  }
  if (pod.unschedulable !== null) {
    const message = `The cluster has no room for the ${noun} at the moment; it waits for a machine.`;
    return { reason: 'Unschedulable', message, afterMs: Number.POSITIVE_INFINITY };
  }
  return undefined;
}

function waitingTrouble(
  container: ObservedContainer,
  { reason, message }: { reason: string; message: string },
  { noun }: PodSubject,
): Trouble | undefined {
  if (PULL_REASONS.has(reason)) return imageTrouble(message);
  if (CREATE_REASONS.has(reason)) {
    return {
      reason: 'ContainerCreateError',
      message: `The container "${container.name}" of the ${noun} cannot be started.`,
      afterMs: CREATE_GRACE_MS,
    };
  }
  switch (reason) {
    case 'InvalidImageName':
      return { reason: 'InvalidImageName', message: 'The name of the image is not valid.', afterMs: 0 };
    case 'ErrImageNeverPull':
      return { reason: 'ImageNotFound', message: 'The image is not on the machine and may not be pulled.', afterMs: 0 };
    case 'CreateContainerConfigError':
      return {
        reason: 'ContainerConfigError',
        message: `The ${noun} refers to a Secret, a ConfigMap or a setting that does not exist or is not allowed.`,
        afterMs: CONFIG_GRACE_MS,
      };
    case 'CrashLoopBackOff':
      return { reason: 'Error', message: `The ${noun} ends again and again right after its start.`, afterMs: 0 };
    default:
      return undefined;
  }
}

function imageTrouble(message: string): Trouble {
  if (IMAGE_HOPELESS.test(message.replaceAll(IMAGE_NAMES, ''))) {
    return {
      reason: 'ImageNotFound',
      message: 'The image does not exist, or the cluster may not read it. Check its name and tag.',
      afterMs: 0,
    };
  }
  return {
    reason: 'ImagePullError',
    message: 'The image cannot be fetched from its registry at the moment.',
    afterMs: IMAGE_GRACE_MS,
  };
}

/** Reasons of Kubernetes events about a lab's pod that say more than its status does. */
export function findEventTrouble(reason: string, message: string, { noun }: PodSubject = LAB): Trouble | undefined {
  if (reason !== 'FailedMount' && reason !== 'FailedAttachVolume') return undefined;
  const missing = /not found|does not exist|no such file/i.test(message);
  return {
    reason: 'VolumeMountFailed',
    message: `A volume of the ${noun} cannot be mounted.`,
    // The kubelet says "not found" also while its own cache catches up, in the first second or two.
    afterMs: missing ? CREATE_GRACE_MS : Number.POSITIVE_INFINITY,
  };
}

/**
 * What a Kubernetes event says to a user: a probe that fails means no more than that the server is not up yet, and the
 * errors of the container runtime, which the kubelet quotes, are for nobody.
 */
export function eventText(reason: string, message: string): string {
  if (reason === 'Unhealthy') return 'Waiting for the server of the lab to answer';
  return message.replace(/:\s*rpc error:[\s\S]*$/, '');
}
