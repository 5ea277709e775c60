import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'vitest';
import { until } from '../../reconcile/support/until.ts';

const COMMAND = process.env.JUPYTERHUB ?? 'jupyterhub';
const PATIENCE_MS = 60_000;

function version(): string | undefined {
  try {
    return execFileSync(COMMAND, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

const found = version();
if (found === undefined) {
  process.stderr.write(
    '\nNOT RUN: the tests on a real JupyterHub. Put jupyterhub on the PATH, or its path in JUPYTERHUB.\n',
  );
}

/** `describe` for tests that ask a real JupyterHub. Where there is none the run reports them as not run. */
export const describeWithHub: typeof describe = found === undefined ? (describe.skip as never) : describe;

/** Credentials of the hub's configuration. */
export const TOKENS = { service: 'canary-of-the-service', spawner: 'canary-of-the-spawner', root: 'canary-of-root' };
export const PASSWORD = 'canary-password';

/** A JupyterHub from PyPI with its proxy, as processes on loopback addresses. It can start no servers. */
export class RealHub {
  /** Where browsers find it. */
  readonly url: string;
  readonly apiUrl: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, url: string) {
    this.#process = child;
    // A run that is broken off leaves no hub behind.
    process.once('exit', () => child.kill());
    this.#folder = folder;
    this.url = url;
    this.apiUrl = `${url}/hub/api`;
  }

  /** @param redirectUri where the hub sends a browser back that logs in at the service */
  static async start(redirectUri: string): Promise<RealHub> {
    const [port, hubPort, proxyPort] = await freePorts(3);
    const folder = await mkdtemp(join(tmpdir(), 'labwright-hub-'));
    const url = `http://127.0.0.1:${String(port)}`;
    await writeFile(join(folder, 'config.py'), configuration({ url, hubPort, proxyPort, redirectUri, folder }));
    const env = { ...process.env, JUPYTERHUB_CRYPT_KEY: '0'.repeat(64), CONFIGPROXY_AUTH_TOKEN: 'canary-of-the-proxy' };
    const child = spawn(COMMAND, ['-f', join(folder, 'config.py')], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (log += text.toString()));
    const hub = new RealHub(child, folder, url);
    try {
      await until('the hub answers', () => hub.#isUp(log), PATIENCE_MS);
    } catch (cause) {
      await hub.close();
      throw new Error(log, { cause });
    }
    return hub;
  }

  /** Calls the API as the administrators' service. */
  async call(method: string, path: string, body?: object): Promise<{ status: number; body: unknown }> {
    const answer = await fetch(`${this.apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKENS.root}`, connection: 'close' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** Ends the hub, and with it its proxy. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, 'close');
      this.#process.kill('SIGTERM');
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #isUp(log: string): Promise<boolean> {
    if (this.#process.exitCode !== null) throw new Error(`the hub has ended: ${log}`);
    try {
      return (await this.call('GET', '/')).status === 200;
    } catch {
      return false;
    }
  }
}

async function freePorts(number: number): Promise<number[]> {
  const servers = Array.from({ length: number }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

interface Settings {
  readonly url: string;
  readonly hubPort: number | undefined;
  readonly proxyPort: number | undefined;
  readonly redirectUri: string;
  readonly folder: string;
}

function configuration({ url, hubPort, proxyPort, redirectUri, folder }: Settings): string {
  const proxy = [
    process.execPath,
    join(import.meta.dirname, '../../../node_modules/configurable-http-proxy/bin/configurable-http-proxy'),
  ];
  return `
from jupyterhub.auth import DummyAuthenticator

class Authenticator(DummyAuthenticator):
    async def authenticate(self, handler, data):
        name = await super().authenticate(handler, data)
        return name and {"name": name, "auth_state": {"uid": 1001, "gid": 100, "home": "/home/" + name}}

c = get_config()
c.JupyterHub.authenticator_class = Authenticator
c.Authenticator.enable_auth_state = True
c.Authenticator.allow_all = True
c.DummyAuthenticator.password = ${JSON.stringify(PASSWORD)}
c.JupyterHub.bind_url = ${JSON.stringify(url)}
c.JupyterHub.hub_bind_url = "http://127.0.0.1:${String(hubPort)}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:${String(proxyPort)}"
c.ConfigurableHTTPProxy.command = ${JSON.stringify(proxy)}
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.cookie_secret = b"0" * 32
c.ConfigurableHTTPProxy.pid_file = ${JSON.stringify(join(folder, 'proxy.pid'))}
c.JupyterHub.load_groups = {"astronomers": {"users": ["ada"]}}
c.JupyterHub.custom_scopes = {
    "custom:labwright:hub": {"description": "Act for any user at Labwright"},
    "custom:labwright:admin": {"description": "Administer Labwright"},
}
c.JupyterHub.services = [
    {
        "name": "labwright",
        "api_token": ${JSON.stringify(TOKENS.service)},
        "oauth_client_id": "service-labwright",
        "oauth_redirect_uri": ${JSON.stringify(redirectUri)},
        "oauth_no_confirm": True,
    },
    {"name": "spawner", "api_token": ${JSON.stringify(TOKENS.spawner)}},
    {"name": "root", "api_token": ${JSON.stringify(TOKENS.root)}, "admin": True},
]
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "access:services!service=labwright"]},
    {"name": "labwright", "services": ["labwright"], "scopes": ["read:users", "admin:auth_state"]},
    {"name": "spawner", "services": ["spawner"], "scopes": ["custom:labwright:hub"]},
    {"name": "administrators", "users": ["grace"], "scopes": ["custom:labwright:admin"]},
]
`;
}
