import type { Logger } from 'pino';
import { prepullSelector } from '../../../builder/prepull/puller-pod.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { ConfigMaps, Pods } from '../../../storage/kubernetes/resources.ts';
import { RECORD_NAME } from '../../../domain/image/prepull/record-map.ts';
import { Controller } from '../../controller.ts';

export interface LeftoversOptions {
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
}

/** Where images are not pulled ahead any more: removes what is left of it, once for each time that this replica becomes leader. */
export function prepullLeftovers({ client, controller, logger }: LeftoversOptions): Controller {
  const labelSelector = prepullSelector(controller);
  return new Controller({
    name: 'prepull-leftovers',
    caches: [],
    sources: [],
    keys: () => ['all'],
    // Once is enough: nobody starts such pods any more.
    resyncMs: 2 ** 31 - 1,
    reconcile: async (_key, { signal }) => {
      try {
        const ref = { namespace: controller, name: RECORD_NAME };
        const record = await client.get(ConfigMaps, ref, { ...METADATA_ONLY, signal });
        // Where images were never pulled ahead nothing is written.
        const { items } = await client.list(Pods, { namespace: controller, labelSelector, signal });
        if (record === undefined && items.length === 0) return;
        await client.deleteCollection(Pods, controller, labelSelector, { gracePeriodSeconds: 0, signal });
        await client.delete(ConfigMaps, ref, { signal });
      } catch (error) {
        // Without the rights for it, nothing can have been started either.
        if (!isKubeError(error, 403)) throw error;
      }
    },
    logger,
  });
}
