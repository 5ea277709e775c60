import { randomBytes } from 'node:crypto';
import { admitCreate, checkCreate } from './admission/index.ts';
import { decodeObject } from './decode.ts';
import { Deletions, type DeleteOptions } from './deletion.ts';
import { objectAt, specOf, textAt } from './kinds/common.ts';
import { pods } from './kinds/pods.ts';
import { services } from './kinds/services.ts';
import { checkMetadata } from './names.ts';
import { isObject, type KubeObject, sameJson, timestamp, withMetadata, without } from './objects.ts';
import { applyPatch, mergePatch } from './patch.ts';
import type { Cause, ResourceType } from './resource-type.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import { alreadyExists, badRequest, cause, conflict, invalid, modified, notFound } from './status.ts';
import { stamp, type Store } from './store.ts';

/** Which object a request is about; `namespace` is empty for cluster-wide kinds. */
export interface Target {
  readonly type: ResourceType;
  readonly namespace: string;
  readonly name: string;
}

export interface WriteOptions {
  readonly dryRun: boolean;
}

/**
 * What the API server does with one request, after HTTP and before storage. Every method is synchronous: a request is
 * one step, so two of them cannot meet half-way.
 */
export class Api {
  readonly #store: Store;
  readonly #addresses: ServiceAddresses;
  readonly #deletions: Deletions;

  constructor(store: Store, addresses: ServiceAddresses) {
    this.#store = store;
    this.#addresses = addresses;
    this.#deletions = new Deletions(store, addresses);
  }

  /** @throws ApiError 404 */
  get({ type, namespace, name }: Target): KubeObject {
    const object = this.#store.get(type, namespace, name);
    if (object === undefined) throw notFound(type, name);
    return object;
  }

  /** Admission, defaults, validation, storage: in that order, which decides what is refused first. */
  create(type: ResourceType, namespace: string, body: unknown, { dryRun }: WriteOptions): KubeObject {
    const decoded = this.#decode(type, namespace, body);
    if (decoded.metadata.resourceVersion !== undefined && decoded.metadata.resourceVersion !== '') {
      throw badRequest('resourceVersion should not be set on objects to be created');
    }
    return this.#add(type, type.defaults(withMetadata(named(decoded), { managedFields: undefined })), dryRun);
  }

  /** PUT: replaces everything but what the server keeps. Some kinds are made by it when there is none. */
  replace(
    target: Target,
    body: unknown,
    subresource: string,
    options: WriteOptions,
  ): { object: KubeObject; created: boolean } {
    const { type, namespace, name } = target;
    const decoded = this.#decode(type, namespace, body);
    checkName(decoded, name);
    if (type.createdByPut === true && this.#store.get(type, namespace, name) === undefined) {
      const fresh = withMetadata(decoded, { managedFields: undefined, resourceVersion: undefined });
      return { object: this.#add(type, type.defaults(fresh), options.dryRun), created: true };
    }
    const old = this.get(target);
    const { uid, resourceVersion } = decoded.metadata;
    if (type.needsVersion === true && (resourceVersion ?? '') === '') {
      throw invalid(type, name, [cause.invalid('metadata.resourceVersion', 0, 'must be specified for an update')]);
    }
    if (uid !== undefined && uid !== old.metadata.uid) throw this.#uidConflict(target, uid, old);
    if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== old.metadata.resourceVersion) {
      throw modified(type, name);
    }
    const wanted = withMetadata(decoded, { managedFields: old.metadata.managedFields });
    return { object: this.#update(type, wanted, old, subresource, options), created: false };
  }

  patch(target: Target, patch: unknown, subresource: string, options: WriteOptions): KubeObject {
    const { type, name } = target;
    const old = this.get(target);
    if (!isObject(patch)) throw badRequest('error decoding patch: the patch is not an object');
    const object = decodeObject(type, mergePatch(old, patch));
    checkName(object, name);
    const { resourceVersion } = objectAt(patch, 'metadata');
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) throw modified(type, name);
    return this.#update(type, object, old, subresource, options);
  }

  /** Server-side apply, always as if forced. Makes the object when there is none. */
  apply(
    target: Target,
    body: unknown,
    manager: string,
    options: WriteOptions,
  ): { object: KubeObject; created: boolean } {
    const { type, namespace, name } = target;
    if (!isObject(body) || typeof body['kind'] !== 'string') throw badRequest('invalid object type: /, Kind=');
    const applied = this.#decode(type, namespace, body);
    checkName(applied, name);
    const old = this.#store.get(type, namespace, name);
    const object = applyPatch(old, applied, manager);
    if (old === undefined) return { object: this.#add(type, type.defaults(object), options.dryRun), created: true };
    const { resourceVersion } = applied.metadata;
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) throw modified(type, name);
    return { object: this.#update(type, object, old, '', options), created: false };
  }

  /** POST pods/binding: the scheduler's decision. */
  bind(target: Target, body: unknown, { dryRun }: WriteOptions): void {
    const { type, namespace, name } = target;
    const binding = isObject(body) ? body : {};
    const metadata = objectAt(binding, 'metadata');
    if (metadata['name'] !== name) throw badRequest('name in URL does not match name in Binding object');
    const pod = this.#store.get(pods, namespace, name);
    if (pod === undefined) throw notFound(pods, name);
    const uid = textAt(metadata, 'uid');
    if (uid !== '' && uid !== pod.metadata.uid) throw this.#uidConflict(target, uid, pod);
    const node = textAt(specOf(pod), 'nodeName');
    if (node !== '') throw conflict(pods, name, `pod ${name} is already assigned to node "${node}"`, 'pods/binding');
    if (pod.metadata.deletionTimestamp !== undefined) {
      throw conflict(pods, name, `pod ${name} is being deleted, cannot be assigned to a host`, 'pods/binding');
    }
    const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: timestamp() };
    const status = { ...objectAt(pod, 'status'), conditions: [scheduled] };
    const bound = { ...pod, spec: { ...specOf(pod), nodeName: textAt(objectAt(binding, 'target'), 'name') }, status };
    if (!dryRun) this.#store.update(type, bound, pod);
  }

  /** @returns the object when the kind answers with it or it still has to end, undefined when it is gone */
  delete(target: Target, options: DeleteOptions): KubeObject | undefined {
    return this.#deletions.delete(target.type, this.get(target), options);
  }

  /** Deletes the given objects of one kind one after the other. */
  deleteAll(type: ResourceType, objects: readonly KubeObject[], options: DeleteOptions): void {
    for (const object of objects) this.#deletions.delete(type, object, options);
  }

  #decode(type: ResourceType, namespace: string, body: unknown): KubeObject {
    const object = decodeObject(type, body);
    const given = object.metadata.namespace ?? '';
    if (given !== '' && given !== namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    return withMetadata(object, { namespace: type.namespaced ? namespace : undefined });
  }

  #add(type: ResourceType, given: KubeObject, dryRun: boolean): KubeObject {
    const decoded = withMetadata(given, { uid: undefined });
    const { namespace = '', name } = decoded.metadata;
    const admitted = type.defaults(
      admitCreate(this.#store, type, type.hasStatus ? without(decoded, 'status') : decoded),
    );
    const object = type.initial?.(admitted) ?? admitted;
    refuseInvalid(type, object, [...checkMetadata(type, object), ...type.validate(object)]);
    checkCreate(this.#store, type, object);
    const existing = this.#store.get(type, namespace, name);
    if (existing !== undefined) {
      throw alreadyExists(type, name, existing.metadata.deletionTimestamp !== undefined);
    }
    if (dryRun) return stamp(object);
    return this.#store.add(type, type === services ? this.#addresses.allocate(object) : object);
  }

  #update(
    type: ResourceType,
    wanted: KubeObject,
    old: KubeObject,
    subresource: string,
    { dryRun }: WriteOptions,
  ): KubeObject {
    const object = withGeneration(
      keepServerFields(type, type.defaults(withSubresource(type, wanted, old, subresource)), old),
      old,
    );
    refuseInvalid(type, object, [
      ...checkUid(wanted, old),
      ...checkFinalizers(object, old),
      ...checkMetadata(type, object),
      ...(subresource === '' ? type.validate(object) : []),
      ...type.validateUpdate(object, old),
    ]);
    if (sameJson(object, old)) return old;
    if (dryRun) return object;
    const done = old.metadata.deletionTimestamp !== undefined && this.#deletions.isDone(type, object);
    if (!done) return this.#store.update(type, object, old);
    this.#deletions.finish(type, object);
    return object;
  }

  #uidConflict({ type, namespace, name }: Target, uid: string, { metadata }: KubeObject) {
    const key = `/registry/${type.plural}/${namespace === '' ? '' : `${namespace}/`}${name}`;
    const why =
      `StorageError: invalid object, Code: 4, Key: ${key}, ResourceVersion: 0, AdditionalErrorMsg: ` +
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid ?? ''}`;
    return conflict(type, name, why);
  }
}

const SUFFIX_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';
const MAX_GENERATED_PREFIX = 58;

/** An object that has only `generateName` gets a name from it. */
function named(object: KubeObject): KubeObject {
  const { name, generateName = '' } = object.metadata;
  if (name !== '' || generateName === '') return object;
  const suffix = [...randomBytes(5)].map((byte) => SUFFIX_CHARACTERS[byte % SUFFIX_CHARACTERS.length]).join('');
  return withMetadata(object, { name: `${generateName.slice(0, MAX_GENERATED_PREFIX)}${suffix}` });
}

function checkName(object: KubeObject, name: string): void {
  if (object.metadata.name === name || object.metadata.name === '') return;
  throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
}

function refuseInvalid(type: ResourceType, object: KubeObject, causes: readonly Cause[]): void {
  if (causes.length > 0) throw invalid(type, object.metadata.name, causes);
}

/** A write of the object leaves its status alone, a write of its status everything but status and metadata. */
function withSubresource(type: ResourceType, wanted: KubeObject, old: KubeObject, subresource: string): KubeObject {
  if (!type.hasStatus) return wanted;
  const { status: oldStatus } = old;
  if (subresource === '')
    return { ...without(wanted, 'status'), ...(oldStatus === undefined ? {} : { status: oldStatus }) };
  return { ...old, metadata: wanted.metadata, status: wanted['status'] };
}

/** What a caller cannot change: identity, times, and a service's address where it did not ask for another. */
function keepServerFields(type: ResourceType, object: KubeObject, old: KubeObject): KubeObject {
  const kept = withMetadata(object, {
    name: old.metadata.name,
    namespace: old.metadata.namespace,
    uid: old.metadata.uid,
    resourceVersion: old.metadata.resourceVersion,
    generation: old.metadata.generation,
    creationTimestamp: old.metadata.creationTimestamp,
    deletionTimestamp: old.metadata.deletionTimestamp,
    deletionGracePeriodSeconds: old.metadata.deletionGracePeriodSeconds,
  });
  if (type !== services || specOf(kept)['clusterIP'] !== undefined) return kept;
  const { clusterIP, clusterIPs } = specOf(old);
  return { ...kept, spec: { ...specOf(kept), clusterIP, clusterIPs } };
}

/** Counts the changes of the spec, for the kinds in which they are counted. */
function withGeneration(object: KubeObject, old: KubeObject): KubeObject {
  const { generation } = old.metadata;
  if (generation === undefined || sameJson(object['spec'], old['spec'])) return object;
  return withMetadata(object, { generation: generation + 1 });
}

function checkUid(wanted: KubeObject, old: KubeObject): Cause[] {
  const { uid } = wanted.metadata;
  return uid === undefined || uid === old.metadata.uid
    ? []
    : [cause.invalid('metadata.uid', uid, 'field is immutable')];
}

function checkFinalizers(object: KubeObject, old: KubeObject): Cause[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const added = (object.metadata.finalizers ?? []).filter((name) => old.metadata.finalizers?.includes(name) !== true);
  if (added.length === 0) return [];
  const list = added.map((name) => JSON.stringify(name)).join(', ');
  const why = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
  return [cause.forbidden('metadata.finalizers', why)];
}
