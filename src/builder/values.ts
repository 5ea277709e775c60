import { createHash } from 'node:crypto';
import type { DeepReadonly } from '../util/deep-readonly.ts';

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

/** A list for an object that is sent: undefined when there is nothing in it. */
export function some<T>(list: readonly T[]): T[] | undefined {
  return list.length === 0 ? undefined : [...list];
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

/** SHA-256 over a value. Builders write keys in the same order each time, so equal objects are equal text. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
