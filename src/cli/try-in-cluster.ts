import type { KubernetesObject } from '@kubernetes/client-node';
import type { Config } from '../config/index.ts';

/** An object that the cluster refuses. */
export interface Refusal {
  readonly object: KubernetesObject;
  /** The fields that are wrong, as the API server names them; empty where it refuses the object as a whole. */
  readonly causes: readonly { readonly field: string; readonly message: string }[];
  /** What it says of the object as a whole. */
  readonly message: string;
}

/**
 * Has the cluster judge the objects of several labs or builds, and stores none of them. The first of each is the namespace of
 * them all, unless labs share one.
 *
 * @returns what it refuses of each
 */
export type TryInCluster = (
  config: Config,
  tries: readonly (readonly KubernetesObject[])[],
) => Promise<readonly (readonly Refusal[])[]>;
