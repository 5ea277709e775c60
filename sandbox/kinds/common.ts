import type { Cause, ResourceType } from '../resource-type.ts';
import { cause } from '../status.ts';
import { isObject, type JsonObject, type KubeObject, sameJson } from '../objects.ts';

/** A resource type of which only what differs from the usual is said. */
export function coreType(
  words: Pick<ResourceType, 'plural' | 'singular' | 'kind'>,
  rules: Partial<ResourceType> = {},
): ResourceType {
  return {
    group: '',
    version: 'v1',
    namespaced: true,
    hasStatus: false,
    returnsDeleted: false,
    orphansByDefault: false,
    names: 'subdomain',
    fields: [],
    defaults: (object) => object,
    validate: () => [],
    validateUpdate: () => [],
    ...words,
    ...rules,
  };
}

/** A field that holds an object, or an empty one. */
export function objectAt(object: JsonObject, field: string): JsonObject {
  const value = object[field];
  return isObject(value) ? value : {};
}

/** A field that holds a list of objects, or an empty one. */
export function listAt(object: JsonObject, field: string): readonly JsonObject[] {
  const value = object[field];
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function textAt(object: JsonObject, field: string): string {
  const value = object[field];
  return typeof value === 'string' ? value : '';
}

export function specOf(object: KubeObject): JsonObject {
  return objectAt(object, 'spec');
}

const IMMUTABLE = 'field is immutable when `immutable` is set';

/** Secrets and ConfigMaps with `immutable: true` keep their contents and stay immutable. */
export function checkImmutableData(object: KubeObject, old: KubeObject): Cause[] {
  if (old['immutable'] !== true) return [];
  const causes: Cause[] = [];
  if (object['immutable'] !== true) causes.push(cause.forbidden('immutable', IMMUTABLE));
  if (!sameJson(object['data'] ?? {}, old['data'] ?? {})) causes.push(cause.forbidden('data', IMMUTABLE));
  return causes;
}

const DATA_KEY =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

export function checkDataKeys(object: KubeObject): Cause[] {
  return ['data', 'binaryData']
    .flatMap((field) => Object.keys(objectAt(object, field)).map((key) => ({ field, key })))
    .filter(({ key }) => !/^[-._a-zA-Z0-9]+$/.test(key) || key.length > 253)
    .map(({ field, key }) => cause.invalid(`${field}[${key}]`, key, DATA_KEY));
}
