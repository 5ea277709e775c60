import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { canary } from '../support/canary.ts';

/** What the hub knows of a user. */
export interface HubUser {
  readonly groups?: readonly string[];
  readonly admin?: boolean;
}

/**
 * As much of JupyterHub's API as `jupyterhub-singleuser` needs to start and to let its owner in, and Labwright to know the users.
 */
export interface FakeHub {
  /** `http://HOST:PORT/hub/api` */
  readonly apiUrl: string;
  /** What a hub would put into the lab's environment. */
  environment(username: string): Record<string, string>;
  /** Token of Labwright as a service of this hub, which may read user models. */
  readonly serviceToken: string;
  /** The token that opens this user's lab. */
  tokenOf(username: string): string;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

const VERSION = '6.1.0';
/** What every token begins with; the user's name follows. */
const TOKEN = canary('token-of-');

/**
 * Starts the fake hub on an address that pods reach.
 *
 * @param users those that it knows more of than their names
 */
export async function startFakeHub(host: string, users: Readonly<Record<string, HubUser>> = {}): Promise<FakeHub> {
  const requests: string[] = [];
  const serviceToken = canary(randomBytes(16).toString('hex'));
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    answer(request, response, { serviceToken, users });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const apiUrl = `http://${host}:${(server.address() as AddressInfo).port}/hub/api`;
  return {
    apiUrl,
    serviceToken,
    tokenOf,
    requests,
    environment: (username) => ({
      JUPYTERHUB_API_TOKEN: tokenOf(username),
      JUPYTERHUB_API_URL: apiUrl,
      JUPYTERHUB_ACTIVITY_URL: `${apiUrl}/users/${username}/activity`,
      JUPYTERHUB_BASE_URL: '/',
      JUPYTERHUB_CLIENT_ID: `jupyterhub-user-${username}`,
      JUPYTERHUB_HOST: '',
      JUPYTERHUB_OAUTH_CALLBACK_URL: `/user/${username}/oauth_callback`,
      JUPYTERHUB_OAUTH_SCOPES: '["access:servers"]',
      JUPYTERHUB_SERVER_NAME: '',
      JUPYTERHUB_SERVICE_URL: `http://0.0.0.0:8888/user/${username}/`,
    }),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function tokenOf(username: string): string {
  return `${TOKEN}${username}`;
}

interface Known {
  readonly serviceToken: string;
  readonly users: Readonly<Record<string, HubUser>>;
}

function answer(request: IncomingMessage, response: ServerResponse, { serviceToken, users }: Known): void {
  const { pathname } = new URL(request.url ?? '/', 'http://hub');
  const token = /^(?:token|bearer) (\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const json = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-jupyterhub-version': VERSION });
    response.end(JSON.stringify(body));
  };
  const username = token.startsWith(TOKEN) ? token.slice(TOKEN.length) : undefined;
  const modelOf = (name: string) => ({ kind: 'user', name, admin: false, groups: [], ...users[name] });
  const asked = /^\/hub\/api\/users\/([^/]+)$/.exec(pathname)?.[1];
  if (/^\/hub\/api\/?$/.test(pathname)) json(200, { version: VERSION });
  else if (token === serviceToken && asked !== undefined) json(200, modelOf(decodeURIComponent(asked)));
  else if (username === undefined) json(403, { status: 403, message: 'Missing or invalid credentials' });
  else if (pathname === '/hub/api/user') {
    const scopes = [`access:servers!user=${username}`, 'access:servers'];
    json(200, { ...modelOf(username), scopes });
  } else if (pathname.endsWith('/activity')) json(200, {});
  else json(404, { status: 404, message: 'Not found' });
}
