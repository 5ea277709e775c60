import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { type KubeObject, sameJson, without } from '../objects.ts';
import { coreType, objectAt, specOf } from './common.ts';

export const PVC_PROTECTION = 'kubernetes.io/pvc-protection';

export const persistentVolumeClaims = coreType(
  { plural: 'persistentvolumeclaims', singular: 'persistentvolumeclaim', kind: 'PersistentVolumeClaim' },
  {
    hasStatus: true,
    returnsDeleted: true,
    defaults: (object) => ({ ...object, spec: { volumeMode: 'Filesystem', ...specOf(object) } }),
    initial: (object) => ({
      ...object,
      metadata: {
        ...object.metadata,
        finalizers: [...new Set([...(object.metadata.finalizers ?? []), PVC_PROTECTION])],
      },
      status: { phase: 'Pending' },
    }),
    validate: (object) => {
      const spec = specOf(object);
      const causes: Cause[] = [];
      if (!Array.isArray(spec['accessModes']) || spec['accessModes'].length === 0) {
        causes.push(cause.required('spec.accessModes', 'at least 1 access mode is required'));
      }
      const requests = objectAt(objectAt(spec, 'resources'), 'requests');
      if (!('storage' in requests)) causes.push(cause.required('spec.resources[storage]'));
      return causes;
    },
    validateUpdate: checkSpecUnchanged,
  },
);

/** Of a claim that is not bound, only a storage class that was missing may be added. */
function checkSpecUnchanged(object: KubeObject, old: KubeObject): Cause[] {
  const before = without(specOf(old), 'volumeName');
  const after = without(specOf(object), 'volumeName');
  const allowed = before['storageClassName'] === undefined ? { storageClassName: after['storageClassName'] } : {};
  const comparable = JSON.parse(JSON.stringify({ ...before, ...allowed })) as object;
  if (sameJson(comparable, after)) return [];
  const why =
    'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
  return [cause.forbidden('spec', why)];
}
