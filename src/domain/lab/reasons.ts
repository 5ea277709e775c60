import { capitalize } from '../../util/capitalize.ts';
import { imageTrouble } from './image-trouble.ts';
import type { ObservedContainer, PodFacts } from './pod.ts';
import { describeContainer, LAB_SUBJECT, type PodSubject, roleOf } from './pod-subject.ts';
import { schedulingTrouble } from './scheduling-trouble.ts';

export { deletedExternally, findEnd } from './pod-end.ts';
export type { PodSubject } from './pod-subject.ts';

/**
 * Why a lab does not run or a build has no image, as one machine word and one sentence for the user. The same words are used by the API, the
 * events, the logs and the metrics.
 */
export type Reason =
  | 'Abandoned'
  | 'AdmissionDenied'
  | 'BaseImageDenied'
  | 'BaseImageNotFound'
  | 'BuildFailed'
  | 'BuilderImageUnavailable'
  | 'Cancelled'
  | 'CertificateNotTrusted'
  | 'ClusterUnavailable'
  | 'ContainerConfigError'
  | 'ContainerCreateError'
  | 'DeadlineExceeded'
  | 'DeletedExternally'
  | 'Error'
  | 'Evicted'
  | 'ExecutorUnavailable'
  | 'Exited'
  | 'HostNotFound'
  | 'ImageNotFound'
  | 'ImagePlatform'
  | 'ImagePullError'
  | 'InitContainerFailed'
  | 'InvalidImageName'
  | 'InvalidObject'
  | 'LayerTooLarge'
  | 'LfsUnavailable'
  | 'MissingSecret'
  | 'NameTaken'
  | 'NoOutput'
  | 'NoSpace'
  | 'NodeLost'
  | 'NodeRejected'
  | 'NotReady'
  | 'OOMKilled'
  | 'PermissionMissing'
  | 'PodStuck'
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
  | 'RegistryRepositoryMissing'
  | 'RegistryUnavailable'
  | 'RepositoryInvalid'
  | 'RepositoryNotAllowed'
  | 'RepositoryNotFound'
  | 'RepositoryUnavailable'
  | 'SchedulingTimeout'
  | 'SidecarFailed'
  | 'SubmoduleUnavailable'
  | 'Unschedulable'
  | 'VolumeMountFailed';

/** What is wrong, or what is being waited for. */
export interface Finding {
  readonly reason: Reason;
  /** One sentence for the user. It holds no secret and nothing of an API server's body. */
  readonly message: string;
}

/** A lab of which nobody knows any more what was asked for. */
export const DAMAGED: Finding = {
  reason: 'Error',
  message: 'What was asked for cannot be read any more: somebody has changed the record of the lab. Start it again.',
};

/** A finding that may pass: it is fatal once it has lasted for `afterMs`; 0 is at once, Infinity never by itself. */
export interface Trouble extends Finding {
  readonly afterMs: number;
  /** Of what may pass by itself: what has to change. How long a lab waits for that is a setting, which wins over `afterMs`. */
  readonly waitsFor?: Awaited;
}

/** A place on a machine; an image that a registry or its way does not give at the moment; a container that the machine cannot make now. */
export type Awaited = 'machine' | 'image' | 'container';

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

const CREATE_GRACE_MS = 15_000;
const CONFIG_GRACE_MS = 3_000;

/** What the machine or the API server may do better a moment later: the kubelet tries again by itself. */
const PASSING =
  /failed to sync \w+ cache|deadline ?exceeded|timed out|timeout|temporarily|unavailable|connection (?:refused|reset)|etcdserver|too many requests|is reserved for|not yet been read|context cancell?ed|code = Cancell?ed|\bEOF\b/i;

/** What keeps a living pod from running, if anything is known: of its own container first, then of the steps before it. */
export function findTrouble(pod: PodFacts, subject = LAB_SUBJECT): Trouble | undefined {
  const order = ['main', 'step', 'sidecar'] as const;
  const containers = pod.containers.toSorted(
    (a, b) => order.indexOf(roleOf(a, subject)) - order.indexOf(roleOf(b, subject)),
  );
  for (const container of containers) {
    const trouble = container.waiting === null ? undefined : waitingTrouble(container, container.waiting, subject);
    if (trouble !== undefined) return trouble;
  }
  return pod.unschedulable === null ? undefined : schedulingTrouble(pod.unschedulable, subject);
}

/** What is wrong with another container than that which the pod is for is told under its own word: it is nothing that the reader has chosen. */
function waitingTrouble(
  container: ObservedContainer,
  waiting: { reason: string; message: string },
  subject: PodSubject,
): Trouble | undefined {
  const trouble = troubleOf(container, waiting, subject);
  const role = roleOf(container, subject);
  if (trouble === undefined || role === 'main') return trouble;
  return { ...trouble, reason: role === 'step' ? 'InitContainerFailed' : 'SidecarFailed' };
}

function troubleOf(
  container: ObservedContainer,
  { reason, message }: { reason: string; message: string },
  subject: PodSubject,
): Trouble | undefined {
  const { noun } = subject;
  const passes = PASSING.test(message);
  const patience = (afterMs: number): Pick<Trouble, 'afterMs' | 'waitsFor'> =>
    passes ? { afterMs: Number.POSITIVE_INFINITY, waitsFor: 'container' } : { afterMs };
  const role = roleOf(container, subject);
  const whose = describeContainer(container, subject);
  const chosen = role === 'main' && subject.image === 'chosen';
  if (PULL_REASONS.has(reason)) return imageTrouble(message, { whose, chosen });
  if (CREATE_REASONS.has(reason)) {
    return {
      reason: 'ContainerCreateError',
      message: `The container "${container.name}" of the ${noun} cannot be started${passes ? ' at the moment' : ''}.`,
      ...patience(CREATE_GRACE_MS),
    };
  }
  switch (reason) {
    case 'InvalidImageName':
    case 'ErrImageNeverPull':
      return imageTrouble(message, { whose, chosen, reason });
    case 'CreateContainerConfigError':
      return {
        reason: 'ContainerConfigError',
        message: passes
          ? `The machine of the ${noun} cannot read the Secrets and ConfigMaps that it needs at the moment.`
          : `The ${noun} refers to a Secret, a ConfigMap or a setting that does not exist or is not allowed.`,
        ...patience(CONFIG_GRACE_MS),
      };
    case 'CrashLoopBackOff':
      return role === 'main'
        ? { reason: 'Error', message: `The ${noun} ends again and again right after its start.`, afterMs: 0 }
        : {
            // It is restarted by the kubelet, and may have to wait for something itself.
            reason: 'SidecarFailed',
            message: `${capitalize(whose)} ends again and again. Tell an administrator if it stays so.`,
            afterMs: Number.POSITIVE_INFINITY,
          };
    default:
      return undefined;
  }
}

/** What is not there, as the kubelet says it; a driver or a node that is not there yet is still coming up. */
const MISSING =
  /(?:secrets?|configmaps?|persistentvolumeclaims?|persistentvolumes?) "[^"]*" not found|non-existent|does not exist|no such file/i;
const ATTACHED_ELSEWHERE = /Multi-Attach error|already (?:exclusively )?attached to/i;

/** Reasons of Kubernetes events about a pod that say more than its status does. */
export function findEventTrouble(
  reason: string,
  message: string,
  { noun }: PodSubject = LAB_SUBJECT,
): Trouble | undefined {
  if (reason !== 'FailedMount' && reason !== 'FailedAttachVolume') return undefined;
  const elsewhere = ATTACHED_ELSEWHERE.test(message);
  return {
    reason: 'VolumeMountFailed',
    message: elsewhere
      ? `A volume of the ${noun} is still attached to another machine; it waits until that lets go of it.`
      : `A volume of the ${noun} cannot be mounted.`,
    // The kubelet says "not found" also while its own cache catches up, in the first second or two.
    afterMs: !elsewhere && MISSING.test(message) ? CREATE_GRACE_MS : Number.POSITIVE_INFINITY,
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
