import { EXPECTED } from './names.ts';
import { parseQuantity } from './quantity.ts';
import { RULES } from './rules/index.ts';
import { isRecord } from '../../util/is-record.ts';
import type { JsonObject } from './rules/rule.ts';
import types from './types.json' with { type: 'json' };

/** What is wrong with a value, and where in it. */
export interface KubernetesFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

interface ObjectType {
  readonly required: readonly string[];
  readonly fields: Readonly<Record<string, string>>;
}

export type KubernetesType = keyof typeof types.types;

const TYPES = new Map<string, ObjectType>(Object.entries(types.types));
const INT32 = 2 ** 31;

/** Types without fields: what is expected, and whether a value is that. */
const SCALARS: Readonly<Record<string, readonly [expected: string, is: (value: unknown) => boolean]>> = {
  string: ['expected text', (value) => typeof value === 'string'],
  boolean: ['expected true or false', (value) => typeof value === 'boolean'],
  number: ['expected a number', (value) => typeof value === 'number'],
  int32: ['expected a whole number', (value) => isWhole(value) && value >= -INT32 && value < INT32],
  int64: ['expected a whole number', isWhole],
  IntOrString: ['expected a whole number or text', (value) => typeof value === 'string' || isWhole(value)],
  Quantity: [EXPECTED.quantity, (value) => parseQuantity(value) !== undefined],
  Time: ['expected a time', (value) => typeof value === 'string'],
};

/**
 * Checks a value as the API server does when a pod or a network policy holds it: fields and their types by the OpenAPI document of
 * Kubernetes, then what its validation asks of them.
 *
 * @param type such as `Toleration`, `Toleration[]`
 * @param unknown what becomes of fields that the type does not have: a cluster ignores them, whoever writes them by hand wants to know
 */
export function checkKubernetes(
  type: KubernetesType | `${KubernetesType}[]`,
  value: unknown,
  unknown: 'refuse' | 'ignore' = 'refuse',
): KubernetesFault[] {
  return checkValue(type, value, [], unknown === 'refuse');
}

function checkValue(type: string, value: unknown, path: KubernetesFault['path'], strict: boolean): KubernetesFault[] {
  if (type.endsWith('[]')) {
    if (!Array.isArray(value)) return [{ path, message: expectedOf(type) }];
    return value.flatMap((entry, index) => checkValue(type.slice(0, -2), entry, [...path, index], strict));
  }
  const scalar = SCALARS[type];
  if (scalar !== undefined) return scalar[1](value) ? [] : [{ path, message: expectedOf(type) }];
  if (!isRecord(value)) return [{ path, message: expectedOf(type) }];
  if (type.endsWith('{}')) {
    return Object.entries(value).flatMap(([key, entry]) =>
      checkValue(type.slice(0, -2), entry, [...path, key], strict),
    );
  }
  const known = TYPES.get(type);
  if (known === undefined) return [];
  const structure = checkFields(known, value, path, strict);
  if (structure.length > 0) return structure;
  const faults: KubernetesFault[] = [];
  RULES[type]?.(value, (at, message) => faults.push({ path: [...path, ...at], message }));
  return faults;
}

function checkFields(
  { fields, required }: ObjectType,
  value: JsonObject,
  path: KubernetesFault['path'],
  strict: boolean,
): KubernetesFault[] {
  const missing = required
    .filter((field) => value[field] === undefined)
    .map((field) => ({ path: [...path, field], message: `missing: ${expectedOf(fields[field] ?? '')}` }));
  const inside = Object.entries(value).flatMap(([key, entry]) => {
    if (entry === undefined || (entry === null && !strict)) return [];
    const type = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (type !== undefined) return checkValue(type, entry, [...path, key], strict);
    return strict ? [{ path: [...path, key], message: 'unknown key' }] : [];
  });
  return [...missing, ...inside];
}

function expectedOf(type: string): string {
  if (type.endsWith('[]')) return 'expected a list';
  return SCALARS[type]?.[0] ?? 'expected keys and values';
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value);
}
