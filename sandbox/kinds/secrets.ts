import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import type { KubeObject } from '../objects.ts';
import { checkDataKeys, checkImmutableData, coreType, objectAt, textAt } from './common.ts';

/** The key that a Secret of a type must hold. */
const REQUIRED_KEYS: Readonly<Record<string, string>> = {
  'kubernetes.io/dockerconfigjson': '.dockerconfigjson',
  'kubernetes.io/dockercfg': '.dockercfg',
  'kubernetes.io/ssh-auth': 'ssh-privatekey',
};

export const secrets = coreType(
  { plural: 'secrets', singular: 'secret', kind: 'Secret' },
  {
    fields: ['type'],
    // `stringData` is write-only: it lands in `data`.
    defaults: ({ stringData, ...object }) => {
      const texts = Object.entries((stringData ?? {}) as Record<string, string>);
      const encoded = texts.map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const);
      const data = texts.length === 0 ? {} : { data: { ...objectAt(object, 'data'), ...Object.fromEntries(encoded) } };
      return { ...object, ...data, type: textAt(object, 'type') || 'Opaque' };
    },
    validate: (object) => [...checkDataKeys(object), ...checkRequiredKey(object)],
    validateUpdate: (object, old) => [
      ...(object['type'] === old['type'] ? [] : [cause.invalid('type', object['type'], 'field is immutable')]),
      ...checkImmutableData(object, old),
    ],
  },
);

function checkRequiredKey(object: KubeObject): Cause[] {
  const key = REQUIRED_KEYS[textAt(object, 'type')];
  return key === undefined || key in objectAt(object, 'data') ? [] : [cause.required(`data[${key}]`)];
}
