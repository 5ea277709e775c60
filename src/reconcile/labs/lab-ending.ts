import type { Logger } from 'pino';
import { cleanedPatch, failurePatch } from '../../domain/lab/intent.ts';
import { endStatus } from '../../domain/lab/lab-state.ts';
import { KEPT_SINCE_ANNOTATION, POD_NAME, RETAIN_LABEL, SPEC_HASH_ANNOTATION } from '../../domain/lab/object-names.ts';
import type { LabConfig } from '../../config/config.ts';
import type { ObservedIntent, ObservedLab } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import type { Finding } from '../../domain/lab/reasons.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces, PersistentVolumeClaims, Pods, Secrets } from '../../storage/kubernetes/resources.ts';
import type { LabWatches } from './lab-watches.ts';
import { oneLabSelector } from './observe.ts';
import type { Operation, Operations } from './operations.ts';
import type { Result } from '../work-queue.ts';

export interface LabEndingOptions {
  readonly client: KubeClient;
  readonly watches: LabWatches;
  readonly operations: Operations;
  readonly config: LabConfig;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** One lab that somebody has asked for, in one run of the reconciler. */
export interface Lab {
  readonly slug: string;
  readonly observed: ObservedLab;
  readonly intent: ObservedIntent;
  readonly operation: Operation;
}

/** A pod that does not go is asked again so often, in milliseconds. */
export const CLEANUP_AGAIN_MS = 10_000;
/** Progress of the events of a delete, as Nublado's users know it. */
const STOPPING = 25;

/**
 * How labs end: a failure is written down, what is left of a lab is removed, and at last its intent is deleted. Each step
 * may be interrupted anywhere, and is done again as a whole.
 */
export class LabEnding {
  readonly #options: LabEndingOptions;
  readonly #now: () => number;

  constructor(options: LabEndingOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Writes down that the lab is over. What is left of it is removed by the next run, which this brings about.
   *
   * @throws KubeError
   */
  async fail({ slug, intent, operation }: Lab, finding: Finding): Promise<Result> {
    const { client, controller, watches, logger } = this.#options;
    const { reason, message } = finding;
    const failure = {
      reason,
      message,
      at: this.#now(),
      status: endStatus(finding),
    };
    try {
      const ref = { namespace: controller, name: intent.name };
      watches.observeIntent(await client.patch(Secrets, ref, failurePatch(intent, failure), METADATA_ONLY));
    } catch (error) {
      // Deleted or replaced meanwhile: then there is nothing to write down.
      if (isOutdated(error)) return {};
      throw error;
    }
    logger.warn({ lab: slug, user: intent.spec.user.username, reason, finding: message }, 'lab failed');
    operation.cleanupAskedAt = null;
    operation.secrets = null;
    tellFailure(operation, finding);
    return {};
  }

  /**
   * Ends what is left of a lab that was deleted or has failed: pod, secrets, volumes that are not kept. When they are
   * gone the namespace is kept or removed, and the intent is deleted, or marked as clean if its reason is to be kept.
   *
   * @throws KubeError
   */
  async cleanUp(lab: Lab): Promise<Result> {
    const { slug, intent, operation, observed } = lab;
    const { client, config, controller, watches, operations } = this.#options;
    if (this.#now() - (operation.cleanupAskedAt ?? 0) >= CLEANUP_AGAIN_MS) {
      await this.#askToEnd(lab);
      operation.cleanupAskedAt = this.#now();
    }
    if (watches.observe(slug).pod !== undefined) return { requeueAfterMs: CLEANUP_AGAIN_MS };
    const { namespace } = observed;
    if (namespace !== undefined && config.namespaceRetention === 0 && !namespace.permanent && !namespace.terminating) {
      await client.delete(Namespaces, namespace, { uid: namespace.uid });
    }
    if (!intent.deleting) {
      try {
        const ref = { namespace: controller, name: intent.name };
        watches.observeIntent(await client.patch(Secrets, ref, cleanedPatch(intent), METADATA_ONLY));
      } catch (error) {
        // A new lab has taken its place, or it is to be deleted: the watch tells.
        if (!isOutdated(error)) throw error;
      }
      return {};
    }
    await client.delete(Secrets, { namespace: controller, name: intent.name }, { uid: intent.uid });
    watches.forgetIntent(intent);
    operations.finish(slug);
    return {};
  }

  /**
   * Deletes the intent of a failed lab. A new lab may take its place at any moment, with the same uid: so the version
   * counts, too.
   *
   * @throws KubeError
   */
  async forgetFailure({ slug, intent }: Lab): Promise<Result> {
    const { client, controller, watches, operations } = this.#options;
    const { name, uid, resourceVersion } = intent;
    try {
      await client.delete(Secrets, { namespace: controller, name }, { uid, resourceVersion });
    } catch (error) {
      if (isKubeError(error, 409)) return {};
      throw error;
    }
    watches.forgetIntent(intent);
    operations.finish(slug);
    return {};
  }

  /** Deletes this pod and no other of its name. @throws KubeError */
  async deletePod({ namespace, uid }: ObservedPod): Promise<void> {
    await this.#options.client.delete(Pods, { namespace, name: POD_NAME }, { uid }).catch((error: unknown) => {
      // Another pod of that name: the one that was meant is gone.
      if (!isKubeError(error, 409)) throw error;
    });
  }

  async #askToEnd(lab: Lab): Promise<void> {
    const { client, config, controller, watches } = this.#options;
    const { slug, intent, observed, operation } = lab;
    const { pod } = observed;
    if (pod !== undefined) operation.log.info('Shutting down Kubernetes pod', STOPPING);
    const where = intent.spec.namespace;
    const ours = oneLabSelector(controller, slug);
    const volumes = config.volumes.some((volume) => volume.persistentVolumeClaim?.retain === false);
    await Promise.all([
      // What was written a moment ago may not be in the picture yet: so it goes by label, seen or not.
      pod === undefined ? client.deleteCollection(Pods, where, ours) : undefined,
      pod === undefined || pod.terminating ? undefined : this.deletePod(pod),
      client.deleteCollection(Secrets, where, ours),
      volumes ? client.deleteCollection(PersistentVolumeClaims, where, `${ours},${RETAIN_LABEL}!=true`) : undefined,
      this.#keepNamespace(lab).then((kept) => {
        if (kept !== undefined) watches.observeNamespace(kept);
      }),
    ]);
  }

  /**
   * Notes since when the namespace is kept. Where the lab's pod has not been made, not everything else may be there as it
   * should be; then the hash is taken away, so that the next spawn looks at every object.
   */
  async #keepNamespace({ intent, observed: { namespace }, operation: { podUid } }: Lab) {
    const { client, config } = this.#options;
    if (namespace === undefined || namespace.terminating) return undefined;
    if (config.namespaceRetention === 0 && !namespace.permanent) return undefined;
    const complete = podUid !== null || (namespace.keptSince !== null && intent.failure === null);
    const annotations = {
      [KEPT_SINCE_ANNOTATION]: new Date(this.#now()).toISOString(),
      ...(complete ? {} : { [SPEC_HASH_ANNOTATION]: null }),
    };
    try {
      const patch = { metadata: { uid: namespace.uid, annotations } };
      return await client.patch(Namespaces, { name: namespace.name }, patch, METADATA_ONLY);
    } catch (error) {
      if (isOutdated(error)) return undefined;
      throw error;
    }
  }
}

/** Tells the readers of a spawn why there will be no lab. A spawn that has come up has ended already. */
export function tellFailure({ log }: Operation, { message }: Finding): void {
  log.error(message);
  log.end('failed', 'Lab spawn failed');
}
