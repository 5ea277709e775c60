import { z } from '@hono/zod-openapi';
import { refusal } from './errors.ts';

/**
 * A value as a JupyterHub form sends it: in a list of one. Plain values are what API clients send; an empty list and null
 * say nothing. Both are taken, as in Nublado.
 */
export function formField<Schema extends z.ZodType>(name: string, schema: Schema) {
  return z.preprocess((value, context) => {
    if (!Array.isArray(value)) return value ?? undefined;
    const [first, ...others] = value as unknown[];
    if (others.length === 0) return first ?? undefined;
    context.addIssue(refusal(`Too many values for ${name}`));
    return z.NEVER;
  }, schema);
}

/** A checkbox: a boolean, or the words that a form has for it. */
export const flag = z
  .union([z.boolean(), z.enum(['true', 'false'])], { error: 'Input should be a valid boolean' })
  .transform((value) => value === true || value === 'true');
