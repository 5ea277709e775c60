import { namespaces } from './kinds/namespaces.ts';
import { objectAt, specOf, textAt } from './kinds/common.ts';
import { pods } from './kinds/pods.ts';
import { services } from './kinds/services.ts';
import { type KubeObject, sameJson, timestamp, withMetadata } from './objects.ts';
import type { ResourceType } from './resource-type.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import { conflict } from './status.ts';
import type { Store } from './store.ts';

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  /** Undefined: what the object itself says. */
  readonly gracePeriodSeconds: number | undefined;
  /** What becomes of the objects that this one owns. Undefined: what is usual for its kind. */
  readonly propagation?: Propagation | undefined;
}

export type Propagation = 'Orphan' | 'Background' | 'Foreground';

/** Finalizers that the garbage collector takes away when it has seen to the dependents. */
export const ORPHAN = 'orphan';
export const FOREGROUND = 'foregroundDeletion';

/**
 * How objects end.
 *
 * - A pod on a node is marked (`deletionTimestamp`, `deletionGracePeriodSeconds`) and stays until the kubelet deletes it
 *   with grace 0. A later delete can shorten the grace, never lengthen it. A pod on no node, or one that has ended, goes
 *   at once.
 * - A namespace becomes Terminating and stays until the namespace controller has emptied it.
 * - Anything with finalizers is marked and stays until the last finalizer is taken away. Where the dependents are to be
 *   orphaned or to go first, the object gets a finalizer for that.
 * - All else goes at once.
 */
export class Deletions {
  readonly #store: Store;
  readonly #addresses: ServiceAddresses;

  constructor(store: Store, addresses: ServiceAddresses) {
    this.#store = store;
    this.#addresses = addresses;
  }

  /** @returns the object as it is left behind or as it ended; undefined for kinds that answer with a Status */
  delete(type: ResourceType, object: KubeObject, options: DeleteOptions): KubeObject | undefined {
    checkPreconditions(type, object, options);
    const marked = this.#mark(type, object, options);
    if (options.dryRun) return type.returnsDeleted ? marked : undefined;
    // A pod that goes at once is marked all the same, so that watches see both.
    const left = marked === object ? object : this.#store.update(type, marked, object);
    if (!this.isDone(type, left)) return left;
    const ended = this.finish(type, left);
    return type.returnsDeleted ? ended : undefined;
  }

  /** Whether nothing holds the object any more. */
  isDone(type: ResourceType, object: KubeObject): boolean {
    const { finalizers = [], deletionGracePeriodSeconds = 0 } = object.metadata;
    const held = type === namespaces ? specOf(object)['finalizers'] : finalizers;
    return deletionGracePeriodSeconds === 0 && (!Array.isArray(held) || held.length === 0);
  }

  /** @returns the object as it ended */
  finish(type: ResourceType, object: KubeObject): KubeObject {
    if (type === services) this.#addresses.release(object);
    return this.#store.remove(type, object);
  }

  #mark(type: ResourceType, given: KubeObject, { gracePeriodSeconds, propagation }: DeleteOptions): KubeObject {
    if (type === namespaces) return markNamespace(given);
    const grace = type === pods ? podGrace(given, gracePeriodSeconds) : 0;
    const object = withPropagation(type, given, propagation);
    const { deletionTimestamp, deletionGracePeriodSeconds, finalizers = [], generation } = object.metadata;
    if (deletionTimestamp !== undefined) {
      const before = deletionGracePeriodSeconds ?? 0;
      // Without a grace of its own, or with a longer one, a second delete changes nothing.
      if (before === 0 || grace >= before || (type === pods && gracePeriodSeconds === undefined && grace > 0))
        return object;
      const end = Date.parse(deletionTimestamp) + (grace - before) * 1000;
      return withMetadata(object, { deletionTimestamp: timestamp(end), deletionGracePeriodSeconds: grace });
    }
    if (type !== pods && finalizers.length === 0) return object;
    return withMetadata(object, {
      ...(generation === undefined ? {} : { generation: generation + 1 }),
      deletionTimestamp: timestamp(Date.now() + grace * 1000),
      deletionGracePeriodSeconds: grace,
    });
  }
}

/** Whoever says nothing about the dependents changes nothing of what somebody has said before. */
function withPropagation(type: ResourceType, object: KubeObject, asked: Propagation | undefined): KubeObject {
  const { finalizers = [] } = object.metadata;
  const isSaid = finalizers.includes(ORPHAN) || finalizers.includes(FOREGROUND);
  const propagation = asked ?? (type.orphansByDefault && !isSaid ? 'Orphan' : undefined);
  if (propagation === undefined) return object;
  const wanted = { Orphan: [ORPHAN], Foreground: [FOREGROUND], Background: [] };
  const others = finalizers.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  const left = [...others, ...wanted[propagation]];
  return sameJson(left, finalizers) ? object : withMetadata(object, { finalizers: left });
}

function markNamespace(object: KubeObject): KubeObject {
  if (object.metadata.deletionTimestamp !== undefined) return object;
  const status = { ...objectAt(object, 'status'), phase: 'Terminating' };
  return { ...withMetadata(object, { deletionTimestamp: timestamp() }), status };
}

function podGrace(pod: KubeObject, asked: number | undefined): number {
  const ended = ['Succeeded', 'Failed'].includes(textAt(objectAt(pod, 'status'), 'phase'));
  if (ended || textAt(specOf(pod), 'nodeName') === '') return 0;
  const own = specOf(pod)['terminationGracePeriodSeconds'];
  return Math.max(0, asked ?? (typeof own === 'number' ? own : 30));
}

function checkPreconditions(
  type: ResourceType,
  { metadata }: KubeObject,
  { uid, resourceVersion }: DeleteOptions,
): void {
  if (uid !== undefined && uid !== metadata.uid) {
    const why =
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid ?? ''}). ` +
      'The object might have been deleted and then recreated';
    throw conflict(type, metadata.name, why, type.kind);
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const why =
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record ` +
      `(${metadata.resourceVersion ?? ''}). The object might have been modified`;
    throw conflict(type, metadata.name, why, type.kind);
  }
}
