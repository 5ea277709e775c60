import { randomBytes } from 'node:crypto';
import type { Api } from '../api.ts';
import { listAt, objectAt, specOf, textAt } from '../kinds/common.ts';
import { events } from '../kinds/events.ts';
import { jobs, templateOf } from '../kinds/jobs.ts';
import { pods } from '../kinds/pods.ts';
import { defined, type JsonObject, type KubeObject, sameJson, timestamp } from '../objects.ts';
import { ApiError } from '../status.ts';
import type { Change, Store } from '../store.ts';
import * as status from './job-status.ts';
import { Soon } from './soon.ts';

const WRITE = { dryRun: false };
const DELETE = { ...WRITE, uid: undefined, resourceVersion: undefined, gracePeriodSeconds: undefined };
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/**
 * Runs Jobs of one pod: what the controller manager does with `suspend`, `backoffLimit`, `activeDeadlineSeconds`,
 * `podReplacementPolicy` and `ttlSecondsAfterFinished`.
 *
 * A Job ends in two steps, as there: first it says what it has come to (`SuccessCriteriaMet`, `FailureTarget`) and which
 * pods it counts for that, then, when no pod is left that runs or terminates, that it is `Complete` or `Failed`.
 */
export class JobController {
  readonly #store: Store;
  readonly #api: Api;
  readonly #unsubscribe: (() => void)[];
  /** Names of the pods of a Job, by the Job's uid. */
  readonly #pods = new Map<string, Set<string>>();
  /** `NAMESPACE/NAME` of Jobs. */
  readonly #soon = new Soon<string>((key) => this.#attend(key));
  /** How often the pod of a Job could not be made. */
  readonly #refusals = new Map<string, number>();

  constructor(store: Store, api: Api) {
    this.#store = store;
    this.#api = api;
    this.#unsubscribe = [
      store.subscribe(jobs, (change) => this.#onJob(change)),
      store.subscribe(pods, (change) => this.#onPod(change)),
    ];
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#soon.close();
  }

  #onJob({ type, object }: Change): void {
    const { namespace = '', name, uid = '' } = object.metadata;
    const key = `${namespace}/${name}`;
    if (type !== 'DELETED') {
      this.#soon.add(key);
      return;
    }
    this.#soon.forget(key);
    this.#refusals.delete(uid);
    // Nobody counts them any more.
    for (const pod of this.#podsOf(namespace, uid)) this.#release(pod);
    this.#pods.delete(uid);
  }

  #onPod({ type, object }: Change): void {
    const { namespace = '', name } = object.metadata;
    const owner = listAt(object.metadata, 'ownerReferences').find(
      ({ controller, kind }) => controller === true && kind === jobs.kind,
    );
    if (owner === undefined) return;
    const uid = textAt(owner, 'uid');
    const known = this.#pods.get(uid) ?? new Set();
    if (type === 'DELETED') known.delete(name);
    else known.add(name);
    if (known.size === 0) this.#pods.delete(uid);
    else this.#pods.set(uid, known);
    this.#soon.add(`${namespace}/${textAt(owner, 'name')}`);
  }

  #podsOf(namespace: string, uid: string): KubeObject[] {
    return [...(this.#pods.get(uid) ?? [])].flatMap((name) => this.#store.get(pods, namespace, name) ?? []);
  }

  #attend(key: string): void {
    const [namespace = '', name = ''] = key.split('/');
    const job = this.#store.get(jobs, namespace, name);
    if (job === undefined) return;
    const own = this.#podsOf(namespace, job.metadata.uid ?? '');
    const end = status.endOf(job);
    if (end !== undefined) {
      for (const pod of own) this.#release(pod);
      this.#expire(key, job, end);
    } else if (job.metadata.deletionTimestamp !== undefined) {
      for (const pod of own) this.#release(pod);
      this.#write(job, { counts: status.countPods(job, this.#podsOf(namespace, job.metadata.uid ?? '')) });
    } else this.#run(key, job, own);
  }

  #run(key: string, job: KubeObject, own: readonly KubeObject[]): void {
    const counts = status.countPods(job, own);
    const verdict = status.judge(job, counts, Date.now());
    if (verdict !== undefined) {
      this.#conclude(key, job, counts, verdict);
      return;
    }
    if (specOf(job)['suspend'] === true) this.#suspend(key, job, counts);
    else this.#keepRunning(key, job, counts);
  }

  #conclude(key: string, job: KubeObject, counts: status.PodCounts, verdict: status.Verdict): void {
    const { uid = '', namespace = '' } = job.metadata;
    this.#soon.forget(key);
    for (const pod of counts.active) this.#delete(job, pod);
    // What was deleted just now is gone, or it terminates and has failed.
    const left = status.countPods(job, this.#podsOf(namespace, uid));
    const counted = { succeeded: counts.succeeded, failed: [...counts.failed, ...counts.active] };
    const target = verdict.succeeded ? 'SuccessCriteriaMet' : 'FailureTarget';
    const said = this.#write(job, { counts: left, uncounted: counted, conditions: [[target, verdict]] });
    for (const pod of [...counted.succeeded, ...counted.failed]) this.#release(pod);
    const rest = status.countPods(said, this.#podsOf(namespace, uid));
    const isOver = rest.active.length === 0 && rest.terminating.length === 0;
    const end = verdict.succeeded ? 'Complete' : 'Failed';
    this.#write(said, { counts: rest, ...(isOver ? { conditions: [[end, verdict]] } : {}) });
    if (!isOver) return;
    if (verdict.succeeded) this.#tell(job, 'Normal', 'Completed', 'Job completed');
    else this.#tell(job, 'Warning', verdict.reason, verdict.message);
  }

  #suspend(key: string, job: KubeObject, counts: status.PodCounts): void {
    this.#soon.forget(key);
    for (const pod of counts.active) {
      // Pods that are taken away are not counted as failed.
      this.#release(pod);
      this.#delete(job, pod);
    }
    const { uid = '', namespace = '' } = job.metadata;
    const isNew = status.findCondition(job, 'Suspended') === undefined;
    this.#write(job, {
      counts: status.countPods(job, this.#podsOf(namespace, uid)),
      conditions: [['Suspended', { reason: 'JobSuspended', message: 'Job suspended' }]],
    });
    if (isNew) this.#tell(job, 'Normal', 'Suspended', 'Job suspended');
  }

  #keepRunning(key: string, job: KubeObject, counts: status.PodCounts): void {
    const { uid = '', namespace = '' } = job.metadata;
    const resumed = status.findCondition(job, 'Suspended') !== undefined;
    const started = textAt(objectAt(job, 'status'), 'startTime') !== '';
    const waits = textAt(specOf(job), 'podReplacementPolicy') === 'Failed' && counts.terminating.length > 0;
    const isMade = counts.active.length > 0 || waits || this.#create(key, job);
    const written = this.#write(job, {
      counts: status.countPods(job, this.#podsOf(namespace, uid)),
      uncounted: counts,
      ...(resumed || !started ? { startTime: timestamp() } : {}),
      ...(resumed
        ? { conditions: [['Suspended', { status: 'False', reason: 'JobResumed', message: 'Job resumed' }]] }
        : {}),
    });
    if (resumed) this.#tell(job, 'Normal', 'Resumed', 'Job resumed');
    for (const pod of [...counts.succeeded, ...counts.failed]) this.#release(pod);
    const deadline = status.deadlineOf(written);
    if (isMade && deadline !== undefined) this.#soon.addAfter(key, deadline - Date.now());
  }

  /** @returns whether there is a pod now; if not, it is tried again later */
  #create(key: string, job: KubeObject): boolean {
    const { uid = '', namespace = '', name } = job.metadata;
    const template = templateOf(job);
    const owner = { apiVersion: 'batch/v1', kind: jobs.kind, name, uid, controller: true, blockOwnerDeletion: true };
    const metadata = {
      ...objectAt(template, 'metadata'),
      ...{ generateName: `${name}-`, finalizers: [status.TRACKING], ownerReferences: [owner] },
    };
    try {
      const pod = this.#api.create(pods, namespace, { metadata, spec: template['spec'] }, WRITE);
      this.#refusals.delete(uid);
      this.#tell(job, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const refusals = this.#refusals.get(uid) ?? 0;
      this.#refusals.set(uid, refusals + 1);
      this.#tell(job, 'Warning', 'FailedCreate', `Error creating: ${error.message}`);
      this.#soon.addAfter(key, Math.min(FIRST_RETRY_MS * 2 ** refusals, LAST_RETRY_MS));
      return false;
    }
  }

  #delete(job: KubeObject, pod: KubeObject): void {
    const { namespace = '', name } = pod.metadata;
    this.#api.delete({ type: pods, namespace, name }, DELETE);
    this.#tell(job, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
  }

  /** The pod may go: it is counted, or does not count. */
  #release({ metadata: { namespace = '', name } }: KubeObject): void {
    const pod = this.#store.get(pods, namespace, name);
    if (pod === undefined || !status.isTracked(pod)) return;
    const left = (pod.metadata.finalizers ?? []).filter((finalizer) => finalizer !== status.TRACKING);
    const finalizers = left.length === 0 ? null : left;
    this.#api.patch({ type: pods, namespace, name }, { metadata: { finalizers } }, '', WRITE);
  }

  #expire(key: string, job: KubeObject, end: JsonObject): void {
    const seconds = specOf(job)['ttlSecondsAfterFinished'];
    if (typeof seconds !== 'number' || job.metadata.deletionTimestamp !== undefined) return;
    const left = Date.parse(textAt(end, 'lastTransitionTime')) + seconds * 1000 - Date.now();
    if (left > 0) {
      this.#soon.addAfter(key, left);
      return;
    }
    const { namespace = '', name } = job.metadata;
    this.#api.delete({ type: jobs, namespace, name }, { ...DELETE, propagation: 'Foreground' });
  }

  /** @returns the Job as it is now; the same when there was nothing to write */
  #write(job: KubeObject, change: StatusChange): KubeObject {
    const { namespace = '', name } = job.metadata;
    const current = this.#store.get(jobs, namespace, name) ?? job;
    const wanted = statusOf(current, change);
    return sameJson(wanted, current['status'])
      ? current
      : this.#store.update(jobs, { ...current, status: wanted }, current);
  }

  #tell(job: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { namespace = '', name, uid, resourceVersion } = job.metadata;
    const now = timestamp();
    const event = {
      metadata: { name: `${name}.${randomBytes(8).toString('hex')}` },
      involvedObject: { kind: jobs.kind, namespace, name, uid, apiVersion: 'batch/v1', resourceVersion },
      ...{ type, reason, message, count: 1, firstTimestamp: now, lastTimestamp: now },
      ...{ source: { component: 'job-controller' }, reportingComponent: 'job-controller' },
    };
    try {
      this.#api.create(events, namespace, event, WRITE);
    } catch (error) {
      // The namespace ends; an event that cannot be written is lost.
      if (!(error instanceof ApiError)) throw error;
    }
  }
}

interface StatusChange {
  readonly counts: status.PodCounts;
  /** Pods that have ended and are counted with this. */
  readonly uncounted?: Pick<status.PodCounts, 'succeeded' | 'failed'>;
  readonly startTime?: string;
  readonly conditions?: readonly (readonly [string, { status?: string; reason: string; message: string }])[];
}

/** The status after a change; pods that were counted in the step before become numbers. */
function statusOf(job: KubeObject, { counts, uncounted, startTime, conditions = [] }: StatusChange): JsonObject {
  const before = objectAt(job, 'status');
  const pending = objectAt(before, 'uncountedTerminatedPods');
  const uids = { succeeded: uidsOf(uncounted?.succeeded), failed: uidsOf(uncounted?.failed) };
  const numbers = (['succeeded', 'failed'] as const).map((field) => {
    const sum = status.numberAt(before, field) + (Array.isArray(pending[field]) ? pending[field].length : 0);
    return [field, sum === 0 ? undefined : sum] as const;
  });
  const all = conditions.reduce(
    (list, [type, text]) => status.withCondition(list, type, text),
    listAt(before, 'conditions'),
  );
  const isComplete = all.some(({ type }) => type === 'Complete');
  return defined({
    ...before,
    ...(startTime === undefined ? {} : { startTime }),
    ...(isComplete ? { completionTime: before['completionTime'] ?? timestamp() } : {}),
    conditions: all.length === 0 ? undefined : all,
    active: counts.active.length === 0 ? undefined : counts.active.length,
    ...Object.fromEntries(numbers),
    ready: counts.ready,
    terminating: counts.terminating.length,
    uncountedTerminatedPods: defined({
      succeeded: uids.succeeded.length === 0 ? undefined : uids.succeeded,
      failed: uids.failed.length === 0 ? undefined : uids.failed,
    }),
  });
}

function uidsOf(counted: readonly KubeObject[] = []): string[] {
  return counted.map(({ metadata: { uid = '' } }) => uid);
}
