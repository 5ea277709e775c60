import { z } from 'zod';
import { repeated } from '../util/repeated.ts';

/** Reports a fault of one setting; `path` is relative to the object that is checked. */
export type Report = (path: readonly (string | number)[], message: string) => void;

/**
 * A rule over several keys of one object. It is applied also when other keys are wrong, so that one reading of the
 * file reports everything, and left out only when one of its own keys is.
 */
export function crossCheck<T extends object>(
  keys: readonly (keyof T & string)[],
  rule: (value: T, report: Report) => void,
) {
  return z.superRefine<T>(
    (value, context) => {
      rule(value, (path, message) => {
        context.addIssue({ code: 'custom', path: [...path], message });
      });
    },
    {
      when: ({ issues }) =>
        !issues.some(({ code, path }) =>
          // An object with a key that is not known is one all the same.
          path === undefined ? code !== 'unrecognized_keys' : keys.some((key) => key === path[0]),
        ),
    },
  );
}

/** A list whose entries each have their own name. It also looks at entries that are wrong in something else. */
export function uniqueBy<T>(key: keyof T & string) {
  return z.superRefine<T[]>(
    (entries, context) => {
      const names = (Array.isArray(entries) ? entries : []).map((entry: Partial<T> | null) => entry?.[key]);
      const written = names.map((name) => (typeof name === 'string' ? name : undefined));
      for (const index of repeated(written)) {
        const message = `expected another ${key}: "${written[index] ?? ''}" is already there`;
        context.addIssue({ code: 'custom', path: [index, key], message });
      }
    },
    { when: () => true },
  );
}
