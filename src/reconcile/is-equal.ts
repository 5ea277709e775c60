/**
 * Whether `found` has everything that `wanted` gives, with the same values. What the API server added by itself (uid,
 * defaults) is not looked at, except in maps of data, which must have no further keys.
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
  return given.every(([key, value]) => isEqualWhereGiven(value, there[key], key === 'data' || key === 'binaryData'));
}

/** The API server leaves out what is empty. */
function isEmpty(value: object): boolean {
  return Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0;
}
