import { listAt, objectAt, specOf, textAt } from '../kinds/common.ts';
import { type JsonObject, type KubeObject, timestamp } from '../objects.ts';

/** Held by the pods of a Job until they are counted. */
export const TRACKING = 'batch.kubernetes.io/job-tracking';

/** Why a Job is about to end or has ended. */
export interface Verdict {
  readonly succeeded: boolean;
  readonly reason: string;
  readonly message: string;
}

/** How the pods of a Job stand, as the Job controller counts them. */
export interface PodCounts {
  readonly active: readonly KubeObject[];
  readonly terminating: readonly KubeObject[];
  /** Ended, and not counted yet. */
  readonly succeeded: readonly KubeObject[];
  readonly failed: readonly KubeObject[];
  readonly ready: number;
}

/** A pod that is being deleted is a failed one at once, unless the Job wants to see it `Failed` first. */
export function countPods(job: KubeObject, pods: readonly KubeObject[]): PodCounts {
  const patient = textAt(specOf(job), 'podReplacementPolicy') === 'Failed';
  const isDeleted = ({ metadata }: KubeObject) => metadata.deletionTimestamp !== undefined;
  const running = pods.filter((pod) => !['Succeeded', 'Failed'].includes(phaseOf(pod)));
  const active = running.filter((pod) => !isDeleted(pod));
  const tracked = pods.filter(isTracked);
  return {
    active,
    terminating: running.filter(isDeleted),
    succeeded: tracked.filter((pod) => phaseOf(pod) === 'Succeeded'),
    failed: tracked.filter(
      (pod) => phaseOf(pod) === 'Failed' || (!patient && isDeleted(pod) && phaseOf(pod) !== 'Succeeded'),
    ),
    ready: active.filter(isReady).length,
  };
}

export function isTracked({ metadata: { finalizers = [] } }: KubeObject): boolean {
  return finalizers.includes(TRACKING);
}

function phaseOf(pod: KubeObject): string {
  return textAt(objectAt(pod, 'status'), 'phase');
}

function isReady(pod: KubeObject): boolean {
  const conditions = listAt(objectAt(pod, 'status'), 'conditions');
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

export function findCondition(job: KubeObject, type: string): JsonObject | undefined {
  const conditions = listAt(objectAt(job, 'status'), 'conditions');
  return conditions.find((condition) => condition['type'] === type && condition['status'] === 'True');
}

/** The condition `Complete` or `Failed`, once there is one. */
export function endOf(job: KubeObject): JsonObject | undefined {
  return findCondition(job, 'Complete') ?? findCondition(job, 'Failed');
}

const DEADLINE: Verdict = {
  ...{ succeeded: false, reason: 'DeadlineExceeded' },
  message: 'Job was active longer than specified deadline',
};
const BACKOFF: Verdict = {
  ...{ succeeded: false, reason: 'BackoffLimitExceeded' },
  message: 'Job has reached the specified backoff limit',
};
const COMPLETE: Verdict = {
  ...{ succeeded: true, reason: 'CompletionsReached' },
  message: 'Reached expected number of succeeded pods',
};

/** What the Job has come to, undefined while it goes on. What was once said stays. */
export function judge(job: KubeObject, counts: PodCounts, now: number): Verdict | undefined {
  const said = findCondition(job, 'FailureTarget') ?? findCondition(job, 'SuccessCriteriaMet');
  if (said !== undefined) {
    const [reason, message] = [textAt(said, 'reason'), textAt(said, 'message')];
    return { succeeded: said['type'] === 'SuccessCriteriaMet', reason, message };
  }
  const spec = specOf(job);
  if (numberAt(objectAt(job, 'status'), 'failed') + counts.failed.length > numberAt(spec, 'backoffLimit'))
    return BACKOFF;
  const deadline = deadlineOf(job);
  if (deadline !== undefined && deadline <= now) return DEADLINE;
  const succeeded = numberAt(objectAt(job, 'status'), 'succeeded') + counts.succeeded.length;
  return succeeded >= Math.max(1, numberAt(spec, 'completions')) ? COMPLETE : undefined;
}

/** When a Job that runs has run for too long, in milliseconds since the epoch. */
export function deadlineOf(job: KubeObject): number | undefined {
  const seconds = specOf(job)['activeDeadlineSeconds'];
  const start = textAt(objectAt(job, 'status'), 'startTime');
  if (typeof seconds !== 'number' || start === '' || specOf(job)['suspend'] === true) return undefined;
  return Date.parse(start) + seconds * 1000;
}

export function numberAt(object: JsonObject, field: string): number {
  const value = object[field];
  return typeof value === 'number' ? value : 0;
}

/** The conditions with one more, or with the same one changed. */
export function withCondition(
  conditions: readonly JsonObject[],
  type: string,
  { status = 'True', reason, message }: { status?: string; reason: string; message: string },
): readonly JsonObject[] {
  const known = conditions.find((condition) => condition['type'] === type);
  if (known?.['status'] === status) return conditions;
  const now = timestamp();
  const condition = { type, status, lastProbeTime: now, lastTransitionTime: now, reason, message };
  return [...conditions.filter((each) => each !== known), condition];
}
