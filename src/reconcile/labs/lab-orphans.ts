import type { Logger } from 'pino';
import { intentName } from '../../domain/lab/object-names.ts';
import type { ObservedLab } from '../../domain/lab/observed.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { Namespaces, Secrets, Services } from '../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { Controller, type Run } from '../controller.ts';
import type { Result } from '../work-queue.ts';
import { decideOrphan, type LabTimings, type OrphanDecision } from './decide.ts';
import type { LabAdoption } from './adoption.ts';
import type { LabCache } from './lab-cache.ts';
import { relabelled } from './lab-lookup.ts';
import type { LabTeardown } from './lab-teardown.ts';
import { oneSpawnSelector } from './observe.ts';
import { CLEANUP_AGAIN_MS } from './operations.ts';

export interface LabOrphansOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly teardown: LabTeardown;
  readonly adoption: Pick<LabAdoption, 'adopt'>;
  readonly timings: LabTimings;
  /** The controller's own namespace. */
  readonly controller: string;
  /** The one that it takes the place of: what was seen there goes on being counted. */
  readonly before?: LabOrphans | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** What is there of a lab without an intent. */
interface Leftover {
  readonly what: string;
  /** Milliseconds of the monotonic clock. */
  readonly since: number;
}

/**
 * Namespaces, pods and Services of labs that nobody has asked for: kept ones whose time is over, and what a crash or somebody else has
 * left behind. Before anything is removed the API server is asked whether there is an intent after all.
 */
export class LabOrphans {
  readonly #options: Omit<LabOrphansOptions, 'before'>;
  readonly #clock: Clock;
  /** By slug: what has been seen without an intent. Another leader begins anew. */
  readonly #leftovers: Map<string, Leftover>;

  constructor({ before, ...options }: LabOrphansOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#leftovers = before === undefined ? new Map<string, Leftover>() : before.#leftovers;
  }

  /** This replica leads, for the first time or again: what it saw in an earlier term may have come back since. */
  begin(): void {
    this.#leftovers.clear();
  }

  async reconcile(slug: string, { logger }: Run): Promise<Result> {
    const observed = this.#options.cache.observe(slug);
    if (observed.intent !== undefined) {
      this.#leftovers.delete(slug);
      return {};
    }
    // A leftover is what cannot be adopted.
    if (await this.#options.adoption.adopt(slug)) return {};
    const now = this.#clock.monotonic();
    const since = this.#sinceOf(slug, observed) ?? now;
    const decision = decideOrphan(observed, now - since, this.#options.timings, this.#clock.now());
    return this.#act(slug, observed, decision, logger);
  }

  async #act(slug: string, observed: ObservedLab, decision: OrphanDecision, logger: Logger): Promise<Result> {
    const { client, controller, teardown } = this.#options;
    switch (decision.do) {
      case 'nothing':
        this.#leftovers.delete(slug);
        return decision.again === undefined ? {} : { requeueAfterMs: decision.again };
      case 'report-leftover':
        if (decision.loud) {
          const namespace = observed.namespace?.name ?? (observed.pod ?? observed.service)?.namespace;
          logger.warn({ lab: slug, namespace }, 'leftover without an intent');
        } else if (this.#sinceOf(slug, observed) === undefined) {
          this.#leftovers.set(slug, { what: identityOf(observed), since: this.#clock.monotonic() });
        }
        return { requeueAfterMs: decision.again };
      case 'remove-leftover-pod': {
        const { namespace, spawnId } = decision.pod;
        if (await this.#hasIntent(slug)) return {};
        logger.warn({ lab: slug, namespace }, 'removing a pod without an intent');
        await teardown.deletePod(decision.pod);
        // No more than those of its spawn: a new lab may be asked for in any moment.
        await client.deleteCollection(Secrets, namespace, oneSpawnSelector(controller, slug, spawnId), {
          priority: 'background',
        });
        return { requeueAfterMs: CLEANUP_AGAIN_MS };
      }
      case 'remove-leftovers': {
        const { namespace, name, uid, spawnId } = decision.service;
        if (await this.#hasIntent(slug)) return {};
        logger.warn({ lab: slug, namespace }, 'removing a Service and Secrets without an intent');
        const background = { priority: 'background' } as const;
        // The Service at last: as long as it is there, this is done again.
        await client.deleteCollection(Secrets, namespace, oneSpawnSelector(controller, slug, spawnId), background);
        await client.delete(Services, { namespace, name }, { uid, ...background });
        this.#leftovers.delete(slug);
        return {};
      }
      case 'collect-namespace': {
        const { name, uid, resourceVersion } = decision.namespace;
        // The cache may be old: confirmed against the API server before the namespace is deleted.
        if (await this.#hasIntent(slug)) return {};
        logger.info({ lab: slug, namespace: name, leftover: decision.leftover }, 'collecting a namespace');
        // At once, and this version only: a lab may be asked for in any moment.
        await client.delete(Namespaces, { name }, { uid, resourceVersion });
        this.#leftovers.delete(slug);
        return {};
      }
    }
  }

  #sinceOf(slug: string, observed: ObservedLab): number | undefined {
    const known = this.#leftovers.get(slug);
    return known?.what === identityOf(observed) ? known.since : undefined;
  }

  async #hasIntent(slug: string): Promise<boolean> {
    const { client, cache, controller } = this.#options;
    const ref = { namespace: controller, name: intentName(slug) };
    const found = await client.get(Secrets, ref, { ...METADATA_ONLY, priority: 'background' });
    if (found !== undefined) cache.observeIntent(await relabelled(found, client, controller));
    return found !== undefined;
  }
}

/**
 * The controller `lab-orphans`.
 *
 * @param current by the configuration that holds when a run begins
 */
export function labOrphansController(current: () => LabOrphans, cache: LabCache, logger: Logger): Controller {
  return new Controller({
    name: 'lab-orphans',
    caches: [cache],
    sources: [() => current().begin(), cache.changes],
    keys: () => cache.slugs(),
    reconcile: (slug, run) => current().reconcile(slug, run),
    logger,
  });
}

function identityOf({ namespace, service, pod }: ObservedLab): string {
  return (namespace ?? service ?? pod)?.uid ?? '';
}
