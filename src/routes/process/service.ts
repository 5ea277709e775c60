import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import { LabwrightError } from '../../domain/errors.ts';
import type { AppEnv } from '../server/context.ts';
import type { AppDeps } from '../server/deps.ts';
import { DOCS_STYLE, docsPage } from './docs-page.ts';
import type { OpenApiDocument } from '../server/documented-refusals.ts';
import { ErrorBody, refuseInvalid } from '../server/errors.ts';
import { open, type OpenOperation } from '../server/permissions.ts';
import { pageHeaders } from '../server/security-headers.ts';
import { Stale, staleBody } from '../server/staleness.ts';
import { json, page } from '../server/responses.ts';

const DESCRIPTION = 'A lab controller that stands beside JupyterHub on Kubernetes';

const Metadata = z
  .object({ name: z.string(), version: z.string(), description: z.string() })
  .meta({ id: 'Metadata', description: 'What this is.' });
const Health = z.object({ status: z.literal('ok') });
const Readiness = Health.extend({
  components: z
    .array(
      z.object({
        component: z.string(),
        ready: z.boolean(),
        notice: z.string().optional().meta({ description: 'What an administrator should know of it.' }),
        stale: Stale.optional(),
      }),
    )
    .optional()
    .meta({
      description:
        'Each part by itself. Those of builds may not be ready while labs are served: builds then say so. `configuration` is ' +
        'not ready while its file is refused; the one before goes on. A cache that ' +
        'cannot follow the cluster is stale: it is ready, and answers with what it has.',
    }),
  outages: z
    .array(z.object({ executor: z.string(), message: z.string() }))
    .optional()
    .meta({ description: 'Where builds cannot start at the moment, if anywhere.' }),
});

const getMetadata = createRoute({
  ...open('getMetadata'),
  method: 'get',
  path: '/',
  summary: 'Name and version',
  responses: { 200: json(Metadata, 'What this is') },
});

const getIndex = createRoute({
  ...open('getIndex'),
  method: 'get',
  path: '/',
  summary: 'Name and version',
  responses: { 200: json(z.object({ metadata: Metadata }), 'What this is') },
});

const getHealth = createRoute({
  ...open('getHealth'),
  method: 'get',
  path: '/healthz',
  summary: 'Whether the process is alive',
  responses: { 200: json(Health, 'It is') },
});

const getReadiness = createRoute({
  ...open('getReadiness'),
  method: 'get',
  path: '/readyz',
  summary: 'Whether the cluster has been read and questions can be answered',
  responses: { 200: json(Readiness, 'Ready'), 503: json(ErrorBody, 'Not yet, or no more') },
});

/** The description is at the root for people who look around, and below the prefix, where an ingress leads. */
const documentRoutesOf = (openApi: OpenOperation, docs: OpenOperation) => ({
  openApi: createRoute({
    ...open(openApi),
    method: 'get',
    path: '/openapi.json',
    summary: 'This description',
    responses: { 200: json(z.record(z.string(), z.unknown()), 'OpenAPI 3.1') },
  }),
  docs: createRoute({
    ...open(docs),
    method: 'get',
    path: '/docs',
    summary: 'This description, for people',
    responses: { 200: page('A page') },
  }),
});
export const rootDocument = documentRoutesOf('getOpenApi', 'getDocs');
export const prefixDocument = documentRoutesOf('getPrefixOpenApi', 'getPrefixDocs');

/** The process itself: what it is and how it is. Meant for probes, so it stands outside the prefix. */
export function processRoutes({ labs, builds, health, stopping, version }: AppDeps): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  routes.openapi(getMetadata, (c) => c.json(metadata(version), 200));
  routes.openapi(getHealth, (c) => c.json({ status: 'ok' as const }, 200));
  routes.openapi(getReadiness, (c) => {
    if (stopping.aborted) throw new LabwrightError('not_ready', 503, 'The program is stopping');
    // Labs alone decide: a hub whose polls are answered by nobody takes running labs for lost. Builds answer for themselves.
    if (!labs.isReady()) throw new LabwrightError('not_ready', 503, 'The cluster has not been read yet');
    const outages = (builds?.outages() ?? []).map(({ executor, message }) => ({ executor, message }));
    // Without what they have to say: it may name users, and anybody may ask.
    const parts = health?.().map(({ component, ready, notice, stale }) => ({
      ...{ component, ready },
      ...(notice === undefined ? {} : { notice }),
      ...(stale === undefined ? {} : { stale: staleBody(stale) }),
    }));
    const components = [
      ...(parts ?? []),
      ...(builds === undefined ? [] : [{ component: 'build-service', ready: builds.isReady() }]),
    ];
    const listed = components.length === 0 ? {} : { components };
    return c.json({ status: 'ok' as const, ...listed, ...(outages.length === 0 ? {} : { outages }) }, 200);
  });
  return routes;
}

/** The index below the prefix, wrapped as Nublado wraps it. */
export function indexRoute({ version }: AppDeps): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  routes.openapi(getIndex, (c) => c.json({ metadata: metadata(version) }, 200));
  return routes;
}

/**
 * The description of the API, for programs and for people.
 *
 * @param document makes it; called when first asked for, once every route is known
 */
export function documentRoutes(
  { openApi, docs }: typeof rootDocument,
  document: () => OpenApiDocument,
): OpenAPIHono<AppEnv> {
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  routes.openapi(openApi, (c) => c.json(document() as unknown as Record<string, unknown>, 200));
  routes.openapi(docs, (c) => c.body(docsPage(document()), 200, pageHeaders({ style: DOCS_STYLE })));
  return routes;
}

/** What every description begins with. */
export function documentHead({ version, config }: AppDeps) {
  return {
    openapi: '3.1.0',
    info: { title: 'Labwright', version, description: DESCRIPTION },
    servers: [{ url: config.baseUrl }],
  };
}

function metadata(version: string): z.output<typeof Metadata> {
  return { name: 'Labwright', version, description: DESCRIPTION };
}
