import type { V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { claimNameOf } from '../../builder/lab/claims.ts';
import { personalize } from '../../builder/lab/personalize.ts';
import type { LabConfig } from '../../config/config.ts';
import { cleanedPatch, failurePatch } from '../../domain/lab/intent.ts';
import type { LabSpec } from '../../domain/lab/lab.ts';
import { endStatus } from '../../domain/lab/lab-state.ts';
import {
  ENDED_SPAWN_ANNOTATION,
  KEPT_SINCE_ANNOTATION,
  PERMANENT_ANNOTATION,
  podNameOf,
  SPAWN_LABEL,
  RETAIN_LABEL,
  SPEC_HASH_ANNOTATION,
} from '../../domain/lab/object-names.ts';
import type { ObservedIntent, ObservedNamespace, WantedLab } from '../../domain/lab/observed.ts';
import type { ObservedPod } from '../../domain/lab/pod.ts';
import type { Finding } from '../../domain/lab/reasons.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError, isOutdated } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces, PersistentVolumeClaims, Pods, Secrets, Services } from '../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import type { Result } from '../work-queue.ts';
import type { LabCache } from './lab-cache.ts';
import { oneLabSelector, oneSpawnSelector, spawnSelector } from './observe.ts';
import { CLEANUP_AGAIN_MS, type Operation } from './operations.ts';

export interface LabTeardownOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly config: LabConfig;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/**
 * How labs end: a failure is written down, what is left of a lab is removed, and at last its intent is deleted. Each step
 * may be interrupted anywhere, and is done again as a whole. What is removed is that of one spawn and of those before it: a
 * replica whose cache is old cannot remove what belongs to the lab that has followed.
 */
export class LabTeardown {
  readonly #options: LabTeardownOptions;
  readonly #clock: Clock;

  constructor(options: LabTeardownOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /**
   * Writes down that the lab is over. What is left of it is removed by the next run, which this brings about.
   *
   * @throws KubeError
   */
  async fail(intent: ObservedIntent, finding: Finding): Promise<Result> {
    const { client, controller, cache, logger } = this.#options;
    const { reason, message } = finding;
    const failure = { reason, message, at: this.#clock.now(), status: endStatus(finding) };
    try {
      const ref = { namespace: controller, name: intent.name };
      cache.observeIntent(await client.patch(Secrets, ref, failurePatch(intent, failure), METADATA_ONLY));
    } catch (error) {
      // Deleted or replaced meanwhile: then there is nothing to write down.
      if (isOutdated(error)) return {};
      throw error;
    }
    logger.warn({ lab: intent.slug, user: intent.spec.user.username, reason, finding: message }, 'lab failed');
    return {};
  }

  /**
   * Ends what is left of a lab that was deleted or has failed: pod, secrets, volumes that are not kept. When they are
   * gone the namespace is kept or removed, and the intent is deleted, or marked as clean if its reason is to be kept.
   *
   * @throws KubeError
   */
  async cleanUp(lab: WantedLab, operation: Operation): Promise<Result> {
    const { intent, namespace } = lab;
    const { client, config, controller, cache } = this.#options;
    if (operation.isCleanupDue(this.#clock.monotonic())) {
      await this.#askToEnd(lab);
      operation.noteCleanup(this.#clock.monotonic());
    }
    if (cache.observe(intent.slug).pod !== undefined) return { requeueAfterMs: CLEANUP_AGAIN_MS };
    if (
      namespace !== undefined &&
      config.namespaceRetention === 0 &&
      !this.#isToStay(namespace) &&
      !namespace.terminating
    ) {
      await client.delete(Namespaces, namespace, { uid: namespace.uid });
    }
    if (!intent.deleting) {
      try {
        const ref = { namespace: controller, name: intent.name };
        cache.observeIntent(await client.patch(Secrets, ref, cleanedPatch(intent), METADATA_ONLY));
      } catch (error) {
        // A new lab has taken its place, or it is to be deleted: the watch tells.
        if (!isOutdated(error)) throw error;
      }
      return {};
    }
    await this.#deleteIntent(intent, { uid: intent.uid });
    return {};
  }

  /**
   * Deletes the intent of a failed lab. A new lab may take its place at any moment, with the same uid: so the version
   * counts, too.
   *
   * @throws KubeError
   */
  async forgetFailure(intent: ObservedIntent): Promise<Result> {
    const { uid, resourceVersion } = intent;
    await this.#deleteIntent(intent, { uid, resourceVersion });
    return {};
  }

  /**
   * Deletes this pod and no other of its name.
   *
   * @param options.force without waiting for its machine to confirm that it has ended
   * @throws KubeError
   */
  async deletePod({ namespace, name, uid }: ObservedPod, { force = false } = {}): Promise<void> {
    await this.#deletePod({ namespace, name }, { uid, ...(force ? { gracePeriodSeconds: 0 } : {}) });
  }

  async #deletePod(
    pod: { readonly namespace: string; readonly name: string },
    options: { uid: string; gracePeriodSeconds?: number },
  ): Promise<void> {
    await this.#options.client.delete(Pods, pod, options).catch((error: unknown) => {
      // Another pod of that name: the one that was meant is gone.
      if (!isKubeError(error, 409)) throw error;
    });
  }

  /**
   * Removes what was made of a spawn that had ended before its objects were written: at the hands of another replica, which
   * could not see the writes that were still under way here. A spawn that has ended is never wanted again.
   *
   * A lab whose intent somebody has removed looks the same, but for its pod: an intent goes when its pod has gone, so that a pod
   * of another replica is one of a lab that runs, and is adopted. All of it stays.
   *
   * @param pod if it was made here
   * @throws KubeError
   */
  async takeBack(intent: ObservedIntent, pod: V1Pod | undefined): Promise<Result> {
    const { client, controller, logger } = this.#options;
    const { slug, spec } = intent;
    const { namespace } = spec;
    if (pod === undefined && (await this.#hasLostIntent(intent))) {
      logger.info(
        { lab: slug },
        'the intent of a lab was removed while its objects were written, and its pod is there',
      );
      return {};
    }
    logger.info({ lab: slug }, 'a lab has ended while its objects were written: removing them');
    const made = oneSpawnSelector(controller, slug, spec.spawnId);
    const name = podNameOf(spec);
    await Promise.all([
      client.deleteCollection(Secrets, namespace, made),
      this.#removeService(spec, made),
      pod === undefined ? undefined : this.#deletePod({ namespace, name }, { uid: pod.metadata?.uid ?? '' }),
    ]);
    return {};
  }

  /** Whether the lab has no intent, by the API server's word, and a pod that nobody ends. */
  async #hasLostIntent({ name, spec }: ObservedIntent): Promise<boolean> {
    const { client, controller } = this.#options;
    const [intent, pod] = await Promise.all([
      client.get(Secrets, { namespace: controller, name }, METADATA_ONLY),
      client.get(Pods, { namespace: spec.namespace, name: podNameOf(spec) }, METADATA_ONLY),
    ]);
    if (intent !== undefined || pod === undefined) return false;
    return pod.metadata?.deletionTimestamp === undefined && pod.metadata?.labels?.[SPAWN_LABEL] === spec.spawnId;
  }

  async #deleteIntent(intent: ObservedIntent, only: { uid: string; resourceVersion?: string }): Promise<void> {
    const { client, controller, cache } = this.#options;
    try {
      await client.delete(Secrets, { namespace: controller, name: intent.name }, only);
    } catch (error) {
      // Another one has taken its place: the watch tells.
      if (isKubeError(error, 409)) return;
      throw error;
    }
    cache.forgetIntent(intent);
  }

  /** Where labs share a namespace, a Service ends with its spawn; elsewhere it stays with the namespace. */
  async #removeService({ namespace, objectName }: LabSpec, selector: string): Promise<void> {
    if (objectName !== undefined) await this.#options.client.deleteCollection(Services, namespace, selector);
  }

  async #askToEnd(lab: WantedLab): Promise<void> {
    const { client, config, controller, cache } = this.#options;
    const { intent, pod } = lab;
    const where = intent.spec.namespace;
    // Of a lab whose intent is damaged, and that has no namespace either: there is nothing of it.
    if (where === '') return;
    const itsOwn = spawnSelector(controller, intent);
    const claims = `${oneLabSelector(controller, intent.slug)},${RETAIN_LABEL}!=true`;
    const hasClaims = config.volumes.some(({ persistentVolumeClaim: claim }) => claim?.retain === false);
    // Claims from before they were to be kept do not say so themselves.
    const { user, servername } = intent.spec;
    const kept = personalize(config, { user, servername }).volumes.filter(
      (volume) => volume.persistentVolumeClaim?.retain === true,
    );
    const fieldSelector = kept.map((volume) => `metadata.name!=${claimNameOf(volume, intent.spec)}`).join(',');
    await Promise.all([
      // What was written a moment ago may not be in the cache yet: so it goes by label, seen or not.
      pod === undefined ? client.deleteCollection(Pods, where, itsOwn) : undefined,
      pod === undefined || pod.terminating ? undefined : this.deletePod(pod),
      client.deleteCollection(Secrets, where, itsOwn),
      this.#removeService(intent.spec, itsOwn),
      hasClaims
        ? client.deleteCollection(PersistentVolumeClaims, where, claims, kept.length === 0 ? {} : { fieldSelector })
        : undefined,
      this.#keepNamespace(lab).then((kept) => {
        if (kept !== undefined) cache.observeNamespace(kept);
      }),
    ]);
  }

  /**
   * Whether it says so itself, or was made when claims were not to be retained that are now. Where labs share a namespace, the
   * configuration speaks of claims in that one.
   */
  #isToStay({ permanent }: ObservedNamespace): boolean {
    const { namespaces, volumes } = this.#options.config;
    const retains = volumes.some((volume) => volume.persistentVolumeClaim?.retain === true);
    return permanent || (namespaces === 'perLab' && retains);
  }

  /**
   * Notes since when the namespace is kept. Where the lab's pod has not been made, not everything else may be there as it
   * should be; then the hash is taken away, so that the next spawn looks at every object.
   */
  async #keepNamespace({ intent, namespace }: WantedLab) {
    const { client, config, cache } = this.#options;
    if (namespace === undefined || namespace.terminating) return undefined;
    if (config.namespaceRetention === 0 && !this.#isToStay(namespace)) return undefined;
    const complete = cache.hasSeenPod(intent) || (namespace.keptSince !== null && intent.failure === null);
    const annotations = {
      [KEPT_SINCE_ANNOTATION]: new Date(this.#clock.now()).toISOString(),
      [ENDED_SPAWN_ANNOTATION]: intent.spec.spawnId,
      ...(complete ? {} : { [SPEC_HASH_ANNOTATION]: null }),
      ...(this.#isToStay(namespace) ? { [PERMANENT_ANNOTATION]: 'true' } : {}),
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
