import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Config } from '../../config/index.ts';
import type { AppEnv } from '../server/context.ts';
import { refuseInvalid } from '../server/errors.ts';
import { open } from '../server/permissions.ts';
import { json } from '../server/responses.ts';

const Service = z.object({ url: z.string() });
const Discovery = z
  .object({
    applications: z.array(z.string()),
    datasets: z.record(z.string(), z.unknown()),
    influxdb_databases: z.record(z.string(), z.unknown()),
    services: z.object({
      data: z.record(z.string(), z.unknown()),
      internal: z.record(z.string(), Service),
      ui: z.record(z.string(), Service),
    }),
  })
  .meta({ id: 'Discovery', description: 'As Repertoire has it, with what the hub plugin of Nublado looks for.' });

const getDiscovery = createRoute({
  ...open('getDiscovery'),
  method: 'get',
  path: '/discovery',
  summary: 'Where the hub plugin of Nublado finds this API',
  responses: { 200: json(Discovery, 'The services') },
});

/**
 * What the hub plugin of Nublado asks Repertoire, the service discovery of the Rubin Science Platform, so that a hub
 * without one has its `repertoire_base_url` here. To be mounted at the prefix.
 */
export function discoveryRoute({ baseUrl, pathPrefix }: Pick<Config, 'baseUrl' | 'pathPrefix'>): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  const internal = { 'nublado-controller': { url: `${baseUrl}${pathPrefix}` } };
  const document = {
    ...{ applications: ['nublado'], datasets: {}, influxdb_databases: {} },
    services: { data: {}, internal, ui: {} },
  };
  return routes.openapi(getDiscovery, (c) => c.json(document, 200, { 'Cache-Control': 'public, max-age=300' }));
}
