import { buildObjectName, isUnderWay, type ObservedBuild, parseBuild } from '../../domain/build/build-intent.ts';
import { BuildProblem, type BuildSpec } from '../../domain/build/build.ts';
import { isKubeError } from '../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../storage/kubernetes/resources.ts';
import { withDeadline } from '../../util/deadline.ts';
import type { BuildScope } from './build-scope.ts';
import type { BuildCache } from './executors/kubernetes/build-cache.ts';
import type { SlotStore } from './queue/slot-store.ts';

export interface PredecessorsOptions extends Pick<BuildScope, 'client' | 'namespace'> {
  readonly cache: Pick<BuildCache, 'job' | 'observeJob' | 'forgetJob' | 'jobChanges'>;
  readonly slotStore: Pick<SlotStore, 'find' | 'releases'>;
}

/** Requests that wait at the same moment, in this process. */
const MOST_WAITING = 1_000;

/** Earlier builds of the same image, whose Jobs have the name that a new one needs. */
export class Predecessors {
  readonly #options: PredecessorsOptions;
  #waiting = 0;

  constructor(options: PredecessorsOptions) {
    this.#options = options;
  }

  /**
   * The name is taken: by a build under way, which is returned, or by one that is over, which is removed. The API server is asked
   * once; after that the caches tell.
   *
   * @param ms how long to wait
   * @returns undefined when the name is free
   * @throws BuildProblem
   */
  async wait(spec: BuildSpec, ms: number, signal?: AbortSignal): Promise<ObservedBuild | undefined> {
    const { client, namespace, cache } = this.#options;
    const ref = { namespace, name: buildObjectName(spec.id) };
    const found = await client.get(Jobs, ref, { ...(signal === undefined ? {} : { signal }) });
    if (found === undefined) return undefined;
    if (parseBuild(found)?.spec.key !== spec.key) throw conflict();
    cache.observeJob(found);
    if (this.#waiting >= MOST_WAITING) throw stillCleaning();
    this.#waiting += 1;
    try {
      return await withDeadline({ ms, signal, late: stillCleaning }, (until) => this.#untilGone(spec, until));
    } finally {
      this.#waiting -= 1;
    }
  }

  async #untilGone(spec: BuildSpec, signal: AbortSignal): Promise<ObservedBuild | undefined> {
    const { cache } = this.#options;
    let deleted: string | undefined;
    for (;;) {
      signal.throwIfAborted();
      const ended = new AbortController();
      // Before the caches are looked at, so that no change is missed.
      const change = this.#nextChange(spec.id, AbortSignal.any([signal, ended.signal]));
      try {
        const build = cache.job(spec.id);
        if (build === undefined) return undefined;
        if (build.spec.key !== spec.key) throw conflict();
        if (isUnderWay(build)) return build;
        if (this.#isRemovable(build) && deleted !== build.uid) {
          deleted = build.uid;
          await this.#delete(build, signal);
        }
        if (cache.job(spec.id) !== undefined) await change;
      } finally {
        ended.abort();
      }
    }
  }

  async #nextChange(id: string, signal: AbortSignal): Promise<void> {
    const { cache, slotStore } = this.#options;
    await Promise.race([cache.jobChanges.next(id, signal), slotStore.releases.next(id, signal)]);
  }

  /** Only when nothing of it runs any more: until then its slot and what it left are cleaned up. */
  #isRemovable({ spec, uid, result, terminating }: ObservedBuild): boolean {
    return !terminating && result !== null && this.#options.slotStore.find(spec.id, uid) === undefined;
  }

  async #delete({ spec, name, uid }: ObservedBuild, signal: AbortSignal): Promise<void> {
    const { client, namespace, cache } = this.#options;
    try {
      // Its pod may not be able to go (a lost node, somebody's finalizer): the name is free without that. What it left is told apart by uid.
      const end = await client.delete(Jobs, { namespace, name }, { uid, propagationPolicy: 'Background', signal });
      if (end === 'gone') cache.forgetJob(spec.id, uid);
    } catch (error) {
      // Another replica was faster, and a new build has its place: the cache tells in a moment.
      if (!isKubeError(error, 409)) throw error;
    }
  }
}

export function conflict(): BuildProblem {
  return new BuildProblem({
    reason: 'NameTaken',
    message: 'The name of the build is taken by something else in the cluster. Tell an administrator.',
  });
}

function stillCleaning(): BuildProblem {
  const message = 'A previous build of this image is still being cleaned up; try again in a moment.';
  return new BuildProblem({ reason: 'NameTaken', message }, { transient: true });
}
