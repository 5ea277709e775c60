import { z } from '@hono/zod-openapi';
import { ErrorBody } from './errors.ts';

/** An answer in JSON, as a route declares it. */
export const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** A stream, of whose events each looks like this: OpenAPI before 3.2 has no other place for it. */
export const events = <Schema extends z.ZodType>(schema: Schema) => ({
  description: 'Server-sent events; the schema is that of each event',
  content: { 'text/event-stream': { schema } },
});

/** A page where a browser asks, and the one error format for everybody else. */
export const refusal = (description: string) => ({
  description,
  content: { 'text/html': { schema: z.string() }, 'application/json': { schema: ErrorBody } },
});

/** An answer that is a page, or a part of one. */
export const page = (description: string) => ({ description, content: { 'text/html': { schema: z.string() } } });
