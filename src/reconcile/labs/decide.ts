import {
  awaitsImage,
  currentPod,
  labSpecOf,
  isRunning,
  type ObservedIntent,
  type ObservedLab,
  type ObservedNamespace,
  type ObservedService,
  type WantedLab,
} from '../../domain/lab/observed.ts';
import { LAB_CONTAINER, type ObservedPod } from '../../domain/lab/pod.ts';
import {
  type Awaited,
  DAMAGED,
  deletedExternally,
  type Finding,
  findEnd,
  type Trouble,
} from '../../domain/lab/reasons.ts';
import { stuckPod } from '../../domain/lab/stuck-pod.ts';

/** All times in milliseconds. */
export interface LabTimings {
  /** How long what may pass is waited for. */
  readonly patience: Readonly<Record<Awaited, number>>;
  readonly failedRetention: number;
  readonly namespaceRetention: number;
  /** How long something with our labels and without an intent is left alone before it is collected. */
  readonly leftoverGrace: number;
  /** How far the clock of the replica that wrote a time may be from that of this one. */
  readonly clockSkew: number;
}

/** What this process remembers and the cluster does not say. */
export interface LabMemory {
  /** Whether a pod of this spawn has been seen. */
  readonly podSeen: boolean;
  /** What is wrong with the pod and for how long, in milliseconds. */
  readonly trouble: (Trouble & { readonly forMs: number }) | null;
  /** What is left of the time that the lab has for starting, in milliseconds. */
  readonly left: number;
}

/** The one next thing to do for a lab. `again` is in milliseconds: look once more by then even if nothing changes. */
export type Decision =
  | { readonly do: 'nothing'; readonly again?: number }
  | { readonly do: 'wait-for-namespace'; readonly again: number }
  | { readonly do: 'remove-leftover-pod'; readonly pod: ObservedPod; readonly again: number }
  | { readonly do: 'await-image' }
  | { readonly do: 'make-objects' }
  | { readonly do: 'follow-pod'; readonly again: number }
  | { readonly do: 'report-running' }
  | { readonly do: 'fail'; readonly finding: Finding }
  | { readonly do: 'clean-up'; readonly intent: ObservedIntent }
  | { readonly do: 'forget-failure'; readonly intent: ObservedIntent };

/** The one next thing to do with what is there of a lab that nobody has asked for. */
export type OrphanDecision =
  | { readonly do: 'nothing'; readonly again?: number }
  | { readonly do: 'remove-leftover-pod'; readonly pod: ObservedPod }
  | { readonly do: 'remove-leftovers'; readonly service: ObservedService }
  | { readonly do: 'collect-namespace'; readonly namespace: ObservedNamespace; readonly leftover: boolean }
  | { readonly do: 'report-leftover'; readonly again: number; readonly loud: boolean };

/** What only is between two states, such as a namespace about to go, is not worth a line in the log; milliseconds. */
const LOUD_AFTER_MS = 10_000;

/**
 * What to do next for one lab, from what is observed alone. The same rules hold for a first spawn, after a restart, and
 * for a lab that somebody has tampered with.
 *
 * ```
 *            create                      pod listens
 *   (none) ─────────► wanted ──────────────────────────────► wanted, running
 *      ▲                │ deadline, hopeless, refused            │ pod ended, evicted, gone
 *      │                ▼                                        ▼
 *      │◄── retention ─ failed (pod and secrets removed) ◄───────┘
 *      │
 *      └─ pod and secrets gone ─ deleting ◄── delete, from any of them
 * ```
 *
 * @param now milliseconds since the epoch
 * @param exceeded what the lab exceeds of what its user may have at once; of no account once it runs
 */
export function decide(
  observed: WantedLab,
  memory: LabMemory,
  timings: LabTimings,
  now: number,
  exceeded?: Finding,
): Decision {
  const { intent } = observed;
  if (intent.deleting) return { do: 'clean-up', intent };
  if (intent.failure !== null) return decideFailed(intent, timings, now);
  if (intent.damaged) return { do: 'fail', finding: DAMAGED };
  const pod = currentPod(observed);
  const isOver = pod === undefined ? memory.podSeen : findEnd(pod) !== undefined;
  const runs = pod !== undefined && isRunning(pod);
  if (exceeded !== undefined && !isOver && !runs) return { do: 'fail', finding: exceeded };
  if (awaitsImage(intent)) return { do: 'await-image' };
  return pod === undefined ? decideWithoutPod(observed, memory, now) : decideWithPod(intent, pod, memory, timings);
}

/**
 * What to do with a namespace, a pod or a Service of a lab without an intent.
 *
 * @param leftoverForMs for how long it has been here without an intent and without being kept, in milliseconds
 * @param now milliseconds since the epoch
 */
export function decideOrphan(
  { namespace, pod, service }: Pick<ObservedLab, 'namespace' | 'pod' | 'service'>,
  leftoverForMs: number,
  { namespaceRetention, leftoverGrace, clockSkew }: LabTimings,
  now: number,
): OrphanDecision {
  if (namespace?.terminating === true) return { do: 'nothing' };
  const isEmpty = pod === undefined && service === undefined;
  if (namespace === undefined && isEmpty) return { do: 'nothing' };
  if (namespace !== undefined && isEmpty && namespace.keptSince !== null) {
    if (namespace.permanent) return { do: 'nothing' };
    const left = namespace.keptSince + namespaceRetention + clockSkew - now;
    return left > 0 ? { do: 'nothing', again: left } : { do: 'collect-namespace', namespace, leftover: false };
  }
  const left = leftoverGrace - leftoverForMs;
  if (left > 0) {
    const loud = leftoverForMs >= LOUD_AFTER_MS;
    return { do: 'report-leftover', again: loud ? left : Math.min(left, LOUD_AFTER_MS), loud };
  }
  if (pod !== undefined) return { do: 'remove-leftover-pod', pod };
  if (service !== undefined) return { do: 'remove-leftovers', service };
  return namespace === undefined || namespace.permanent
    ? { do: 'nothing' }
    : { do: 'collect-namespace', namespace, leftover: true };
}

function decideFailed(intent: ObservedIntent, { failedRetention, clockSkew }: LabTimings, now: number): Decision {
  if (!intent.cleaned) return { do: 'clean-up', intent };
  const left = (intent.failure?.at ?? 0) + failedRetention + clockSkew - now;
  return left > 0 ? { do: 'nothing', again: left } : { do: 'forget-failure', intent };
}

function decideWithoutPod(
  { intent, namespace, pod: leftover }: WantedLab,
  { podSeen, trouble, left }: LabMemory,
  now: number,
): Decision {
  if (podSeen) return { do: 'fail', finding: deletedExternally() };
  if (left <= 0) {
    const stuck = leftover && stuckPod(leftover, 'an earlier lab', now);
    return { do: 'fail', finding: tooLate(labSpecOf(intent), stuck ?? trouble ?? intent.hindrance, undefined) };
  }
  if (leftover !== undefined) return { do: 'remove-leftover-pod', pod: leftover, again: left };
  if (namespace?.terminating === true) return { do: 'wait-for-namespace', again: left };
  return { do: 'make-objects' };
}

function decideWithPod(
  intent: ObservedIntent,
  pod: ObservedPod,
  { trouble, left }: LabMemory,
  { patience }: LabTimings,
): Decision {
  const end = findEnd(pod);
  if (end !== undefined) return { do: 'fail', finding: end };
  if (isRunning(pod)) return { do: 'report-running' };
  if (left <= 0) return { do: 'fail', finding: tooLate(labSpecOf(intent), trouble, pod) };
  if (trouble === null) return { do: 'follow-pod', again: left };
  const longest = trouble.waitsFor === undefined ? trouble.afterMs : patience[trouble.waitsFor];
  if (trouble.forMs >= longest) return { do: 'fail', finding: trouble };
  return { do: 'follow-pod', again: Math.min(left, longest - trouble.forMs) };
}

/** The deadline has passed: the reason is what was being waited for, where that is known. */
function tooLate(
  { createdAt, deadline }: { createdAt: number; deadline: number },
  trouble: Finding | null,
  pod: ObservedPod | undefined,
): Finding {
  const within = `within ${Math.round((deadline - createdAt) / 1000)} seconds`;
  if (trouble !== null)
    return { reason: trouble.reason, message: `The lab did not start ${within}. ${trouble.message}` };
  const running = pod?.containers.filter(({ runningSince }) => runningSince !== null) ?? [];
  if (running.some(({ name, init }) => name === LAB_CONTAINER && !init)) {
    const why = 'Its container runs, but nothing answers on the port of the lab.';
    return { reason: 'NotReady', message: `The lab did not start ${within}. ${why}` };
  }
  const step = running.find(({ init }) => init);
  if (step !== undefined) {
    const why = `Its preparation step "${step.name}" has not ended.`;
    return { reason: 'InitContainerFailed', message: `The lab did not start ${within}. ${why}` };
  }
  // A pod that is not there may have run for days, and gone while no controller was looking.
  const message =
    pod === undefined
      ? 'The lab has no pod, and the time it had for starting is over.'
      : `The lab did not start ${within}.`;
  return { reason: 'DeadlineExceeded', message };
}
