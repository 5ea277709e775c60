import type { V1Pod, V1Secret } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { adoptedIntent } from '../../domain/lab/intent.ts';
import type { LabSpec } from '../../domain/lab/lab.ts';
import { readLabSpec } from '../../domain/lab/lab-spec.ts';
import { ENDED_SPAWN_ANNOTATION, LAB_SPEC_ANNOTATION, podNameOf, SPAWN_LABEL } from '../../domain/lab/object-names.ts';
import { labSlug } from '../../domain/names.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces, Pods, Secrets, Services } from '../../storage/kubernetes/resources.ts';
import type { LabCache } from './lab-cache.ts';
import { isOurs } from './observe.ts';

export interface LabAdoptionOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
}

/**
 * Writes the intent of a lab anew whose pod is there and whose intent is not: somebody has removed it, or the controller's
 * whole namespace. The pod says what was asked for. What was secret in the intent is not needed any more, since the pod is
 * made. Any number of replicas may do it at once: the name of the intent decides.
 *
 * | the pod | is adopted |
 * |---|---|
 * | is there by the API server's word, and says what was asked for | yes |
 * | is on its way out | no: its lab is being deleted |
 * | is of a spawn that has ended | no: it was made by a replica that did not know of that yet |
 * | is from before pods said what was asked for | no: it is a leftover |
 *
 * A namespace says which spawn was the last to end in it. Where labs share one, the Service says so: it is made before the pod, and
 * removed with the spawn.
 */
export class LabAdoption {
  readonly #options: LabAdoptionOptions;

  constructor(options: LabAdoptionOptions) {
    this.#options = options;
  }

  /**
   * @returns whether the lab has an intent now
   * @throws KubeError
   */
  async adopt(slug: string): Promise<boolean> {
    const { client, cache, controller, logger } = this.#options;
    const { intent, pod } = cache.observe(slug);
    if (intent !== undefined || pod === undefined || pod.terminating) return intent !== undefined;
    const { namespace, name } = pod;
    const found = await client.get(Pods, { namespace, name });
    const spec = found === undefined ? undefined : this.#specOf(found, slug);
    if (spec === undefined || (await this.#hasEnded(spec))) return false;
    cache.observeIntent(await this.#write(adoptedIntent(spec, controller)));
    logger.warn({ lab: slug, namespace }, 'wrote the intent of a lab anew: it was gone, and its pod is there');
    return cache.intentOf(slug) !== undefined;
  }

  async #hasEnded({ namespace, objectName, spawnId }: LabSpec): Promise<boolean> {
    const { client } = this.#options;
    if (objectName !== undefined) {
      const service = await client.get(Services, { namespace, name: objectName }, METADATA_ONLY);
      return service?.metadata?.labels?.[SPAWN_LABEL] !== spawnId;
    }
    const around = await client.get(Namespaces, { name: namespace }, METADATA_ONLY);
    const ended = around?.metadata?.annotations?.[ENDED_SPAWN_ANNOTATION];
    return around?.metadata?.deletionTimestamp !== undefined || ended === spawnId;
  }

  /** What was asked for, if the pod belongs to the lab and says so. */
  #specOf({ metadata }: V1Pod, slug: string): LabSpec | undefined {
    const spec = readLabSpec(metadata?.annotations?.[LAB_SPEC_ANNOTATION]);
    if (spec === undefined || metadata?.deletionTimestamp !== undefined) return undefined;
    const { user, servername, spawnId, namespace } = spec;
    const isWhole =
      isOurs({ metadata: metadata ?? {} }, this.#options.controller, slug) &&
      labSlug({ username: user.username, servername }) === slug &&
      metadata?.labels?.[SPAWN_LABEL] === spawnId &&
      metadata.namespace === namespace &&
      metadata.name === podNameOf(spec);
    return isWhole ? spec : undefined;
  }

  /** @returns what is there: another replica, or a create, may have been faster */
  async #write(intent: V1Secret): Promise<V1Secret> {
    const { client, controller } = this.#options;
    try {
      return await client.create(Secrets, intent, METADATA_ONLY);
    } catch (error) {
      if (!isKubeError(error, 409)) throw error;
      const ref = { namespace: controller, name: intent.metadata?.name ?? '' };
      const found = await client.get(Secrets, ref, METADATA_ONLY);
      if (found === undefined) throw error;
      return found;
    }
  }
}
