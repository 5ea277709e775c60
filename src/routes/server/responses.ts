import { z } from '@hono/zod-openapi';

/** An answer in JSON, as a route declares it. */
export const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** An answer that is a page, or a part of one. */
export const page = (description: string) => ({ description, content: { 'text/html': { schema: z.string() } } });
