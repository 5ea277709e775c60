/**
 * A flat object as Python's `json.dumps` writes it: with spaces, and everything outside printable ASCII escaped. For
 * streams whose readers know the bytes of a server in Python. What is undefined is left out.
 */
export function pythonObject(object: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const fields = Object.entries(object)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${pythonValue(key)}: ${pythonValue(value)}`);
  return `{${fields.join(', ')}}`;
}

function pythonValue(value: string | number | boolean | undefined): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
