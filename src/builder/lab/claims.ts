import type { V1PersistentVolume, V1PersistentVolumeClaim } from '@kubernetes/client-node';
import type { VolumeConfig } from '../../config/config.ts';
import type { LabSpec } from '../../domain/lab/lab.ts';
import { RETAIN_LABEL, volumeClaimName } from '../../domain/lab/object-names.ts';
import { formatMemory } from '../../util/quantities.ts';
import { copyOf, defined } from '../values.ts';
import { labMetadata, type BuildContext } from './context.ts';

/** The lab's claims: one for each volume that has one of its own, mounted or not, since the pod names all of them. */
export function buildVolumeClaims(context: BuildContext): V1PersistentVolumeClaim[] {
  return context.config.volumes.flatMap((volume) => {
    const { persistentVolumeClaim: claim, persistentVolume: made } = volume;
    const metadata = labMetadata(context, claimNameOf(volume, context.lab));
    const kept = { ...metadata, labels: { ...metadata.labels, [RETAIN_LABEL]: 'true' } };
    if (made !== undefined) {
      // No class, or the cluster would make a volume by its default one.
      const bound = { storageClassName: '', volumeName: persistentVolumeName(volume, context) };
      return claimOf(kept, { ...made, storage: made.storage }, bound);
    }
    // One without a size is there already.
    if (claim?.storage === undefined) return [];
    const { storage, accessModes, storageClassName, retain } = claim;
    return claimOf(retain ? kept : metadata, { storage, accessModes }, defined({ storageClassName }));
  });
}

function claimOf(
  metadata: V1PersistentVolumeClaim['metadata'] & object,
  { storage, accessModes }: { readonly storage: number; readonly accessModes: readonly string[] },
  more: V1PersistentVolumeClaim['spec'],
): V1PersistentVolumeClaim {
  const resources = { requests: { storage: formatMemory(storage) } };
  const spec = { accessModes: [...accessModes], resources, ...more };
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec };
}

/**
 * The lab's PersistentVolumes: what leads to a file system that is there, for the claim of this lab and no other. They have no namespace; who
 * writes them makes them the property of the lab's, so that they end with it. What is on them stays.
 */
export function buildPersistentVolumes(context: BuildContext): V1PersistentVolume[] {
  return context.config.volumes.flatMap((volume) => {
    const { persistentVolume: made } = volume;
    if (made === undefined) return [];
    const metadata = labMetadata(context, persistentVolumeName(volume, context));
    delete metadata.namespace;
    const claim = claimNameOf(volume, context.lab);
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolume',
      metadata,
      spec: defined({
        capacity: { storage: formatMemory(made.storage) },
        accessModes: [...made.accessModes],
        mountOptions: made.mountOptions.length === 0 ? undefined : [...made.mountOptions],
        persistentVolumeReclaimPolicy: 'Retain',
        claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: context.names.namespace, name: claim },
        nfs: made.nfs && copyOf(made.nfs),
        csi: made.csi && copyOf(made.csi),
      }),
    };
  });
}

/** Name of the claim of a volume. */
export function claimNameOf({ name, persistentVolumeClaim }: VolumeConfig, lab: Pick<LabSpec, 'objectName'>): string {
  return persistentVolumeClaim?.claimName ?? volumeClaimName(name, lab.objectName);
}

function persistentVolumeName({ name }: VolumeConfig, { names }: BuildContext): string {
  return `${names.namespace}-${name}`;
}
