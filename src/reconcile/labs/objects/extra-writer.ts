import type { KubernetesObject, V1OwnerReference } from '@kubernetes/client-node';
import { SPAWN_LABEL } from '../../../domain/lab/object-names.ts';
import type { ApiKinds } from '../../../storage/kubernetes/api-kinds.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import type { Resource } from '../../../storage/kubernetes/resources.ts';
import { isOurs } from '../observe.ts';
import { allEnded, nameTaken, notYet, type ObjectWriter } from './object-writer.ts';
import { Refused } from './refusal.ts';

export interface ExtraWriterOptions {
  readonly client: KubeClient;
  readonly objects: ObjectWriter;
  readonly kinds: ApiKinds;
  /** The controller's own namespace: what its objects are labelled with. */
  readonly controller: string;
}

export interface ExtraRequest {
  readonly slug: string;
  readonly spawnId: string;
  /** The Secret of the spawn that ends with it, and these objects with that Secret. */
  readonly owner: V1OwnerReference;
  /** Asked before anything is removed that may belong to another spawn: whether the lab is still wanted, by the API server's word. */
  readonly confirm: () => Promise<boolean>;
}

/**
 * Makes the objects that the configuration gives labs beside Labwright's own. They belong to the Secret with the environment of the spawn, so
 * that the cluster removes them with it: whoever ends a lab need not know which kinds there were.
 */
export class ExtraWriter {
  readonly #options: ExtraWriterOptions;

  constructor(options: ExtraWriterOptions) {
    this.#options = options;
  }

  /** @throws Refused when it can never work, KubeError when it may work later */
  async write(objects: readonly KubernetesObject[], request: ExtraRequest): Promise<void> {
    const resources = await Promise.all(objects.map((object) => this.#resourceOf(object)));
    await allEnded(resources.map((resource, index) => this.#ensure(resource, objects[index] ?? {}, request)));
  }

  async #resourceOf(object: KubernetesObject): Promise<Resource<KubernetesObject>> {
    const found = await this.#options.kinds.find(object);
    if (found?.namespaced === true) return found;
    const what = `${object.kind ?? ''} (${object.apiVersion ?? ''})`;
    const why =
      found === undefined ? `The cluster has no kind ${what}` : `Objects of the kind ${what} are in no namespace`;
    throw new Refused(
      'InvalidObject',
      `${why}, and each lab is to have one. Tell an administrator (lab.extraObjects).`,
    );
  }

  /** What is there of the same spawn is as good as new; what is there of another one, and is not gone yet, is replaced. */
  async #ensure(
    resource: Resource<KubernetesObject>,
    object: KubernetesObject,
    { slug, spawnId, owner, confirm }: ExtraRequest,
  ): Promise<void> {
    const { client, controller, objects } = this.#options;
    const { namespace, name = '' } = object.metadata ?? {};
    const owned = { ...object, metadata: { ...object.metadata, ownerReferences: [owner] } };
    const { created, found } = await objects.createOrFind(resource, owned);
    if (created !== undefined) return;
    if (found === undefined) throw notYet(resource.kind, namespace, name);
    if (!isOurs(found, controller, slug)) throw nameTaken(resource.kind, `${namespace}/${name}`);
    const { uid = '', labels, ownerReferences = [], deletionTimestamp } = found.metadata ?? {};
    const isOfSpawn = labels?.[SPAWN_LABEL] === spawnId && ownerReferences.some((each) => each.uid === owner.uid);
    if (isOfSpawn && deletionTimestamp === undefined) return;
    if (!(await confirm())) throw notYet(resource.kind, namespace, name);
    await client.deleteAndWait(resource, { namespace, name }, { uid });
    await client.create(resource, owned, METADATA_ONLY);
  }
}
