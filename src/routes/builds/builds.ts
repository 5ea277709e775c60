import { OpenAPIHono } from '@hono/zod-openapi';
import type { BuildEvent, BuildState as DomainBuildState, ResolvedRepository } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { parseRepository } from '../../domain/git/repository.ts';
import { actsFor, readyBuilds, requesterOf, requireActsFor, requireRequester } from './build-access.ts';
import { cancelBuild, createBuild, followBuild, getBuild, getBuildLog, listBuilds } from './build-contract.ts';
import { noBuilds, reading, unknownBuild } from './build-errors.ts';
import { BUILD_EVENTS } from './build-events.ts';
import { pageOf } from './build-list.ts';
import { LOG_LINES } from './build-log-text.ts';
import { readTarget } from './build-request.ts';
import { buildState } from './build-state.ts';
import type { AppContext, AppEnv } from '../server/context.ts';
import type { AppDeps } from '../server/deps.ts';
import { refuseInvalid } from '../server/errors.ts';
import { markStale } from '../server/staleness.ts';
import { publicUrl } from '../server/public-url.ts';
import { pulledStream, STREAM_HEADERS, type StreamFormat, type StreamSource } from '../server/streams/pulled-stream.ts';

const EVENT_ID_LENGTH = 256;
const isOver = ({ phase }: DomainBuildState) => phase === 'ready' || phase === 'failed' || phase === 'cancelled';

/**
 * Everything about builds, to be mounted at `{prefix}/builds/v1`. Where no builds are configured, the routes say so.
 *
 * Users list and cancel what they asked for. They may look at any build whose id they have: it is a digest of 160 bits over
 * the commit and the configuration, which only those are told who may ask for the same build.
 *
 * @param isTrusted whether an address may say under which host the caller knows us
 */
export function buildRoutes(deps: AppDeps, isTrusted: (address: string | undefined) => boolean): OpenAPIHono<AppEnv> {
  const { config } = deps;
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  const hosts = () => {
    if (config.builds === undefined) throw noBuilds();
    return config.builds.repositories;
  };
  const stateFor = (c: AppContext, state: DomainBuildState, asked?: ResolvedRepository) =>
    buildState(
      state,
      (username) => username === requesterOf(c.var.identity) || actsFor(c.var.identity, username),
      asked,
    );

  routes.openapi(createBuild, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const body = c.req.valid('json');
    const { identity } = c.var;
    const username = body.username ?? requesterOf(identity);
    c.set('action', { operation: 'createBuild', username });
    requireActsFor(identity, username);
    const target = readTarget(body, hosts());
    const state = await builds.request({ ...target, username, detached: body.detached }, c.req.raw.signal);
    c.header('Location', `${publicUrl(c, config, isTrusted)}/builds/v1/builds/${state.spec.id}`);
    return c.json(stateFor(c, state, state.asked), state.began ? 201 : 200);
  });

  routes.openapi(listBuilds, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const { user, repository, phase, limit, after } = c.req.valid('query');
    const { identity } = c.var;
    const username = user ?? (identity.role === 'user' ? requesterOf(identity) : undefined);
    if (username !== undefined) requireActsFor(identity, username);
    const url =
      repository === undefined
        ? undefined
        : reading(['query', 'repository'], () => parseRepository(repository, hosts())).url;
    markStale(c, builds.staleness);
    const page = pageOf(builds.list({ username, repository: url, phase }), limit, after);
    return c.json({ builds: page.builds.map((state) => stateFor(c, state)), next: page.next }, 200);
  });

  routes.openapi(getBuild, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const state = await builds.find(c.req.valid('param').id, c.req.raw.signal);
    markStale(c, builds.staleness);
    if (state === undefined) throw unknownBuild();
    return c.json(stateFor(c, state), 200);
  });

  routes.openapi(cancelBuild, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const { id } = c.req.valid('param');
    const state = await builds.find(id, c.req.raw.signal);
    if (state === undefined) throw unknownBuild();
    c.set('action', { operation: 'cancelBuild', username: state.spec.requestedBy });
    requireRequester(c.var.identity, state);
    await builds.cancel(id, requesterOf(c.var.identity)).catch((error: unknown) => {
      throw error instanceof LabwrightError && error.code === 'unknown_build' ? unknownBuild(error) : error;
    });
    return c.body(null, isOver(state) ? 204 : 202);
  });

  routes.openapi(followBuild, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const { id } = c.req.valid('param');
    const sent = c.req.header('last-event-id');
    const after = sent !== undefined && sent.length <= EVENT_ID_LENGTH ? sent : undefined;
    if ((await builds.find(id, c.req.raw.signal)) === undefined) throw unknownBuild();
    const stream = streamOf<BuildEvent>(c, id, (signal) => builds.events(id, after, signal), BUILD_EVENTS);
    // Now or never: once a stream is open its status can no longer say so.
    if (stream === undefined) throw unknownBuild();
    return c.body(stream, 200, STREAM_HEADERS);
  });

  routes.openapi(getBuildLog, async (c) => {
    const builds = await readyBuilds(deps.builds);
    const { id } = c.req.valid('param');
    const gone = new AbortController();
    const lines = await builds.log(id, gone.signal);
    if (lines === undefined) throw unknownBuild();
    // Nobody will read them.
    if (c.req.raw.method === 'HEAD') gone.abort();
    const open = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => gone.abort(signal.reason), { once: true });
      return lines;
    };
    return c.body(streamOf(c, id, open, LOG_LINES) ?? '', 200, {
      'Content-Type': 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
  });

  function streamOf<Item>(c: AppContext, build: string, open: StreamSource<Item>['open'], format: StreamFormat<Item>) {
    const source: StreamSource<Item> = {
      open,
      stopping: deps.stopping,
      onError: (err) => c.var.logger.error({ err, build }, 'stream of a build failed'),
      ...(deps.keepAliveMs === undefined ? {} : { keepAliveMs: deps.keepAliveMs }),
    };
    return pulledStream(source, format);
  }

  return routes;
}
