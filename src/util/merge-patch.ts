import { isRecord } from './is-record.ts';

type Json = unknown;

/**
 * A JSON merge patch (RFC 7396), in which lists of things that have a key of their own are merged by it, as Kubernetes does: mounts by
 * `mountPath`, anything else by `name`. An entry whose key is there is patched, another is added. Any other list is replaced. Null removes
 * a key.
 */
export function mergePatch(target: Json, patch: Json): Json {
  return merge(target, patch, false);
}

/** Two patches as one that does what both do, one after the other. */
export function composePatches(first: Json, second: Json): Json {
  return merge(first, second, true);
}

/** @param keepsNulls the target is a patch itself: what is to be removed has to be said in it */
function merge(target: Json, patch: Json, keepsNulls: boolean): Json {
  if (Array.isArray(patch)) {
    const key = KEYS.find((name) => isKeyed(patch, name) && isKeyed(target, name));
    if (key !== undefined) return mergeKeyed(key, target, patch, keepsNulls);
    return patch.map((entry: Json) => merge(undefined, entry, keepsNulls));
  }
  if (!isRecord(patch)) return patch;
  const merged = new Map(isRecord(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null && !keepsNulls) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value, keepsNulls));
  }
  return Object.fromEntries(merged);
}

/** Mounts have a name, too, which several of them may share. */
const KEYS = ['mountPath', 'name'] as const;

function mergeKeyed(key: (typeof KEYS)[number], target: Json, patch: readonly Json[], keepsNulls: boolean): Json[] {
  const merged = new Map<Json, Json>();
  for (const entry of Array.isArray(target) ? (target as Json[]) : [])
    merged.set((entry as Record<string, Json>)[key], entry);
  for (const entry of patch) {
    const own = (entry as Record<string, Json>)[key];
    merged.set(own, merge(merged.get(own), entry, keepsNulls));
  }
  return [...merged.values()];
}

function isKeyed(value: Json, key: (typeof KEYS)[number]): boolean {
  return Array.isArray(value) && value.every((entry: Json) => isRecord(entry) && typeof entry[key] === 'string');
}
