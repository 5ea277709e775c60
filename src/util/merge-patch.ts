type Json = unknown;

/**
 * A JSON merge patch (RFC 7396), in which lists of things with a `name` are merged by it: an entry of a name that is there is patched,
 * another is added. Any other list is replaced. Null removes a key.
 */
export function mergePatch(target: Json, patch: Json): Json {
  if (Array.isArray(patch)) {
    return isNamed(patch) && isNamed(target)
      ? mergeNamed(target, patch)
      : patch.map((entry: Json) => mergePatch(undefined, entry));
  }
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, mergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

interface Named {
  readonly name: string;
}

function mergeNamed(target: readonly Named[], patch: readonly Named[]): Json[] {
  const merged = new Map<string, Json>(target.map((entry) => [entry.name, entry]));
  for (const entry of patch) merged.set(entry.name, mergePatch(merged.get(entry.name), entry));
  return [...merged.values()];
}

function isNamed(value: Json): value is readonly Named[] {
  return Array.isArray(value) && value.every((entry: Json) => isObject(entry) && typeof entry['name'] === 'string');
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
