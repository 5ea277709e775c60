import { isObject, type FieldSet, type KubeObject, type ManagedFields, timestamp } from './objects.ts';

/** JSON merge patch (RFC 7396): null takes a field away, objects are merged, anything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = isObject(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else result[field] = mergePatch(result[field], value);
  }
  return result;
}

/** Fields that are not owned by whoever applies an object. */
const UNOWNED = new Set(['apiVersion', 'kind']);
const UNOWNED_METADATA = new Set(['name', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp', 'managedFields']);

/**
 * Server-side apply with force: the fields in `applied` are set, and those that this manager applied before and does not
 * any more are taken away, unless another manager applied them too. Lists are one value each.
 *
 * Ownership is kept for managers that apply only; what an update or a patch sets is owned by nobody here.
 */
export function applyPatch(old: KubeObject | undefined, applied: KubeObject, manager: string): KubeObject {
  const owners = old?.metadata.managedFields ?? [];
  const before = owners.find((owner) => owner.manager === manager);
  const others = owners.filter((owner) => owner !== before);
  const fields = fieldsOf(applied);
  const merged = mergePatch(old ?? {}, applied) as KubeObject;
  const result =
    before === undefined ? merged : (withoutDropped(merged, before.fieldsV1, fields, others) as KubeObject);
  const unchanged = before !== undefined && JSON.stringify(before.fieldsV1) === JSON.stringify(fields);
  const entry: ManagedFields = unchanged
    ? before
    : {
        manager,
        operation: 'Apply',
        apiVersion: applied.apiVersion,
        time: timestamp(),
        fieldsType: 'FieldsV1',
        fieldsV1: fields,
      };
  return { ...result, metadata: { ...result.metadata, managedFields: [...others, entry] } };
}

function fieldsOf(object: KubeObject): FieldSet {
  const top = Object.entries(object).filter(([field]) => !UNOWNED.has(field));
  const sets = top.map(([field, value]) => {
    if (field !== 'metadata' || !isObject(value)) return [`f:${field}`, fieldSet(value)] as const;
    const owned = Object.entries(value).filter(([name]) => !UNOWNED_METADATA.has(name));
    return [`f:${field}`, fieldSet(Object.fromEntries(owned))] as const;
  });
  return Object.fromEntries(sets.filter(([field, set]) => field !== 'f:metadata' || Object.keys(set).length > 0));
}

function fieldSet(value: unknown): FieldSet {
  if (!isObject(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([field, inner]) => [`f:${field}`, fieldSet(inner)]));
}

function withoutDropped(value: unknown, before: FieldSet, now: FieldSet, others: readonly ManagedFields[]): unknown {
  const otherSets = others.map((owner) => owner.fieldsV1);
  const walk = (current: unknown, was: FieldSet, is: FieldSet, theirs: readonly FieldSet[]): unknown => {
    if (!isObject(current)) return current;
    const result: Record<string, unknown> = { ...current };
    for (const [key, inner] of Object.entries(was)) {
      const field = key.slice(2);
      const below = theirs.flatMap((set) => (set[key] === undefined ? [] : [set[key]]));
      const still = is[key];
      if (still === undefined && Object.keys(inner).length === 0 && below.length === 0) delete result[field];
      else result[field] = walk(result[field], inner, still ?? {}, below);
      if (still === undefined && isEmpty(result[field])) delete result[field];
    }
    return result;
  };
  return walk(value, before, now, otherSets);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || (isObject(value) && Object.keys(value).length === 0);
}
