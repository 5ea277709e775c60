import type { LabPhase, LabState } from './lab.ts';
import { awaitsImage, currentPod, isRunning, labSpecOf, type ObservedIntent, type ObservedLab } from './observed.ts';
import { LAB_CONTAINER, type ObservedPod } from './pod.ts';
import { DAMAGED, deletedExternally, type Finding, findEnd, findTrouble } from './reasons.ts';
import { stuckPod } from './stuck-pod.ts';
import { buildInternalUrl, type LabAddressing } from './internal-url.ts';

/**
 * What the objects of a lab say about it. It is the only way to a lab's state: for a lab that is being started, one that
 * was found after a restart, and one whose pod has died.
 *
 * @param podSeen whether the pod of this spawn has been there: then one that is not there has been deleted
 * @param now milliseconds since the epoch; what only shows with time is not told without it
 * @returns undefined when there is no such lab
 */
export function recreateLabState(
  observed: ObservedLab,
  addressing: LabAddressing,
  podSeen = false,
  now?: number,
): LabState | undefined {
  const { intent } = observed;
  if (intent === undefined) return undefined;
  const pod = currentPod(observed);
  const { status, phase, finding = null } = judge(intent, observed, pod, podSeen, now ?? 0);
  const alive = pod !== undefined && (status === 'running' || status === 'pending');
  const run = describeRun(pod);
  return {
    spec: labSpecOf(intent),
    status,
    phase,
    reason: finding?.reason ?? null,
    message: finding?.message ?? null,
    internalUrl: alive ? buildInternalUrl(intent.spec, pod, addressing) : null,
    ...run,
    finishedAt: intent.failure?.at ?? run.finishedAt,
  };
}

function describeRun(pod: ObservedPod | undefined) {
  const container = pod?.containers.find(({ name }) => name === LAB_CONTAINER);
  return {
    node: pod?.node ?? null,
    imageDigest: container?.imageDigest ?? null,
    restarts: container?.restarts ?? 0,
    startedAt: container?.runningSince ?? null,
    finishedAt: container?.terminated?.finishedAt ?? null,
  };
}

interface Verdict {
  readonly status: LabState['status'];
  readonly phase: LabPhase;
  readonly finding?: Finding | undefined;
}

function judge(
  intent: ObservedIntent,
  observed: ObservedLab,
  pod: ObservedPod | undefined,
  podSeen: boolean,
  now: number,
): Verdict {
  if (intent.deleting) {
    const stuck = observed.pod && stuckPod(observed.pod, 'the lab', now);
    return { status: 'terminating', phase: 'deleting', finding: stuck };
  }
  if (intent.failure !== null) {
    return { status: intent.failure.status, phase: intent.failure.status, finding: intent.failure };
  }
  if (intent.damaged) return { status: 'failed', phase: 'failed', finding: DAMAGED };
  if (pod === undefined && podSeen) return { status: 'failed', phase: 'failed', finding: deletedExternally() };
  if (awaitsImage(intent)) return { status: 'pending', phase: 'building' };
  if (pod === undefined) {
    const stuck = observed.pod && stuckPod(observed.pod, 'an earlier lab', now);
    const finding = stuck ?? intent.hindrance ?? undefined;
    return { status: 'pending', phase: phaseWithoutPod(observed), finding };
  }
  const end = findEnd(pod);
  if (end !== undefined) {
    const status = endStatus(end);
    return { status, phase: status, finding: end };
  }
  if (isRunning(pod)) return { status: 'running', phase: 'running', finding: pod.ready ? undefined : UNREACHABLE };
  return { status: 'pending', phase: startingPhase(pod), finding: findTrouble(pod) };
}

/** A lab that has ended without an error is terminated, which the hub reads as "stopped", not as "failed". */
export function endStatus({ reason }: Finding): 'failed' | 'terminated' {
  return reason === 'Exited' ? 'terminated' : 'failed';
}

const UNREACHABLE: Finding = {
  reason: 'NotReady',
  message: 'The lab runs, but the machine it runs on does not report at the moment.',
};

function phaseWithoutPod({ namespace, pod }: ObservedLab): LabPhase {
  if (pod !== undefined || namespace?.terminating === true) return 'waiting_for_namespace';
  return namespace === undefined ? 'accepted' : 'creating';
}

function startingPhase(pod: ObservedPod): LabPhase {
  if (pod.node === null) return 'scheduling';
  const pulling = pod.containers.some(({ waiting }) => waiting !== null && /Image/.test(waiting.reason));
  if (pulling) return 'pulling';
  const started = pod.containers.some((container) => container.runningSince !== null || container.terminated !== null);
  return started ? 'starting' : 'pulling';
}
