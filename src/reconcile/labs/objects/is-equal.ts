/** Data, limits and selectors mean something else with one key more; `{}` selects everything. */
const EXACT = new Set(['data', 'binaryData', 'hard', 'podSelector', 'namespaceSelector', 'matchLabels', 'selector']);

/**
 * Whether `found` has everything that `wanted` gives, with the same values. What the API server added by itself (uid,
 * defaults) is not looked at, except in maps to which it adds nothing: one key more there is a difference.
 */
export function isEqualWhereGiven(wanted: unknown, found: unknown, exact = false): boolean {
  if (wanted === null || wanted === undefined) return true;
  if (typeof wanted !== 'object') return wanted === found;
  if (typeof found !== 'object' || found === null) return isEmpty(wanted);
  if (Array.isArray(wanted)) {
    if (!Array.isArray(found) || wanted.length !== found.length) return false;
    return wanted.every((entry, index) => isEqualWhereGiven(entry, found[index]));
  }
  const there = found as Record<string, unknown>;
  const given = Object.entries(wanted);
  if (exact && Object.keys(there).length !== given.length) return false;
  return given.every(([key, value]) => isEqualWhereGiven(value, there[key], EXACT.has(key)));
}

/** The API server leaves out what is empty. */
function isEmpty(value: object): boolean {
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}
