import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Logger } from 'pino';
import type { People } from '../../auth/jupyterhub/service.ts';
import { publicAddress } from '../../auth/login/cookie.ts';
import type { Config } from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import type { LabKey } from '../../domain/lab/lab.ts';
import type { LabService } from '../../reconcile/labs/lab-service.ts';
import { accountPage } from './account-page.ts';
import { type AppContext, type AppEnv, authRequest, headerValues } from '../server/context.ts';
import { identityName, refuseInvalid } from '../server/errors.ts';
import { PEOPLE_HEADERS } from './login-page.ts';
import { FORM_TYPE, forPeople, pageForm, preceded } from './login-requests.ts';
import { secured } from '../server/permissions.ts';
import { page, refusal } from '../server/responses.ts';

export interface AccountRoutesDeps {
  readonly labs: LabService;
  readonly config: Pick<Config, 'baseUrl' | 'pathPrefix'>;
  /** Absent where nobody can log in: the page is then for those who come with another credential. */
  readonly people: People | undefined;
  /** How long a person who stops a lab waits for the end of it, in milliseconds. */
  readonly stopWaitMs?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const STOP_WAIT_MS = 3_000;
const StopForm = z.object({
  server: z.union([z.literal(''), identityName], { error: 'Value error, not a name' }),
});

/** The page where people see their labs, and stop them. To be mounted at the path prefix. */
export function accountRoutes(deps: AccountRoutesDeps): OpenAPIHono<AppEnv> {
  const { labs, config, people, stopWaitMs = STOP_WAIT_MS, now = Date.now } = deps;
  const address = publicAddress(config);
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  const pages = forPeople({ address, pathPrefix: config.pathPrefix, canLogIn: people !== undefined });

  const getAccount = createRoute({
    ...preceded(secured('getAccount'), pages),
    method: 'get',
    path: '/account',
    summary: 'The labs of the caller, as a page',
    responses: {
      200: page('The page'),
      303: { description: 'To the login, for browsers' },
    },
  });
  const stopOwnLab = createRoute({
    ...preceded(secured('stopOwnLab'), pages, ...pageForm(address)),
    method: 'post',
    path: '/account/stop',
    summary: 'Stop a lab of the caller, from the page',
    request: { body: { required: true, content: { [FORM_TYPE]: { schema: StopForm } } } },
    responses: {
      303: { description: 'To the page' },
      403: refusal('Not allowed, or not from the page'),
      500: refusal('It could not be stopped'),
    },
  });

  routes.openapi(getAccount, async (c) => {
    requireDocument(c);
    await labs.ready();
    const username = c.var.identity.username ?? '';
    const session = await people?.sessions.find(authRequest(c));
    const body = accountPage({
      username,
      labs: labs.list().filter(({ spec }) => spec.user.username === username),
      csrfToken: c.var.identity.provider === 'session' ? (session?.csrfToken ?? null) : null,
      path: address.path,
      baseUrl: config.baseUrl,
      now: now(),
    });
    return c.body(body, 200, PEOPLE_HEADERS);
  });

  routes.openapi(stopOwnLab, async (c) => {
    const key = { username: c.var.identity.username ?? '', servername: c.req.valid('form').server };
    c.set('action', { operation: 'stopOwnLab', username: key.username, server: key.servername });
    await labs.ready(key);
    await stop(key, c.var.logger);
    c.header('Cache-Control', 'no-store');
    return c.redirect(`${address.path}/account`, 303);
  });

  /** Waits for a moment: the rest is seen on the page, which says how it goes. */
  async function stop(key: LabKey, logger: Logger): Promise<void> {
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, stopWaitMs);
    let isWaiting = true;
    const stopped = labs.delete(key).catch((error: unknown) => {
      // Gone already is what was wanted.
      if (error instanceof LabwrightError && error.code === 'unknown_user') return;
      if (isWaiting) throw error;
      logger.warn({ err: error, ...key }, 'a lab that was stopped from the page does not end');
    });
    try {
      await Promise.race([stopped, enough]);
    } finally {
      isWaiting = false;
      clearTimeout(timer);
    }
  }

  return routes;
}

/**
 * The page holds the session's CSRF token. Labs may have the same origin as we, and run whatever their users want: their
 * scripts can ask for the page with its visitor's cookies, but cannot say that a person goes there.
 */
function requireDocument(c: AppContext): void {
  const [destination = 'document', ...others] = headerValues(c, 'sec-fetch-dest');
  if (c.var.identity.provider !== 'session' || (destination === 'document' && others.length === 0)) return;
  throw new LabwrightError('permission_denied', 403, 'This page is for people, not for scripts and frames');
}
