import type { Api } from '../api.ts';
import { FOREGROUND, ORPHAN } from '../deletion.ts';
import { listAt, textAt } from '../kinds/common.ts';
import { events } from '../kinds/events.ts';
import type { JsonObject, KubeObject } from '../objects.ts';
import { apiVersionOf, type ResourceType } from '../resource-type.ts';
import { RESOURCE_TYPES } from '../resource-types.ts';
import type { Change, Store } from '../store.ts';
import { Soon } from './soon.ts';

/** Where an object is. */
interface Place {
  readonly type: ResourceType;
  readonly namespace: string;
  readonly name: string;
}

const IN_BACKGROUND = {
  ...{ dryRun: false, uid: undefined, resourceVersion: undefined, gracePeriodSeconds: undefined },
  propagation: 'Background',
} as const;
const WRITE = { dryRun: false };

/**
 * Sees to the objects that others own (`ownerReferences`): those whose owners are gone are deleted; where an owner is deleted
 * with `Foreground` they go first, with `Orphan` they stay and are told that they have no owner.
 *
 * Not here: `blockOwnerDeletion: false`, owners of another namespace, and owners of kinds the sandbox does not have.
 */
export class GarbageCollector {
  readonly #store: Store;
  readonly #api: Api;
  readonly #unsubscribe: (() => void)[];
  readonly #places = new Map<string, Place>();
  /** Uids of the objects that an owner has, by the owner's uid. */
  readonly #dependents = new Map<string, Set<string>>();
  readonly #soon = new Soon<string>((uid) => this.#attend(uid));

  constructor(store: Store, api: Api) {
    this.#store = store;
    this.#api = api;
    this.#unsubscribe = RESOURCE_TYPES.filter((type) => type !== events).map((type) =>
      store.subscribe(type, (change) => this.#onChange(type, change)),
    );
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#soon.close();
  }

  #onChange(type: ResourceType, { type: change, object, previous }: Change): void {
    const { uid = '', namespace = '', name, finalizers = [], deletionTimestamp } = object.metadata;
    const before = previous === undefined ? [] : ownersOf(previous);
    const owners = change === 'DELETED' ? [] : ownersOf(object);
    for (const owner of before) this.#dependents.get(textAt(owner, 'uid'))?.delete(uid);
    for (const owner of owners) this.#add(textAt(owner, 'uid'), uid);
    // Whoever waits for its dependents may have lost the last one.
    for (const owner of before) if (owners.length < before.length) this.#soon.add(textAt(owner, 'uid'));
    if (change === 'DELETED') {
      this.#places.delete(uid);
      for (const dependent of this.#dependents.get(uid) ?? []) this.#soon.add(dependent);
      if ((this.#dependents.get(uid)?.size ?? 0) === 0) this.#dependents.delete(uid);
      return;
    }
    const waits = deletionTimestamp !== undefined && finalizers.some((each) => each === ORPHAN || each === FOREGROUND);
    if (owners.length > 0 || waits) {
      this.#places.set(uid, { type, namespace, name });
      this.#soon.add(uid);
    }
  }

  #add(owner: string, dependent: string): void {
    const known = this.#dependents.get(owner) ?? new Set();
    this.#dependents.set(owner, known.add(dependent));
  }

  #attend(uid: string): void {
    const place = this.#places.get(uid);
    const object = place === undefined ? undefined : this.#store.get(place.type, place.namespace, place.name);
    if (place === undefined || object?.metadata.uid !== uid) return;
    this.#letGo(place, object);
    const left = this.#store.get(place.type, place.namespace, place.name);
    if (left?.metadata.uid === uid) this.#finish(place, left, uid);
  }

  /** Deletes the object when its owners are gone, or want it to go first. */
  #letGo(place: Place, object: KubeObject): void {
    if (object.metadata.deletionTimestamp !== undefined) return;
    const owners = ownersOf(object);
    if (owners.length === 0) return;
    const found = owners.map((reference) => this.#ownerOf(place.namespace, reference));
    if (found.includes('unknown')) return;
    const there = found.filter((owner): owner is KubeObject => typeof owner === 'object');
    if (there.every(wantsDependentsGone)) {
      this.#api.delete(place, IN_BACKGROUND);
      return;
    }
    const left = owners.filter((_reference, index) => found[index] !== 'gone');
    if (left.length < owners.length) this.#api.patch(place, { metadata: { ownerReferences: left } }, '', WRITE);
  }

  #ownerOf(namespace: string, reference: JsonObject): KubeObject | 'gone' | 'unknown' {
    const type = RESOURCE_TYPES.find(
      (each) => each.kind === reference['kind'] && apiVersionOf(each) === reference['apiVersion'],
    );
    if (type === undefined) return 'unknown';
    const owner = this.#store.get(type, type.namespaced ? namespace : '', textAt(reference, 'name'));
    return owner?.metadata.uid === reference['uid'] ? (owner as KubeObject) : 'gone';
  }

  /** Takes the finalizers of the deletion away when nothing depends on the object any more. */
  #finish(place: Place, object: KubeObject, uid: string): void {
    const { deletionTimestamp, finalizers = [] } = object.metadata;
    if (deletionTimestamp === undefined) return;
    const dependents = [...(this.#dependents.get(uid) ?? [])];
    if (finalizers.includes(ORPHAN)) for (const dependent of dependents) this.#disown(dependent, uid);
    else if (!finalizers.includes(FOREGROUND)) return;
    else if (dependents.length > 0) {
      for (const dependent of dependents) this.#soon.add(dependent);
      return;
    }
    const left = finalizers.filter((each) => each !== ORPHAN && each !== FOREGROUND);
    this.#api.patch(place, { metadata: { finalizers: left } }, '', WRITE);
  }

  #disown(dependent: string, owner: string): void {
    const place = this.#places.get(dependent);
    const object = place === undefined ? undefined : this.#store.get(place.type, place.namespace, place.name);
    if (place === undefined || object === undefined) return;
    const left = ownersOf(object).filter((reference) => reference['uid'] !== owner);
    this.#api.patch(place, { metadata: { ownerReferences: left.length === 0 ? null : left } }, '', WRITE);
  }
}

function ownersOf({ metadata }: KubeObject): readonly JsonObject[] {
  return listAt(metadata, 'ownerReferences');
}

function wantsDependentsGone({ metadata: { deletionTimestamp, finalizers = [] } }: KubeObject): boolean {
  return deletionTimestamp !== undefined && finalizers.includes(FOREGROUND);
}
