import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { hasAuthorization } from '../../auth/bearer.ts';
import { CSRF_HEADER } from '../../auth/login/csrf.ts';
import type { BuildService, RequestedState } from '../../reconcile/builds/build-service.ts';
import { noticeOf } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { parseBinderSpec } from '../../domain/git/repository.ts';
import { accepts } from '../server/accept.ts';
import {
  BINDER_EVENTS,
  type BinderEvent,
  BinderEventFrame,
  binderEvents,
  binderFrame,
  foundEvent,
  refusedEvent,
} from './binder-events.ts';
import { inBinderWords, refusalOf } from './binder-refusals.ts';
import { readyBuilds, requesterOf } from '../builds/build-access.ts';
import { ALWAYS_200 } from '../server/documented-refusals.ts';
import { events } from '../server/responses.ts';
import { noBuilds, reading } from '../builds/build-errors.ts';
import { type AppContext, type AppEnv, authRequest, headerValues } from '../server/context.ts';
import type { AppDeps } from '../server/deps.ts';
import { handleError, refuseInvalid } from '../server/errors.ts';
import { open, secured } from '../server/permissions.ts';
import { pulledStream, STREAM_HEADERS } from '../server/streams/pulled-stream.ts';
import { limitStreams } from '../server/requests/rate-limit.ts';

const PATH = '/build/{provider}/{spec}';
/** A specification has slashes in it, and so have the refs at its end. */
const ROUTED = '/build/:provider/:spec{.+}';
const PROVIDERS: ReadonlySet<string> = new Set(['gh', 'gl', 'git', 'gist', 'zenodo']);
const PROVIDER_NAME = /^[a-z]{1,20}$/i;

const CORS = { 'Access-Control-Allow-Headers': 'cache-control' };
const HEADERS = { ...STREAM_HEADERS, ...CORS, 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' };

const params = z.object({
  provider: z.string().meta({ enum: [...PROVIDERS], example: 'gh' }),
  spec: z.string().meta({ description: 'With its slashes as they are.', example: 'ada/notebooks/main' }),
});

const streamBuild = createRoute({
  ...secured('streamBuild', limitStreams),
  tags: [ALWAYS_200],
  method: 'get',
  path: PATH,
  summary: 'Ask for the image of a repository and follow how it is built, as at a BinderHub',
  description:
    'Whoever asks must accept `text/event-stream`. The status is 200 whatever there is to say: a refusal, also of who is ' +
    'not known, is one event with the phase `failed` and a `status_code`.',
  request: {
    params,
    query: z.object({ build_only: z.string().optional().meta({ description: 'Must be `true`.' }) }),
  },
  responses: { 200: events(BinderEventFrame) },
});

const preflightBuild = createRoute({
  ...open('preflightBuild'),
  tags: [ALWAYS_200],
  method: 'options',
  path: PATH,
  summary: 'Which headers scripts may send there',
  request: { params },
  responses: { 200: { description: 'They are in the headers of the answer' } },
});

/**
 * The build stream of BinderHub, for its clients: one request asks for the image and follows the build. To be mounted at
 * the path prefix.
 */
export function binderRoutes(deps: AppDeps): OpenAPIHono<AppEnv> {
  const { config } = deps;
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });

  routes.onError((error, c) => {
    const { status, message } = refusalOf(error, handleError(error, c).status);
    // In place of the status that the answer does not have.
    c.set('outcome', status);
    c.header('WWW-Authenticate', undefined);
    return c.body(binderFrame(refusedEvent(status, message)), 200, HEADERS);
  });

  async function stream(c: AppContext): Promise<Response> {
    requireOwnWill(c);
    const builds = await readyBuilds(deps.builds);
    if (!accepts(headerValues(c, 'accept').join(',') || undefined, 'text/event-stream')) {
      throw new LabwrightError('invalid_request', 400, 'Missing Accept header: text/event-stream');
    }
    if (c.req.query('build_only')?.toLowerCase() !== 'true') {
      throw new LabwrightError('invalid_request', 400, 'Launching is not possible here: ask with build_only=true');
    }
    const { repository, ref } = readSpec(c);
    // Who asks for the headers alone does not ask for a build.
    if (c.req.raw.method === 'HEAD') return c.body(null, 200, HEADERS);
    const request = { repository, ref, path: '', username: requesterOf(c.var.identity), detached: false };
    const state = await builds.request(request, c.req.raw.signal).catch((error: unknown) => {
      throw inBinderWords(error, repository, ref);
    });
    if (state.phase === 'ready')
      return c.body(binderFrame(foundEvent(state, noticeOf(state.asked ?? state.spec.repository))), 200, HEADERS);
    return c.body(follow(c, builds, state), 200, HEADERS);
  }

  /** Provider and specification as they were sent: a slash that is escaped is another than one that is not. */
  function readSpec(c: AppContext) {
    if (config.builds === undefined) throw noBuilds();
    const [provider = '', ...spec] = c.req.path.slice(`${config.pathPrefix}/build/`.length).split('/');
    if (!PROVIDERS.has(provider)) {
      const name = PROVIDER_NAME.test(provider) ? provider : 'in this address';
      throw new LabwrightError('invalid_repository', 404, `No provider found for prefix ${name}`);
    }
    const { repositories } = config.builds;
    return reading(['path', 'spec'], () => parseBinderSpec(provider, spec.join('/').replace(/\/+$/, ''), repositories));
  }

  function follow(
    c: AppContext,
    builds: BuildService,
    { spec: { id, repository }, asked = repository }: RequestedState,
  ) {
    const stream = pulledStream<BinderEvent>(
      {
        open(signal) {
          const events = builds.events(id, undefined, signal);
          return events === undefined ? undefined : binderEvents(id, events, noticeOf(asked));
        },
        stopping: deps.stopping,
        onError: (err) => c.var.logger.error({ err, build: id }, 'stream of a build failed'),
        ...(deps.keepAliveMs === undefined ? {} : { keepAliveMs: deps.keepAliveMs }),
      },
      BINDER_EVENTS,
    );
    if (stream === undefined) throw new Error('a build that was asked for is not known');
    return stream;
  }

  const { middleware, ...described } = streamBuild;
  routes.openAPIRegistry.registerPath(described);
  routes.get(ROUTED, ...(middleware as [MiddlewareHandler<AppEnv>]), stream);
  const { middleware: limits, ...preflight } = preflightBuild;
  routes.openAPIRegistry.registerPath(preflight);
  routes.options(ROUTED, ...(limits as [MiddlewareHandler<AppEnv>]), (c) => c.body(null, 200, CORS));
  return routes;
}

/**
 * It is a GET that begins something. A browser sends cookies, and a proxy in front adds who is logged in, whichever page
 * asks for it: without a credential of the request's own it has to come from a page of ours. Over plain HTTP browsers do
 * not say from which page it comes; then a cookie is enough only with a header that no other site's page can send.
 */
function requireOwnWill(c: AppContext): void {
  const sites = headerValues(c, 'sec-fetch-site');
  if (hasAuthorization(authRequest(c))) return;
  const isTold = sites.length > 0 || headerValues(c, 'cookie').length === 0 || headerValues(c, CSRF_HEADER).length > 0;
  if (isTold && sites.every((site) => site === 'same-origin')) return;
  throw new LabwrightError('permission_denied', 403, 'The request comes from a page of another site');
}
