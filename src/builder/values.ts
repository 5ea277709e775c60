import { createHash } from 'node:crypto';
import type { DeepReadonly } from '../config/config.ts';

/** `value` without the keys that are undefined: in an object that is sent and compared, absent and undefined are one. */
export function defined<T extends object>(value: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as {
    [Key in keyof T]: Exclude<T[Key], undefined>;
  };
}

/** A piece of the frozen configuration as part of an object of its own. */
export function copyOf<T>(value: DeepReadonly<T>): T {
  return structuredClone(value) as T;
}

/** The data of a Secret, with sorted keys. */
export function encodeSecret(values: Readonly<Record<string, string>>): Record<string, string> {
  return sorted(values, (value) => Buffer.from(value, 'utf8').toString('base64'));
}

/** `values` with sorted keys, so that equal content is equal text. */
export function sorted(
  values: Readonly<Record<string, string>>,
  change: (value: string) => string = (value) => value,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, value]) => [key, change(value)]),
  );
}

/** SHA-256 over a value, whatever the order of its keys. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonical(entry)}`).join(',')}}`;
}
