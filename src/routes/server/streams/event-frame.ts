import { z } from '@hono/zod-openapi';

/**
 * The schema of a server-sent event as its reader has it.
 *
 * @param types `message` is the type of events that come without one
 * @param data what its data is, as JSON
 */
export function eventFrame(types: readonly string[], data: z.ZodType) {
  const contentSchema = z.toJSONSchema(data, { io: 'input' });
  // That of OpenAPI 3.1 as well.
  delete contentSchema.$schema;
  return z.object({
    id: z.string().optional().meta({ description: 'To be sent back as `Last-Event-ID`.' }),
    event: z.enum(types),
    data: z.string().meta({ contentMediaType: 'application/json', contentSchema }),
  });
}
