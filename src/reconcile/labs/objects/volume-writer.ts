import type { KubernetesObject, V1PersistentVolume, V1PersistentVolumeClaim } from '@kubernetes/client-node';
import type { LabObjects } from '../../../builder/lab/lab-builder.ts';
import { KUBESPAWNER_USERNAME_ANNOTATION, USERNAME_ANNOTATION } from '../../../domain/lab/object-names.ts';
import { type KubeClient, METADATA_ONLY } from '../../../storage/kubernetes/kube-client.ts';
import { PersistentVolumeClaims, PersistentVolumes } from '../../../storage/kubernetes/resources.ts';
import { isOurs } from '../observe.ts';
import { isEqualWhereGiven } from './is-equal.ts';
import { allEnded, nameTaken, notYet, type ObjectWriter } from './object-writer.ts';

export interface VolumeWriterOptions {
  readonly client: KubeClient;
  readonly objects: ObjectWriter;
  /** The controller's own namespace: what its objects are labelled with. */
  readonly controller: string;
}

/** Makes the claims of labs, and volumes for them. */
export class VolumeWriter {
  readonly #options: VolumeWriterOptions;

  constructor(options: VolumeWriterOptions) {
    this.#options = options;
  }

  /** Claims, and before them the volumes that are made for them. In a kept namespace, those are known to be there. */
  async ensure(
    { persistentVolumes = [], volumeClaims }: Pick<LabObjects, 'persistentVolumes' | 'volumeClaims'>,
    slug: string,
    namespace: KubernetesObject | undefined,
  ): Promise<void> {
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
    const { client, controller, objects } = this.#options;
    const { name = '' } = volume.metadata ?? {};
    const { created, found } = await objects.createOrFind(PersistentVolumes, volume);
    if (created !== undefined) return;
    if (found === undefined) throw notYet('PersistentVolume', undefined, name);
    if (!isOurs(found, controller, slug)) throw nameTaken('PersistentVolume', name);
    const isLost = found.status?.phase === 'Released' || found.status?.phase === 'Failed';
    if (found.metadata?.deletionTimestamp === undefined && !isLost && isEqualWhereGiven(volume, found)) return;
    const { namespace, name: claim = '' } = volume.spec?.claimRef ?? {};
    const bound = await client.get(PersistentVolumeClaims, { namespace, name: claim });
    const replaced = [
      { resource: PersistentVolumeClaims, ref: { namespace, name: claim }, object: bound },
      { resource: PersistentVolumes, ref: { name }, object: found },
    ];
    for (const { resource, ref, object } of replaced) {
      const uid = object?.metadata?.uid;
      if (uid !== undefined) await client.deleteAndWait(resource, ref, { uid });
    }
    await client.create(PersistentVolumes, volume, METADATA_ONLY);
  }

  /**
   * A claim that is there is used as it is: what is in it is the user's. Where labs share a namespace, it may be one for all servers of the
   * user, or one that KubeSpawner has made for that user.
   */
  async #ensureClaim(claim: V1PersistentVolumeClaim, slug: string): Promise<void> {
    const { controller, objects } = this.#options;
    const { namespace, name = '', annotations = {} } = claim.metadata ?? {};
    const { created, found } = await objects.createOrFind(PersistentVolumeClaims, claim);
    if (created !== undefined) return;
    if (found === undefined) throw notYet('PersistentVolumeClaim', namespace, name);
    const of = found.metadata?.annotations ?? {};
    const user = of[USERNAME_ANNOTATION] ?? of[KUBESPAWNER_USERNAME_ANNOTATION];
    if (!isOurs(found, controller, slug) && user !== annotations[USERNAME_ANNOTATION]) {
      throw nameTaken('claim', `${namespace}/${name}`);
    }
    if (found.metadata?.deletionTimestamp !== undefined) throw notYet('PersistentVolumeClaim', namespace, name);
  }
}
