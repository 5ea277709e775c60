import type { JsonObject } from '../objects.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, specOf } from './common.ts';

export const leases = {
  ...coreType(
    { plural: 'leases', singular: 'lease', kind: 'Lease' },
    {
      createdByPut: true,
      needsVersion: true,
      defaults: (object) => ({ ...object, spec: specOf(object) }),
      validate: (object) => checkSpec(specOf(object)),
    },
  ),
  group: 'coordination.k8s.io',
};

function checkSpec(spec: JsonObject): Cause[] {
  const { leaseDurationSeconds: duration, leaseTransitions: transitions } = spec;
  const causes: Cause[] = [];
  if (typeof duration === 'number' && duration <= 0) {
    causes.push(cause.invalid('spec.leaseDurationSeconds', duration, 'must be greater than 0'));
  }
  if (typeof transitions === 'number' && transitions < 0) {
    causes.push(cause.invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0'));
  }
  return causes;
}
