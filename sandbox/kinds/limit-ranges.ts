import type { JsonObject, KubeObject } from '../objects.ts';
import { quantity } from '../quantity.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, listAt, objectAt, specOf } from './common.ts';

export const limitRanges = coreType(
  { plural: 'limitranges', singular: 'limitrange', kind: 'LimitRange' },
  { defaults: withDefaults, validate: checkDefaultRequests },
);

/** For containers a default limit is also the default request, and a maximum the default limit. */
function withDefaults(object: KubeObject): KubeObject {
  const limits = listAt(specOf(object), 'limits').map((item): JsonObject => {
    if (item['type'] !== 'Container') return item;
    const defaultLimit = { ...objectAt(item, 'max'), ...objectAt(item, 'default') };
    const defaultRequest = { ...defaultLimit, ...objectAt(item, 'min'), ...objectAt(item, 'defaultRequest') };
    return {
      ...item,
      ...(Object.keys(defaultLimit).length === 0 ? {} : { default: defaultLimit }),
      ...(Object.keys(defaultRequest).length === 0 ? {} : { defaultRequest }),
    };
  });
  return { ...object, spec: { ...specOf(object), limits } };
}

function checkDefaultRequests(object: KubeObject): Cause[] {
  return listAt(specOf(object), 'limits').flatMap((item, index) => {
    const limits = objectAt(item, 'default');
    return Object.entries(objectAt(item, 'defaultRequest'))
      .filter(([name, value]) => name in limits && quantity(value) > quantity(limits[name]))
      .map(([name, value]) =>
        cause.invalid(
          `spec.limits[${String(index)}].defaultRequest[${name}]`,
          value,
          `default request value ${String(value)} is greater than default limit value ${String(limits[name])}`,
        ),
      );
  });
}
