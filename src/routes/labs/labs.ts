import { OpenAPIHono } from '@hono/zod-openapi';
import type { Logger } from 'pino';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabKey } from '../../domain/lab/lab.ts';
import type { AppContext, AppEnv } from '../server/context.ts';
import type { WithImages } from '../server/deps.ts';
import { refuseInvalid } from '../server/errors.ts';
import { eventStream } from './lab-event-stream.ts';
import { defaultLab, getUserStatus, listLabs, namedLab } from './lab-contract.ts';
import type { LabSpecification } from './lab-specification.ts';
import { detailedLabState, labState } from './lab-state.ts';
import { markStale } from '../server/staleness.ts';
import { labPath, publicUrl } from '../server/public-url.ts';
import { STREAM_HEADERS } from '../server/streams/pulled-stream.ts';
import { offeringConfig } from './offered-config.ts';
import { resolveLab } from './resolve-lab.ts';

const EVENT_ID_LENGTH = 256;

/**
 * Everything about labs. The paths are Nublado's, with named servers below them.
 *
 * Every handler first waits until the cluster has been read, and until this replica knows what another one has just answered:
 * before that, a 404 would make the hub drop a server that is alive.
 *
 * @param isTrusted whether an address may say under which host the caller knows us
 */
export function labRoutes(deps: WithImages, isTrusted: (address: string | undefined) => boolean): OpenAPIHono<AppEnv> {
  const { labs, config, images } = deps;
  const offering = offeringConfig(config, () => images.offered());
  const { users } = deps.identification;
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });

  routes.openapi(listLabs, async (c) => {
    await labs.ready();
    const { staleness } = labs;
    markStale(c, staleness);
    if (!c.req.valid('query').detail) return c.json(labs.runningUsers(), 200);
    return c.json(
      labs.list().map((state) => detailedLabState(state, staleness)),
      200,
    );
  });

  routes.openapi(getUserStatus, async (c) => {
    const username = c.var.identity.username ?? '';
    const key = { username, servername: '' };
    await labs.ready(key);
    const state = labs.get(key);
    markStale(c, labs.staleness);
    if (state === undefined) throw new LabwrightError('unknown_user', 404, `Unknown user ${username}`);
    return c.json(labState(state), 200);
  });

  for (const { get, create, delete: remove, follow } of [defaultLab, namedLab]) {
    routes.openapi(get, async (c) => {
      const key = c.req.valid('param');
      await labs.ready(key);
      const state = labs.get(key);
      const { staleness } = labs;
      markStale(c, staleness);
      if (state === undefined) throw unknownLab(key);
      return c.json(c.req.valid('query').detail ? detailedLabState(state, staleness) : labState(state), 200);
    });

    routes.openapi(create, async (c) => {
      const key = c.req.valid('param');
      // Not for this lab: whether there is one already is for the API server to say.
      await labs.ready();
      await labs.create(await readLab(c, key, c.req.valid('json')));
      c.header('Location', `${publicUrl(c, config, isTrusted)}${labPath(key)}`);
      return c.json(null, 201);
    });

    routes.openapi(remove, async (c) => {
      const key = c.req.valid('param');
      const { force } = c.req.valid('query');
      if (force && c.var.identity.role !== 'admin') {
        const message = 'Only administrators delete by force: what still runs may write to the volumes of the next lab';
        throw new LabwrightError('permission_denied', 403, message, {
          loc: ['query', 'force'],
        });
      }
      await labs.ready(key);
      await labs.delete(key, { force }).catch((error: unknown) => {
        throw error instanceof LabwrightError && error.code === 'unknown_user' ? unknownLab(key, error) : error;
      });
      return c.body(null, 204);
    });

    routes.openapi(follow, async (c) => {
      const key = c.req.valid('param');
      await labs.ready(key);
      const stream = readEvents(key, c.req.header('last-event-id'), c.var.logger);
      // Now or never: once a stream is open its status can no longer say so.
      if (stream === undefined) throw unknownLab(key);
      return c.body(stream, 200, STREAM_HEADERS);
    });
  }

  async function readLab(c: AppContext, key: LabKey, specification: LabSpecification) {
    const { identity } = c.var;
    const user = await users.find(key.username, identity);
    const { token, factsMissing } = identity;
    const lab = resolveLab(offering(), { key, user, specification, token, factsMissing });
    const image = await images.pin(lab.image, c.req.raw.signal);
    return lab.source === undefined ? { ...lab, image, options: { ...lab.options, image: image.reference } } : lab;
  }

  function readEvents(key: LabKey, lastEventId: string | undefined, logger: Logger) {
    const after = lastEventId !== undefined && lastEventId.length <= EVENT_ID_LENGTH ? lastEventId : undefined;
    return eventStream({
      open: (signal) => labs.events(key, after, signal),
      stopping: deps.stopping,
      onError: (err) => logger.error({ err, ...key }, 'event stream failed'),
      ...(deps.keepAliveMs === undefined ? {} : { keepAliveMs: deps.keepAliveMs }),
    });
  }

  return routes;
}

function unknownLab({ username, servername }: LabKey, cause?: unknown): LabwrightError {
  const [message, last] =
    servername === ''
      ? [`Unknown user ${username}`, 'username']
      : [`Unknown server ${servername} of user ${username}`, 'server'];
  return new LabwrightError('unknown_user', 404, message, { loc: ['path', last], cause });
}
