/** A place in YAML or JSON as it is written: `lab.sizes[0]["nvidia.com/gpu"]`. */
export function writePath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(appendToPath, '');
}

/** The path of an entry, from that of the list or the table that it is in. */
export function appendToPath(written: string, part: PropertyKey): string {
  if (typeof part === 'number') return `${written}[${String(part)}]`;
  const key = String(part);
  if (!/^[A-Za-z0-9_-]+$/.test(key)) return `${written}[${JSON.stringify(key)}]`;
  return written === '' ? key : `${written}.${key}`;
}
