import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, specOf } from './common.ts';

/** What leads to storage. The sandbox binds none to a claim, and has no storage. */
export const persistentVolumes = coreType(
  { plural: 'persistentvolumes', singular: 'persistentvolume', kind: 'PersistentVolume' },
  {
    namespaced: false,
    hasStatus: true,
    returnsDeleted: true,
    defaults: (object) => ({
      ...object,
      spec: { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem', ...specOf(object) },
    }),
    initial: (object) => ({ ...object, status: { phase: 'Pending' } }),
    validate: (object) => {
      const { accessModes, capacity } = specOf(object);
      const causes: Cause[] = [];
      if (!Array.isArray(accessModes) || accessModes.length === 0) causes.push(cause.required('spec.accessModes'));
      if (capacity === undefined) causes.push(cause.required('spec.capacity'));
      return causes;
    },
  },
);
