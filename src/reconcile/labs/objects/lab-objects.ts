import type { KubernetesObject, V1Namespace, V1OwnerReference, V1Pod, V1Secret } from '@kubernetes/client-node';
import type { LabObjects } from '../../../builder/lab/lab-builder.ts';
import {
  KEPT_SINCE_ANNOTATION,
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
import { ApiKinds } from '../../../storage/kubernetes/api-kinds.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import {
  ConfigMaps,
  LimitRanges,
  Namespaces,
  NetworkPolicies,
  Pods,
  ResourceQuotas,
  ServiceAccounts,
  Services,
} from '../../../storage/kubernetes/resources.ts';
import { isOurs } from '../observe.ts';
import { ExtraWriter } from './extra-writer.ts';
import { allEnded, nameTaken, notYet, ObjectWriter } from './object-writer.ts';
import { SecretWriter } from './secret-writer.ts';
import { VolumeWriter } from './volume-writer.ts';

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

export interface WrittenPod {
  readonly pod: V1Pod;
  /** False where another replica has made it. */
  readonly isNew: boolean;
}

/**
 * Makes the objects of a lab, in three steps: the namespace, then everything else at once, then the pod. What the configuration adds
 * (`lab.extraObjects`) comes before the pod, as the property of a Secret of the spawn.
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
  readonly #objects: ObjectWriter;
  readonly #volumes: VolumeWriter;
  readonly #secrets: SecretWriter;
  readonly #extra: ExtraWriter;

  constructor(client: KubeClient, controller: string) {
    this.#client = client;
    this.#controller = controller;
    this.#objects = new ObjectWriter(client, controller);
    this.#volumes = new VolumeWriter({ client, controller, objects: this.#objects });
    this.#secrets = new SecretWriter(client, controller);
    this.#extra = new ExtraWriter({ client, controller, objects: this.#objects, kinds: new ApiKinds(client) });
  }

  /**
   * @returns the pod, and whether it is this call that has made it; undefined when the lab was not wanted any more
   * @throws Refused when it can never work, KubeError when it may work later
   */
  async write(request: WriteRequest): Promise<WrittenPod | undefined> {
    const { objects, slug } = request;
    const written = objects.namespace && (await this.#writeNamespace(request, objects.namespace));
    if (written !== undefined) request.onNamespace(written);
    const isKept = objects.namespace !== undefined && written === undefined;
    const { extraSecrets, others } = sortExtra(objects);
    const secrets = this.#secrets.write({ ...request, objects: { ...objects, extraSecrets } });
    await allEnded([
      ...(isKept ? this.#confirmStaying(objects) : this.#ensureStaying(request)),
      this.#volumes.ensure(objects, slug, written),
      secrets,
    ]);
    const uid = await secrets;
    if (!request.isWanted()) return undefined;
    if (others.length > 0) {
      const owner = ownerOf(objects, uid);
      if (owner === undefined) throw notYet('Secret', objects.envSecret.metadata?.namespace, '');
      await this.#extra.write(others, { ...request, owner });
      if (!request.isWanted()) return undefined;
    }
    const pod = request.noteServiceIp ? await this.#withServiceIp(objects) : objects.pod;
    return this.#writePod(pod, slug);
  }

  /** @returns undefined when a namespace kept from before has everything that stays in one */
  async #writeNamespace({ namespace, slug }: WriteRequest, wanted: V1Namespace): Promise<KubernetesObject | undefined> {
    const name = wanted.metadata?.name ?? '';
    if (namespace === undefined) {
      const { created, found } = await this.#objects.createOrFind(Namespaces, wanted);
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
      this.#objects.ensure(Services, service, slug, confirm),
      serviceAccount && this.#objects.ensure(ServiceAccounts, serviceAccount, slug),
      files && this.#objects.ensure(ConfigMaps, files, slug),
      limitRange && this.#objects.ensure(LimitRanges, limitRange, slug),
      resourceQuota === undefined
        ? this.#objects.remove(ResourceQuotas, existing, RESOURCE_QUOTA_NAME, slug)
        : this.#objects.ensure(ResourceQuotas, resourceQuota, slug),
      networkPolicy === undefined
        ? this.#objects.remove(NetworkPolicies, existing, NETWORK_POLICY_NAME, slug)
        : this.#objects.ensure(NetworkPolicies, networkPolicy, slug),
    ].filter((call) => call !== undefined);
  }

  /** What isolates and what exposes the lab is made again in case somebody has removed it: a lab without them is worse. */
  #confirmStaying({ networkPolicy, service }: LabObjects): Array<Promise<unknown>> {
    return [
      this.#objects.confirm(Services, service),
      ...(networkPolicy === undefined ? [] : [this.#objects.confirm(NetworkPolicies, networkPolicy)]),
    ];
  }

  async #withServiceIp({ pod, service }: LabObjects): Promise<V1Pod> {
    const { namespace, name = '' } = service.metadata ?? {};
    const address = (await this.#client.get(Services, { namespace, name }))?.spec?.clusterIP;
    if (address === undefined) throw notYet('Service', namespace, name);
    const annotations = { ...pod.metadata?.annotations, [SERVICE_IP_ANNOTATION]: address };
    return { ...pod, metadata: { ...pod.metadata, annotations } };
  }

  async #writePod(pod: V1Pod, slug: string): Promise<WrittenPod> {
    const { namespace, name = '' } = pod.metadata ?? {};
    const { created, found } = await this.#objects.createOrFind(Pods, pod);
    if (created !== undefined) return { pod: created, isNew: true };
    if (found !== undefined && !isOurs(found, this.#controller, slug)) throw nameTaken('Pod', `${namespace}/${name}`);
    if (found?.metadata?.labels?.[SPAWN_LABEL] === pod.metadata?.labels?.[SPAWN_LABEL] && found !== undefined) {
      return { pod: found, isNew: false };
    }
    // A leftover that the watch is about to tell of, or one that has gone since.
    throw notYet('Pod', namespace, name);
  }
}

/** Secrets are written blindly, and removed by their labels. */
function sortExtra({ extraObjects = [] }: LabObjects): { extraSecrets: V1Secret[]; others: KubernetesObject[] } {
  const isSecret = ({ apiVersion, kind }: KubernetesObject) => apiVersion === 'v1' && kind === 'Secret';
  return {
    extraSecrets: extraObjects.filter(isSecret),
    others: extraObjects.filter((object) => !isSecret(object)),
  };
}

function ownerOf({ envSecret }: LabObjects, uid: string | undefined): V1OwnerReference | undefined {
  return uid === undefined
    ? undefined
    : { apiVersion: 'v1', kind: 'Secret', name: envSecret.metadata?.name ?? '', uid };
}
