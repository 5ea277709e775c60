import { z } from '@hono/zod-openapi';

/** A parameter of the query that is `true` or `false`, and false where it is not there. */
export function flagQuery(name: string, description: string) {
  return z
    .enum(['true', 'false'], { error: 'Input should be a valid boolean' })
    .default('false')
    .transform((value) => value === 'true')
    .meta({ param: { name, in: 'query' }, description });
}

export const Detail = z.object({ detail: flagQuery('detail', 'Everything that is known.') });
