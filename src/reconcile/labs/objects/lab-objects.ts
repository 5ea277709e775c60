import type {
  KubernetesObject,
  V1Namespace,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1Secret,
} from '@kubernetes/client-node';
import type { LabObjects } from '../../../builder/lab/lab-builder.ts';
import {
  KEPT_SINCE_ANNOTATION,
  KUBESPAWNER_USERNAME_ANNOTATION,
  NETWORK_POLICY_NAME,
  PERMANENT_ANNOTATION,
  RESOURCE_QUOTA_NAME,
  SERVERNAME_ANNOTATION,
  SERVICE_IP_ANNOTATION,
  SPAWN_LABEL,
  SPEC_HASH_ANNOTATION,
  USERNAME_ANNOTATION,
} from '../../../domain/lab/object-names.ts';
import type { ObservedNamespace } from '../../../domain/lab/observed.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import { isAlreadyThere, KubeError } from '../../../storage/kubernetes/kube-error.ts';
import {
  ConfigMaps,
  LimitRanges,
  Namespaces,
  NetworkPolicies,
  PersistentVolumeClaims,
  PersistentVolumes,
  Pods,
  type Resource,
  ResourceQuotas,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../../storage/kubernetes/resources.ts';
import { isEqualWhereGiven } from './is-equal.ts';
import { isOurs, oneLabSelector } from '../observe.ts';
import { refusalOf, Refused } from './refusal.ts';

export interface WriteRequest {
  readonly slug: string;
  readonly spawnId: string;
  readonly objects: LabObjects;
  /** The lab's namespace as it is known to be there, or undefined. */
  readonly namespace: ObservedNamespace | undefined;
  /** Told of the namespace as soon as it has been written. */
  readonly onNamespace: (namespace: KubernetesObject) => void;
  /** Asked before the pod is made: whether the lab is still wanted. */
  readonly isWanted: () => boolean;
  /** Asked before anything is removed that may belong to another spawn: the same, by the API server's word. */
  readonly confirm: () => Promise<boolean>;
  /** Whether the pod is to carry the address of the lab's Service. */
  readonly noteServiceIp: boolean;
}

/**
 * Makes the objects of a lab, in three steps: the namespace, then everything else at once, then the pod.
 *
 * Every step may have been done before, by this process or one that died. So "already exists" is an answer like others:
 *
 * | the object that is there | what happens |
 * |---|---|
 * | is ours, and as it should be | it is used |
 * | is ours, and differs | it is replaced; a volume claim of the user is used as it is, and a pod of an earlier spawn is waited for |
 * | is ours, and on its way out | an error that is tried again |
 * | is ours, and the create was refused (a quota, a limit, a webhook) | as if it had been answered with "already exists" |
 * | is somebody else's | `Refused` with `NameTaken`; it stays untouched |
 *
 * Where labs share a namespace, that step falls away, and there are Service, claims and Secrets before the pod.
 *
 * In a namespace kept from before with the right hash, only the secrets, the pod, and what isolates and exposes the lab
 * are made; the rest is known to be there.
 */
export class LabObjectsWriter {
  readonly #client: KubeClient;
  readonly #controller: string;

  constructor(client: KubeClient, controller: string) {
    this.#client = client;
    this.#controller = controller;
  }

  /**
   * @returns the pod; undefined when the lab was not wanted any more
   * @throws Refused when it can never work, KubeError when it may work later
   */
  async write(request: WriteRequest): Promise<V1Pod | undefined> {
    const { objects, slug } = request;
    const written = objects.namespace && (await this.#writeNamespace(request, objects.namespace));
    if (written !== undefined) request.onNamespace(written);
    const isKept = objects.namespace !== undefined && written === undefined;
    await allEnded([
      ...(isKept ? this.#confirmStaying(objects) : this.#ensureStaying(request)),
      this.#ensureVolumes(request, written),
      this.#writeSecrets(request),
    ]);
    if (!request.isWanted()) return undefined;
    const pod = request.noteServiceIp ? await this.#withServiceIp(objects) : objects.pod;
    return this.#writePod(pod, slug);
  }

  /** @returns undefined when a namespace kept from before has everything that stays in one */
  async #writeNamespace({ namespace, slug }: WriteRequest, wanted: V1Namespace): Promise<KubernetesObject | undefined> {
    const name = wanted.metadata?.name ?? '';
    if (namespace === undefined) {
      const { created, found } = await this.#createOrFind(Namespaces, wanted);
      if (created !== undefined) return created;
      if (found !== undefined && !isOurs(found, this.#controller, slug)) throw nameTaken('namespace', name);
      // It is ours, and the watch has not told yet: the next run finds it.
      throw notYet('Namespace', undefined, name);
    }
    const annotations = wanted.metadata?.annotations ?? {};
    // Without a name, somebody has taken it away: the label says whose it is, and the name comes back.
    const isNamed = namespace.username !== '';
    if (
      isNamed &&
      (namespace.username !== annotations[USERNAME_ANNOTATION] ||
        namespace.servername !== annotations[SERVERNAME_ANNOTATION])
    ) {
      throw nameTaken('namespace', name);
    }
    const complete =
      isNamed && namespace.keptSince !== null && namespace.specHash === annotations[SPEC_HASH_ANNOTATION];
    if (complete) return undefined;
    // From here on it counts as incomplete, until a lab has run in it and ended.
    // What an earlier lab is to keep stays, whatever is configured by now.
    const kept = namespace.permanent ? { [PERMANENT_ANNOTATION]: 'true' } : {};
    const metadata = { ...wanted.metadata, annotations: { ...annotations, ...kept, [KEPT_SINCE_ANNOTATION]: '' } };
    return this.#client.apply(Namespaces, { ...wanted, metadata }, METADATA_ONLY);
  }

  #ensureStaying({ objects, slug, namespace: existing, confirm }: WriteRequest): Array<Promise<unknown>> {
    const { serviceAccount, files, limitRange, resourceQuota, networkPolicy, service } = objects;
    return [
      this.#ensure(Services, service, slug, confirm),
      serviceAccount && this.#ensure(ServiceAccounts, serviceAccount, slug),
      files && this.#ensure(ConfigMaps, files, slug),
      limitRange && this.#ensure(LimitRanges, limitRange, slug),
      resourceQuota === undefined
        ? this.#remove(ResourceQuotas, existing, RESOURCE_QUOTA_NAME, slug)
        : this.#ensure(ResourceQuotas, resourceQuota, slug),
      networkPolicy === undefined
        ? this.#remove(NetworkPolicies, existing, NETWORK_POLICY_NAME, slug)
        : this.#ensure(NetworkPolicies, networkPolicy, slug),
    ].filter((call) => call !== undefined);
  }

  /** Removes what an earlier lab of a kept namespace had and this one has not, such as a quota. */
  async #remove<T extends KubernetesObject>(
    resource: Resource<T>,
    existing: ObservedNamespace | undefined,
    name: string,
    slug: string,
  ): Promise<void> {
    if (existing === undefined) return;
    const ref = { namespace: existing.name, name };
    const found = await this.#client.get(resource, ref);
    if (found === undefined || !isOurs(found, this.#controller, slug)) return;
    await this.#client.delete(resource, ref, { uid: found.metadata?.uid ?? '' });
  }

  /** What isolates and what exposes the lab is made again in case somebody has removed it: a lab without them is worse. */
  #confirmStaying({ networkPolicy, service }: LabObjects): Array<Promise<unknown>> {
    return [
      this.#confirm(Services, service),
      ...(networkPolicy === undefined ? [] : [this.#confirm(NetworkPolicies, networkPolicy)]),
    ];
  }

  async #confirm<T extends KubernetesObject>(resource: Resource<T>, object: T): Promise<void> {
    try {
      await this.#client.create(resource, object, METADATA_ONLY);
    } catch (error) {
      if (isAlreadyThere(error)) return;
      const { namespace, name = '' } = object.metadata ?? {};
      if (!mayBeThere(error) || (await this.#client.get(resource, { namespace, name })) === undefined) throw error;
    }
  }

  /**
   * Creates an object, or finds the one that has its name: see `mayBeThere`.
   *
   * @returns neither where that one has gone since
   * @throws the refusal where nothing is there
   */
  async #createOrFind<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
  ): Promise<{ readonly created?: T; readonly found?: T }> {
    const { namespace, name = '' } = object.metadata ?? {};
    try {
      return { created: await this.#client.create(resource, object, METADATA_ONLY) };
    } catch (error) {
      if (!mayBeThere(error)) throw error;
      const found = await this.#client.get(resource, { namespace, name });
      if (found !== undefined) return { found };
      if (!isAlreadyThere(error)) throw error;
      return {};
    }
  }

  /** @param confirm asked before an object is replaced that may be of another spawn */
  async #ensure<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    slug: string,
    confirm: () => Promise<boolean> = () => Promise.resolve(true),
  ): Promise<T> {
    const { namespace, name = '' } = object.metadata ?? {};
    const { created, found } = await this.#createOrFind(resource, object);
    if (created !== undefined) return created;
    if (found === undefined) return this.#client.create(resource, object, METADATA_ONLY);
    if (!isOurs(found, this.#controller, slug)) throw nameTaken(resource.kind, `${namespace}/${name}`);
    if (found.metadata?.deletionTimestamp !== undefined) throw notYet(resource.kind, namespace, name);
    if (isEqualWhereGiven(object, found)) return found;
    if (!(await confirm())) throw notYet(resource.kind, namespace, name);
    await this.#client.deleteAndWait(resource, { namespace, name }, { uid: found.metadata?.uid ?? '' });
    return this.#client.create(resource, object, METADATA_ONLY);
  }

  /** Claims, and before them the volumes that are made for them. In a kept namespace, those are known to be there. */
  async #ensureVolumes({ objects, slug }: WriteRequest, namespace: KubernetesObject | undefined): Promise<void> {
    const { persistentVolumes = [], volumeClaims } = objects;
    if (namespace !== undefined) {
      const { name = '', uid = '' } = namespace.metadata ?? {};
      const ownerReferences = [{ apiVersion: 'v1', kind: 'Namespace', name, uid }];
      await allEnded(
        persistentVolumes.map((volume) =>
          this.#ensureVolume({ ...volume, metadata: { ...volume.metadata, ownerReferences } }, slug),
        ),
      );
    }
    await allEnded(volumeClaims.map((claim) => this.#ensureClaim(claim, slug)));
  }

  /**
   * A volume that is there and leads elsewhere by now, or was for a claim that is gone, is replaced together with its claim: Kubernetes binds
   * the two for good. No pod uses it, since that of the lab is made later.
   */
  async #ensureVolume(volume: V1PersistentVolume, slug: string): Promise<void> {
    const { name = '' } = volume.metadata ?? {};
    const { found } = await this.#createOrFind(PersistentVolumes, volume);
    if (found === undefined) return;
    if (!isOurs(found, this.#controller, slug)) throw nameTaken('PersistentVolume', name);
    const isLost = found.status?.phase === 'Released' || found.status?.phase === 'Failed';
    if (found.metadata?.deletionTimestamp === undefined && !isLost && isEqualWhereGiven(volume, found)) return;
    const { namespace, name: claim = '' } = volume.spec?.claimRef ?? {};
    const bound = await this.#client.get(PersistentVolumeClaims, { namespace, name: claim });
    const replaced = [
      { resource: PersistentVolumeClaims, ref: { namespace, name: claim }, object: bound },
      { resource: PersistentVolumes, ref: { name }, object: found },
    ];
    for (const { resource, ref, object } of replaced) {
      const uid = object?.metadata?.uid;
      if (uid !== undefined) await this.#client.deleteAndWait(resource, ref, { uid });
    }
    await this.#client.create(PersistentVolumes, volume, METADATA_ONLY);
  }

  /**
   * A claim that is there is used as it is: what is in it is the user's. Where labs share a namespace, it may be one for all servers of the
   * user, or one that KubeSpawner has made for that user.
   */
  async #ensureClaim(claim: V1PersistentVolumeClaim, slug: string): Promise<void> {
    const { namespace, name = '', annotations = {} } = claim.metadata ?? {};
    const { found } = await this.#createOrFind(PersistentVolumeClaims, claim);
    if (found === undefined) return;
    const of = found.metadata?.annotations ?? {};
    const user = of[USERNAME_ANNOTATION] ?? of[KUBESPAWNER_USERNAME_ANNOTATION];
    if (!isOurs(found, this.#controller, slug) && user !== annotations[USERNAME_ANNOTATION]) {
      throw nameTaken('claim', `${namespace}/${name}`);
    }
    if (found.metadata?.deletionTimestamp !== undefined) throw notYet('PersistentVolumeClaim', namespace, name);
  }

  /**
   * Secrets are written blindly: the controller has no right to read them. Their names are the same for each spawn, and a
   * label says whose they are. A name that is taken is taken by one of three:
   *
   * - another spawn of this lab, which was interrupted: its Secrets are removed by that label;
   * - this spawn, at the hands of another replica or of an earlier run: then it is there, and as good as ours;
   * - somebody else.
   *
   * Nothing of this spawn is ever removed, and nothing at all before the API server has said that the spawn is still wanted.
   */
  async #writeSecrets({ objects, slug, spawnId, confirm }: WriteRequest): Promise<void> {
    const { envSecret, secret, pullSecret } = objects;
    const where = envSecret.metadata?.namespace ?? '';
    const ours = oneLabSelector(this.#controller, slug);
    const secrets = [envSecret, secret, pullSecret].filter((each) => each !== undefined);
    let taken = await this.#createSecrets(secrets, mayBeThere);
    if (taken.length === 0 || !(await confirm())) return;
    await this.#client.deleteCollection(Secrets, where, `${ours},${SPAWN_LABEL}!=${spawnId}`);
    // The right to delete a collection is enough to be told what is in it.
    const look = async () => {
      const found = await this.#client.deleteCollection(Secrets, where, ours, { dryRun: true });
      return new Map(found.map(({ metadata }) => [metadata?.name, metadata?.labels?.[SPAWN_LABEL]]));
    };
    // What this spawn has made already needs no room in a quota.
    const made = await look();
    taken = await this.#createSecrets(taken.filter(({ metadata }) => made.get(metadata?.name ?? '') !== spawnId));
    if (taken.length === 0) return;
    // Another replica may have made them between that look and this try.
    const spawnOf = await look();
    for (const { metadata } of taken) {
      const name = metadata?.name ?? '';
      // Or have removed one of an earlier spawn between this try and this look.
      if (!spawnOf.has(name)) throw nameTaken('Secret', `${where}/${name}`, SECRET_GRACE_MS);
      if (spawnOf.get(name) !== spawnId) throw notYet('Secret', where, name);
    }
  }

  /** @returns those whose name is taken */
  async #createSecrets(
    secrets: readonly V1Secret[],
    isTaken: (error: unknown) => boolean = isAlreadyThere,
  ): Promise<V1Secret[]> {
    const write = (each: V1Secret) => this.#client.create(Secrets, each, METADATA_ONLY);
    const results = await Promise.allSettled(secrets.map(write));
    for (const result of results) {
      if (result.status === 'rejected' && !isTaken(result.reason)) throw result.reason;
    }
    return secrets.filter((_, index) => results[index]?.status === 'rejected');
  }

  async #withServiceIp({ pod, service }: LabObjects): Promise<V1Pod> {
    const { namespace, name = '' } = service.metadata ?? {};
    const address = (await this.#client.get(Services, { namespace, name }))?.spec?.clusterIP;
    if (address === undefined) throw notYet('Service', namespace, name);
    const annotations = { ...pod.metadata?.annotations, [SERVICE_IP_ANNOTATION]: address };
    return { ...pod, metadata: { ...pod.metadata, annotations } };
  }

  async #writePod(pod: V1Pod, slug: string): Promise<V1Pod> {
    const { namespace, name = '' } = pod.metadata ?? {};
    const { created, found } = await this.#createOrFind(Pods, pod);
    if (created !== undefined) return created;
    if (found !== undefined && !isOurs(found, this.#controller, slug)) throw nameTaken('Pod', `${namespace}/${name}`);
    if (found?.metadata?.labels?.[SPAWN_LABEL] === pod.metadata?.labels?.[SPAWN_LABEL] && found !== undefined) {
      return found;
    }
    // A leftover that the watch is about to tell of, or one that has gone since.
    throw notYet('Pod', namespace, name);
  }
}

/** For how long a Secret that is there and cannot be seen may be one that is being replaced; several replicas may do that. */
const SECRET_GRACE_MS = 3_000;

/**
 * Whether the object may be there already: an API server looks at quotas, limits and webhooks before it looks whether the
 * name is taken, so that it may refuse what would need nothing new.
 */
function mayBeThere(error: unknown): error is KubeError {
  return isAlreadyThere(error) || (error instanceof KubeError && refusalOf(error) !== undefined);
}

/**
 * As `Promise.all`, but nothing is under way any more when it rejects: a call that was left behind could still make
 * something that a delete has just removed.
 */
async function allEnded<T>(calls: ReadonlyArray<T | Promise<T>>): Promise<T[]> {
  const results = await Promise.allSettled(calls);
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (errors.length > 0) throw errors.find((error) => refusalOf(error) !== undefined) ?? errors[0];
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

function nameTaken(kind: string, name: string, graceMs = 0): Refused {
  const message = `The name of the lab's ${kind} (${name}) is taken by something that is not Labwright's.`;
  return new Refused('NameTaken', message, { graceMs });
}

/** Something is in between two states; the next try finds it settled. */
function notYet(kind: string, namespace: string | undefined, name: string): KubeError {
  return new KubeError(
    { verb: 'use', kind, namespace, name },
    { status: 0, reason: 'NotYet', message: 'it is there, and changing' },
  );
}
