import type { Logger } from 'pino';
import { Controller, type Run } from '../../src/reconcile/controller.ts';
import type { LabCache } from '../../src/reconcile/labs/lab-cache.ts';
import type { Result } from '../../src/reconcile/work-queue.ts';
import { type KubeClient, METADATA_ONLY } from '../../src/storage/kubernetes/kube-client.ts';
import { isOutdated } from '../../src/storage/kubernetes/kube-error.ts';
import { Namespaces } from '../../src/storage/kubernetes/resources.ts';

export interface IdleNamespacesOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly logger: Logger;
}

export const IDLE_LABEL = 'labwright.dev/idle';
const IDLE_AFTER_MS = 7 * 24 * 60 * 60_000;

/**
 * Labels the namespaces of labs that have been idle for a week, and removes the label when the lab is back.
 *
 * `keptSince` alone does not say that a lab is idle: a namespace that is used again keeps it until its next lab ends. So a lab
 * counts as back as soon as there is an intent or a pod.
 */
class IdleNamespaces {
  readonly #options: IdleNamespacesOptions;
  /**
   * What this process last wrote to each namespace, by slug. The cache holds no labels of namespaces, so a new leader writes every
   * namespace once; a patch that changes nothing makes no new version and no watch event.
   */
  readonly #written = new Map<string, { readonly uid: string; readonly idle: boolean }>();

  constructor(options: IdleNamespacesOptions) {
    this.#options = options;
  }

  async reconcile(slug: string, { clock, logger }: Run): Promise<Result> {
    const { client, cache } = this.#options;
    const { intent, namespace, pod } = cache.observe(slug);
    if (namespace === undefined || namespace.terminating) {
      this.#written.delete(slug);
      return {};
    }
    const { name, uid, keptSince } = namespace;
    const isUsed = keptSince === null || intent !== undefined || pod !== undefined;
    const left = isUsed ? undefined : keptSince + IDLE_AFTER_MS - clock.now();
    const idle = left !== undefined && left <= 0;
    const written = this.#written.get(slug);
    if (written?.uid !== uid || written.idle !== idle) {
      const labels = { [IDLE_LABEL]: idle ? 'true' : null };
      try {
        const options = { ...METADATA_ONLY, priority: 'background' } as const;
        cache.observeNamespace(await client.patch(Namespaces, { name }, { metadata: { uid, labels } }, options));
      } catch (error) {
        // Gone or made anew: the watch tells, and the key is enqueued again.
        if (isOutdated(error)) return {};
        throw error;
      }
      this.#written.set(slug, { uid, idle });
      logger.debug({ lab: slug, namespace: name, idle }, 'labelled a namespace');
    }
    return left === undefined || idle ? {} : { requeueAfterMs: left };
  }
}

/** The controller `idle-namespaces`. */
export function idleNamespacesController(options: IdleNamespacesOptions): Controller {
  const { cache, logger } = options;
  const namespaces = new IdleNamespaces(options);
  return new Controller({
    name: 'idle-namespaces',
    caches: [cache],
    sources: [cache.changes],
    keys: () => cache.slugs(),
    reconcile: (slug, run) => namespaces.reconcile(slug, run),
    logger,
  });
}
