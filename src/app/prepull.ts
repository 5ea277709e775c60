import type { V1OwnerReference, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { Config } from '../config/index.ts';
import type { PrepullView } from '../domain/image/prepull/view.ts';
import type { WantedImages } from '../domain/image/wanted-image.ts';
import type { Controller } from '../reconcile/controller.ts';
import type { Cache } from '../reconcile/health.ts';
import { prepullLeftovers } from '../reconcile/images/prepull/leftovers.ts';
import { PrepullCache } from '../reconcile/images/prepull/prepull-cache.ts';
import { PrepullStatus } from '../reconcile/images/prepull/prepull-status.ts';
import { prepullController, Prepuller } from '../reconcile/images/prepull/prepuller.ts';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { Pods } from '../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../util/clock.ts';

export interface PrepullPartsOptions {
  readonly client: KubeClient;
  /** What holds at the start. Whether and how images are pulled ahead is not changed by a later one; where labs may run is. */
  readonly config: Config;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  readonly wanted: WantedImages;
  /** Name of the pod that this process runs in; undefined outside of a cluster. */
  readonly podName?: string | undefined;
  readonly clock?: Clock;
}

/** Everything about pulling images ahead, for the Manager and for HTTP. */
export interface PrepullParts {
  readonly caches: readonly Cache[];
  readonly controllers: readonly Controller[];
  /** Undefined where nothing is pulled ahead. */
  readonly view: PrepullView | undefined;
  /** From now on, this configuration holds. */
  use(config: Config): void;
}

export function createPrepull(options: PrepullPartsOptions): PrepullParts {
  const { client, controller, logger, clock = SYSTEM_CLOCK } = options;
  if (options.config.images.prepull === undefined) {
    const leftovers = prepullLeftovers({ client, controller, logger });
    return { caches: [], controllers: [leftovers], view: undefined, use: () => undefined };
  }
  let current = options.config;
  const config = () => current;
  const { wanted } = options;
  const owner = new Owner(client, { namespace: controller, name: options.podName });
  const cache = new PrepullCache({ client, controller, logger, owner: () => owner.known });
  const prepuller = new Prepuller({
    ...{ client, cache, wanted, config, controller, logger, clock },
    owner: () => owner.find(),
  });
  return {
    caches: [cache],
    controllers: [prepullController(prepuller, cache, logger)],
    view: new PrepullStatus({ cache, wanted, config, clock }),
    use(next) {
      current = next;
      prepuller.reconfigured();
    },
  };
}

/** What owns the pod of this process: its ReplicaSet, so that what is made here goes with the installation. */
class Owner {
  readonly #client: KubeClient;
  readonly #pod: { readonly namespace: string; readonly name: string | undefined };
  #asked: Promise<V1OwnerReference | undefined> | undefined;
  #known: V1OwnerReference | undefined;

  constructor(client: KubeClient, pod: { readonly namespace: string; readonly name: string | undefined }) {
    this.#client = client;
    this.#pod = pod;
  }

  /** Undefined as long as it was not asked for. */
  get known(): V1OwnerReference | undefined {
    return this.#known;
  }

  /** Never rejects: without an owner, pods end by themselves at their deadline. */
  find(): Promise<V1OwnerReference | undefined> {
    this.#asked ??= this.#find().catch(() => {
      // Asked again for the next pod.
      this.#asked = undefined;
      return undefined;
    });
    return this.#asked;
  }

  async #find(): Promise<V1OwnerReference | undefined> {
    const { namespace, name } = this.#pod;
    if (name === undefined) return undefined;
    const pod = await this.#client.get(Pods, { namespace, name });
    this.#known = pod === undefined ? undefined : ownerOf(pod);
    return this.#known;
  }
}

function ownerOf({ metadata }: V1Pod): V1OwnerReference | undefined {
  const owner = metadata?.ownerReferences?.find((each) => each.controller === true);
  if (owner === undefined) return undefined;
  const { apiVersion, kind, name, uid } = owner;
  return { apiVersion, kind, name, uid };
}
