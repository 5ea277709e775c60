import { capitalize } from '../../util/capitalize.ts';
import type { ObservedContainer, PodFacts } from './pod.ts';
import { describeContainer, LAB_SUBJECT, type PodSubject, roleOf } from './pod-subject.ts';
import type { Finding } from './reasons.ts';

/** The container was made, and its command could not be run: not there, or not executable. */
const START_REASONS: ReadonlySet<string> = new Set(['StartError', 'ContainerCannotRun']);
/** By SIGKILL or SIGTERM. */
const KILLED: ReadonlySet<number> = new Set([137, 143]);
/** A termination message is a file that the container may write; it is for whoever mends it. */
const LONGEST_MESSAGE = 300;

type Terminated = NonNullable<ObservedContainer['terminated']>;

/**
 * Why this pod is over, or undefined while it is not. It is over when the container that it is for has ended, whatever runs
 * beside that; and a pod that somebody deletes is over.
 */
export function findEnd(pod: PodFacts, subject = LAB_SUBJECT): Finding | undefined {
  const main = pod.containers.find((container) => roleOf(container, subject) === 'main');
  const ended = pod.phase === 'Failed' || pod.phase === 'Succeeded';
  // One that ends while its pod is deleted is ended by that.
  const mainEnded = (main?.terminated ?? null) !== null && !pod.terminating;
  if (!ended && !mainEnded && !pod.terminating) return undefined;
  const disruption = findDisruption(pod, subject, hasRun(main));
  if (disruption !== undefined) return disruption;
  return ended || mainEnded ? findExit(pod, main, subject) : deletedExternally(subject);
}

/** The pod is not there any more and nobody asked us to delete it. */
export function deletedExternally({ noun }: PodSubject = LAB_SUBJECT): Finding {
  return { reason: 'DeletedExternally', message: `The ${noun} was stopped from outside: its pod was deleted.` };
}

function hasRun(main: ObservedContainer | undefined): boolean {
  return main !== undefined && (main.terminated !== null || main.runningSince !== null);
}

/** Reasons of a pod for which the kubelet has not taken it (pkg/kubelet/lifecycle, cm/devicemanager, cm/topologymanager). */
const REJECTED =
  /^(?:OutOf[\w./-]+|NodeAffinity|NodeName|NodePorts|NodeSelectorMismatching|UnexpectedAdmissionError|TopologyAffinityError|PodOSNotSupported|PodOSSelectorNodeLabelDoesNotMatch|PodFeatureUnsupported|AppArmor|SysctlForbidden|ProcMount|Prevent\w+)$/;
const SHUT_DOWN: ReadonlySet<string> = new Set(['Terminated', 'Shutdown', 'NodeShutdown']);
/** Bounds that the pod itself has gone beyond, in the kubelet's words. */
const OWN_DISK = /EmptyDir volume .* exceeds|exceeds the total limit|exceeded its local ephemeral storage limit/i;

function findDisruption(pod: PodFacts, { noun }: PodSubject, ran: boolean): Finding | undefined {
  const { disruption, message } = pod;
  const reason = pod.reason ?? '';
  if (disruption === 'PreemptionByScheduler' || /^Preempt(?:ed|ing)$/.test(reason)) {
    const text = `The ${noun} was stopped to make room for something more important. Start it again.`;
    return { reason: 'Preempted', message: text };
  }
  if (reason === 'NodeLost' || disruption === 'DeletionByTaintManager' || disruption === 'DeletionByPodGC') {
    return { reason: 'NodeLost', message: `The machine the ${noun} ran on was lost. Start it again.` };
  }
  if (SHUT_DOWN.has(reason)) {
    const text = ran
      ? `The machine the ${noun} ran on was shut down. Start it again.`
      : `The machine that was chosen for the ${noun} is being shut down. Start it again.`;
    return { reason: 'Evicted', message: text };
  }
  if (reason === 'Evicted' || disruption === 'TerminationByKubelet' || disruption === 'EvictionByEvictionAPI') {
    return OWN_DISK.test(message ?? '')
      ? { reason: 'Evicted', message: `The ${noun} wrote more to its temporary files than it may, and was ended.` }
      : {
          reason: 'Evicted',
          message: `The ${noun} was evicted from its machine, which was short of resources or drained. Start it again.`,
        };
  }
  return findRejection(reason, noun, ran);
}

function findRejection(reason: string, noun: string, ran: boolean): Finding | undefined {
  if (!REJECTED.test(reason)) return undefined;
  // A kubelet that has been restarted looks anew at the pods that it has.
  if (ran) {
    return { reason: 'NodeRejected', message: `The machine did not keep the ${noun} (${reason}). Start it again.` };
  }
  const why = reason.startsWith('OutOf')
    ? `The machine that was chosen for the ${noun} had no room for it any more.`
    : `The machine that was chosen for the ${noun} did not take it (${reason}).`;
  return { reason: 'NodeRejected', message: `${why} Start it again; tell an administrator if that does not help.` };
}

function findExit(pod: PodFacts, main: ObservedContainer | undefined, subject: PodSubject): Finding {
  const { noun } = subject;
  if (pod.reason === 'DeadlineExceeded') {
    return { reason: 'DeadlineExceeded', message: `The ${noun} ran longer than it may.` };
  }
  // Once the container of the pod has ended, it counts; what is ended after it, such as a helper, does not.
  const failed = pod.containers.find(({ terminated }) => terminated !== null && terminated.exitCode !== 0);
  const container = main?.terminated ? main : (failed ?? main);
  const terminated = container?.terminated;
  if (container === undefined || terminated === undefined || terminated === null) return findUnknown(pod, subject);
  if (container !== main) return findExitOfOther(container, terminated, subject);
  if (terminated.reason === 'OOMKilled') {
    const message = `The ${noun} used more memory than it has and was ended.${subject.moreMemory}`;
    return { reason: 'OOMKilled', message };
  }
  if (START_REASONS.has(terminated.reason)) {
    const platform = /exec format error/i.test(terminated.message);
    const message = platform
      ? `The ${noun}'s command cannot be run on this kind of machine: the image is made for another processor.`
      : `The ${noun}'s command cannot be started: the image does not have it, or cannot run it.`;
    return { reason: platform ? 'ImagePlatform' : 'ContainerCreateError', message };
  }
  if (terminated.exitCode === 0) return { reason: 'Exited', message: `The ${noun} has ended.` };
  if (pod.terminating && KILLED.has(terminated.exitCode) && subject.noun === 'lab') return deletedExternally(subject);
  return { reason: 'Error', message: `The ${noun}'s process ended with exit code ${terminated.exitCode}.` };
}

/** A pod that has ended, and none of whose containers says how. */
function findUnknown({ phase, reason }: PodFacts, { noun }: PodSubject): Finding {
  if (phase !== 'Failed') return { reason: 'Exited', message: `The ${noun} has ended.` };
  const why = reason !== null && /^\w{1,60}$/.test(reason) ? ` (${reason})` : '';
  const message = `The ${noun} ended before it could start${why}. Start it again; tell an administrator if that does not help.`;
  return { reason: 'Error', message };
}

/** A step before the container that the pod is for, or a helper beside it, has ended the pod. */
function findExitOfOther(container: ObservedContainer, terminated: Terminated, subject: PodSubject): Finding {
  const how =
    terminated.reason === 'OOMKilled'
      ? 'used more memory than it has'
      : START_REASONS.has(terminated.reason)
        ? 'cannot be started: its image does not have its command, or cannot run it'
        : `failed with exit code ${terminated.exitCode}`;
  const reason = container.init ? 'InitContainerFailed' : 'SidecarFailed';
  const said = START_REASONS.has(terminated.reason) ? '' : plainText(terminated.message);
  const message = `${capitalize(describeContainer(container, subject))} ${how}${said === '' ? '.' : `: ${said}`}`;
  return { reason, message };
}

/** What a container has left as its last word, as one short line. */
function plainText(text: string): string {
  const line = text
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim();
  return line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE)}…` : line;
}
