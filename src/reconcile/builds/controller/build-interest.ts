import { interestPatch } from '../../../domain/build/build-intent.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../../storage/kubernetes/kube-error.ts';
import { Jobs } from '../../../storage/kubernetes/resources.ts';
import type { BuildCache } from '../executors/kubernetes/build-cache.ts';
import type { BuildOperations } from './build-operations.ts';

export interface BuildInterestOptions {
  readonly client: KubeClient;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly cache: BuildCache;
  readonly operations: BuildOperations;
  /** How long a build goes on that nobody waits for, in milliseconds. */
  readonly abandonAfter: number;
  readonly clock?: Clock;
}

const LONGEST_MS = 60_000;
const SHORTEST_MS = 1_000;

/**
 * Notes at the Jobs of builds until when somebody is taken to wait for them: the replica that leads does not see who reads
 * at the others. It is written again when half of the time is over.
 */
export class BuildInterest {
  /** How often it is looked whether a note is due, in milliseconds. */
  readonly everyMs: number;
  readonly #options: BuildInterestOptions;
  readonly #clock: Clock;

  constructor(options: BuildInterestOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.everyMs = Math.min(Math.max(options.abandonAfter / 3, SHORTEST_MS), LONGEST_MS);
  }

  /** Builds that have readers on this replica. */
  *keys(): Iterable<string> {
    for (const { spec, readers } of this.#options.operations.all()) if (readers > 0) yield spec.id;
  }

  async reconcile(id: string): Promise<void> {
    const { client, namespace, cache, operations, abandonAfter } = this.#options;
    const build = cache.job(id);
    if (build === undefined || build.result !== null || build.spec.detached) return;
    if ((operations.get(id)?.readers ?? 0) === 0) return;
    const expiresAt = this.#clock.now() + abandonAfter;
    if (build.interestExpiresAt > expiresAt - abandonAfter / 2) return;
    try {
      const ref = { namespace, name: build.name };
      cache.observeJob(await client.patch(Jobs, ref, interestPatch(build, expiresAt), { priority: 'background' }));
    } catch (error) {
      // It is another Job by now, or none: whoever reads is told.
      if (!isOutdated(error)) throw error;
    }
  }
}
