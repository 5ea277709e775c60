import { quantity } from '../quantity.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, objectAt, specOf } from './common.ts';

const COMPUTE = ['cpu', 'memory', 'ephemeral-storage'];
const STANDARD = new Set([
  ...COMPUTE,
  ...COMPUTE.flatMap((name) => [`requests.${name}`, `limits.${name}`]),
  ...['pods', 'services', 'secrets', 'configmaps', 'persistentvolumeclaims', 'resourcequotas', 'requests.storage'],
  ...['replicationcontrollers', 'services.loadbalancers', 'services.nodeports'],
]);

export const resourceQuotas = coreType(
  { plural: 'resourcequotas', singular: 'resourcequota', kind: 'ResourceQuota' },
  {
    hasStatus: true,
    returnsDeleted: true,
    initial: (object) => ({ ...object, status: {} }),
    validate: (object) => Object.entries(objectAt(specOf(object), 'hard')).flatMap(checkHard),
  },
);

function checkHard([name, value]: [string, unknown]): Cause[] {
  const field = `spec.hard[${name}]`;
  const causes: Cause[] = [];
  if (!STANDARD.has(name) && !name.includes('/')) {
    causes.push(cause.invalid(field, name, 'must be a standard resource type or fully qualified'));
    causes.push(cause.invalid(field, name, 'must be a standard resource for quota'));
  }
  if (quantity(value) < 0) causes.push(cause.invalid(field, value, 'must be greater than or equal to 0'));
  return causes;
}
