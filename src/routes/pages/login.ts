import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import { CSRF_FIELD, requireCsrfToken } from '../../auth/login/csrf.ts';
import type { People } from '../../auth/jupyterhub/service.ts';
import { publicAddress } from '../../auth/login/cookie.ts';
import type { Config } from '../../config/index.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { type AppEnv, authRequest } from '../server/context.ts';
import { refuseInvalid } from '../server/errors.ts';
import { messagePage, PEOPLE_HEADERS } from './login-page.ts';
import { FORM_TYPE, forPeople, pageForm, preceded } from './login-requests.ts';
import { open } from '../server/permissions.ts';
import { page, refusal } from '../server/responses.ts';

export interface LoginRoutesDeps {
  readonly config: Pick<Config, 'baseUrl' | 'pathPrefix'>;
  /** Absent where nobody can log in: the routes then say so. */
  readonly people: People | undefined;
}

const LogoutForm = z.object({ [CSRF_FIELD]: z.string().optional() });
const NO_STORE = { 'Cache-Control': 'no-store' };

/**
 * How people with a browser log in, through the hub, and out again. To be mounted at the path prefix.
 *
 * Logging out ends the session here. The hub is not told: a service cannot revoke a user's token there with what it may do
 * otherwise. Logging out of the hub ends both, since the hub then revokes the tokens of that login; the page says so.
 */
export function loginRoutes({ config, people }: LoginRoutesDeps): OpenAPIHono<AppEnv> {
  const address = publicAddress(config);
  const routes = new OpenAPIHono<AppEnv>({ defaultHook: refuseInvalid });
  const pages = forPeople({ address, pathPrefix: config.pathPrefix, canLogIn: people !== undefined });

  const logIn = createRoute({
    ...preceded(open('logIn'), pages),
    method: 'get',
    path: '/login',
    summary: 'Log in with a browser',
    request: { query: z.object({ next: z.string().optional().meta({ description: 'Page to go to afterwards.' }) }) },
    responses: {
      303: { description: 'To the hub' },
      404: refusal('Nobody can log in here'),
      502: refusal('The hub does not answer'),
      503: refusal('The keys of sessions cannot be read'),
    },
  });
  const finishLogin = createRoute({
    ...preceded(open('finishLogin'), pages),
    method: 'get',
    path: '/oauth_callback',
    summary: 'Where the hub sends a browser back that logs in',
    responses: {
      303: { description: 'To the page that was asked for, with a session' },
      400: refusal('No such login is under way'),
      403: refusal('The hub does not allow it, or gives no role here'),
      404: refusal('Nobody can log in here'),
      502: refusal('The hub does not answer'),
      503: refusal('The keys of sessions cannot be read'),
    },
  });
  const logOut = createRoute({
    ...preceded(open('logOut'), pages, ...pageForm(address)),
    method: 'post',
    path: '/logout',
    summary: 'End a session',
    request: { body: { required: true, content: { [FORM_TYPE]: { schema: LogoutForm } } } },
    responses: {
      200: page('It has ended'),
      403: refusal('The request does not come from a page of the session'),
      404: refusal('Nobody can log in here'),
      503: refusal('The keys of sessions cannot be read'),
    },
  });

  routes.openapi(logIn, async (c) => {
    const { location, cookies } = await loginOf(people).login.begin(c.req.valid('query').next);
    return redirect(location, cookies);
  });

  routes.openapi(finishLogin, async (c) => {
    const { login } = loginOf(people);
    // It is over, however it ends.
    c.header('Set-Cookie', login.forget(), { append: true });
    const { location, cookies, who } = await login.finish(new URL(c.req.url).searchParams, authRequest(c));
    c.var.logger.info({ caller: who.subject, role: who.role }, 'logged in');
    return redirect(location, [login.forget(), ...cookies]);
  });

  routes.openapi(logOut, async (c) => {
    const { sessions } = loginOf(people);
    const request = authRequest(c);
    const session = await sessions.find(request);
    if (session !== undefined) requireCsrfToken(request, session.csrfToken);
    c.header('Set-Cookie', sessions.end(session), { append: true });
    return c.body(loggedOut(config.baseUrl, address.path), 200, PEOPLE_HEADERS);
  });

  return routes;
}

function loginOf(people: People | undefined): People {
  if (people === undefined) throw new LabwrightError('not_found', 404, 'Logging in with a browser is not set up here');
  return people;
}

function redirect(location: string, cookies: readonly string[]): Response {
  const headers = new Headers({ ...NO_STORE, Location: location });
  for (const cookie of cookies) headers.append('Set-Cookie', cookie);
  return new Response(null, { status: 303, headers });
}

function loggedOut(baseUrl: string, path: string): string {
  return messagePage({
    title: 'You are logged out',
    text: 'The session in this browser has ended. You may still be logged in at JupyterHub, and get a new session from there without being asked.',
    links: [
      { href: `${baseUrl}/hub/logout`, text: 'Log out of JupyterHub as well' },
      { href: `${path}/login`, text: 'Log in again' },
    ],
  });
}
