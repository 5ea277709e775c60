import { z } from '@hono/zod-openapi';
import type { Staleness } from '../../reconcile/health.ts';
import type { AppContext } from './context.ts';

/** How an answer says that what it is made of may be old. */
export const Stale = z
  .object({
    seconds: z.int().meta({ description: 'Since the API server of Kubernetes was last heard of.' }),
    reason: z.string().meta({ description: 'The call that fails, and how.', example: 'watch Pod: 403 Forbidden' }),
  })
  .meta({ id: 'Stale' });

export function staleBody({ ms, why }: Staleness): z.output<typeof Stale> {
  return { seconds: Math.floor(ms / 1000), reason: why };
}

/** Marks an answer whose body has no place for it as a cache does in HTTP. */
export function markStale(c: AppContext, stale: Staleness | undefined): void {
  if (stale !== undefined) c.header('Age', String(Math.floor(stale.ms / 1000)));
}
