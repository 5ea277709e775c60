import { LRUCache } from 'lru-cache';
import type { Readable } from 'node:stream';
import { buildObjectName, type ObservedBuild } from '../../../../domain/build/build-intent.ts';
import { BUILD_CONTAINER, BUILD_SUBJECT } from '../../../../domain/build/build-run.ts';
import { deletedExternally, type Finding } from '../../../../domain/lab/reasons.ts';
import type { KubeClient } from '../../../../storage/kubernetes/kube-client.ts';
import { KubeError } from '../../../../storage/kubernetes/kube-error.ts';
import { Pods } from '../../../../storage/kubernetes/resources.ts';
import type { LogPosition, ObservedRun } from '../executor.ts';
import type { BuildCache } from './build-cache.ts';

/** Far more pods than run at once. */
const SEEN = 5_000;

/** What the Jobs and pods of one cluster say of the builds that they run. */
export class JobRuns {
  readonly #cache: BuildCache;
  /** Uids of the pods that have been seen, by that of their Job: one that is not there any more was deleted. */
  readonly #seen = new LRUCache<string, string>({ max: SEEN });

  constructor(cache: BuildCache) {
    this.#cache = cache;
  }

  observe(job: ObservedBuild): ObservedRun | undefined {
    const { id, createdAt } = job.spec;
    const pod = this.#cache.pod(id, job.uid);
    if (pod === undefined) return this.#observeWithoutPod(job);
    this.#seen.set(job.uid, pod.uid);
    if (job.terminating) this.#seen.delete(job.uid);
    const { stage, trouble, end, hasLog, node, startedAt, endedAt } = pod;
    const isLate = job.finished === 'DeadlineExceeded' && end !== null;
    const heard = stage === 'ended' || stage === 'running' ? null : this.#cache.trouble(pod.uid);
    return {
      ...{ id, createdAt, stage, hasLog, node, startedAt, endedAt },
      trouble: trouble ?? heard,
      end: isLate ? TOO_LONG : end,
    };
  }

  /** Its pod is to go: that is no accident. */
  forget(jobUid: string): void {
    this.#seen.delete(jobUid);
  }

  #observeWithoutPod(job: ObservedBuild): ObservedRun | undefined {
    const { id, createdAt } = job.spec;
    const none = { id, createdAt, hasLog: false, node: null, startedAt: null, endedAt: null };
    if (job.finished !== null) return { ...none, stage: 'ended', trouble: null, end: endOfJob(job.finished) };
    if (this.#seen.has(job.uid))
      return { ...none, stage: 'ended', trouble: null, end: deletedExternally(BUILD_SUBJECT) };
    if (job.suspended) return undefined;
    return { ...none, stage: 'waiting', trouble: this.#cache.trouble(job.uid), end: null };
  }
}

/** The log of the pod of a build. */
export async function openPodLog(
  { client, namespace, cache }: { client: KubeClient; namespace: string; cache: BuildCache },
  id: string,
  { since, follow }: LogPosition,
  signal: AbortSignal,
): Promise<Readable> {
  const job = cache.job(id);
  const pod = job === undefined ? undefined : cache.pod(id, job.uid);
  // As the API server would say it, for whoever reads on.
  if (pod === undefined) {
    const target = { verb: 'read log of', kind: Pods.kind, namespace, name: buildObjectName(id) };
    throw new KubeError(target, { status: 404, reason: 'NotFound', message: 'the build has no pod' });
  }
  return client.podLog(
    { namespace, name: pod.name },
    { container: BUILD_CONTAINER, timestamps: true, follow, signal, ...(since === null ? {} : { sinceTime: since }) },
  );
}

const TOO_LONG: Finding = { reason: 'DeadlineExceeded', message: 'The build took longer than it may.' };

/** The Job has ended and there is no pod that says more. */
function endOfJob(finished: string): Finding | null {
  if (finished === 'Complete') return null;
  return finished === 'DeadlineExceeded' ? TOO_LONG : deletedExternally(BUILD_SUBJECT);
}
