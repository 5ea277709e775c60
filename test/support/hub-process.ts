import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';
import { cpuOf, LoggedProcess, readLog } from './logged-process.ts';

export interface HubOptions {
  /** The program `jupyterhub`. */
  readonly program: string;
  /** Address of Labwright, with its path prefix. */
  readonly controllerUrl: string;
  /** The hub's credential for it. */
  readonly controllerToken: string;
  /** Further lines of the hub's configuration. */
  readonly config?: string;
  /** Further environment of the hub. */
  readonly env?: Readonly<Record<string, string>>;
  /** Address to listen on, default 127.0.0.1. */
  readonly host?: string;
}

const ROOT = join(import.meta.dirname, '../..');
const START_MS = 120_000;
/** How long the hub may take over one answer; it is asked again. */
const ANSWER_MS = 10_000;

/**
 * A real JupyterHub with its proxy, as processes of their own: with Labwright's spawner, any password, and a service token
 * that may do everything with users and servers. It can be killed and started again, and then remembers.
 */
export class HubProcess {
  /** Address of the proxy. */
  readonly url: string;
  /** Credential for the hub's REST API. */
  readonly token = randomBytes(16).toString('hex');
  readonly #folder: string;
  readonly #options: HubOptions;
  readonly #proxy: LoggedProcess;
  #hub: LoggedProcess | undefined;

  static async prepare(options: HubOptions): Promise<HubProcess> {
    return new HubProcess(options, [await freePort(), await freePort(), await freePort()]);
  }

  private constructor(options: HubOptions, [port, apiPort, hubPort]: readonly [number, number, number]) {
    const host = options.host ?? '127.0.0.1';
    this.#options = options;
    this.#folder = mkdtempSync(join(tmpdir(), 'labwright-hub-'));
    this.url = `http://${host}:${String(port)}`;
    const secret = randomBytes(32).toString('hex');
    writeFileSync(join(this.#folder, 'token'), options.controllerToken, { mode: 0o600 });
    writeFileSync(join(this.#folder, 'jupyterhub_config.py'), this.#config(host, apiPort, hubPort, secret), {
      mode: 0o600,
    });
    this.#proxy = this.#start(
      join(ROOT, 'node_modules/node/bin/node'),
      [
        ...[join(ROOT, 'node_modules/configurable-http-proxy/bin/configurable-http-proxy')],
        ...['--ip', host, '--port', String(port), '--api-ip', '127.0.0.1', '--api-port', String(apiPort)],
        ...['--error-target', `http://${host}:${String(hubPort)}/hub/error`],
      ],
      { CONFIGPROXY_AUTH_TOKEN: secret },
    );
  }

  /** What hub and proxy wrote. */
  get log(): string {
    return readLog(this.#logFile);
  }

  get #logFile(): string {
    return join(this.#folder, 'log');
  }

  /** Starts the hub; resolves when it answers. */
  async start(): Promise<void> {
    const environment = {
      ...{ PYTHONPATH: join(ROOT, 'deploy/jupyterhub/spawner'), PYTHONDONTWRITEBYTECODE: '1' },
      ...this.#options.env,
    };
    this.#hub = this.#start(this.#options.program, ['-f', join(this.#folder, 'jupyterhub_config.py')], environment);
    await waitFor('the hub to answer', START_MS, () => this.#answers(), 100);
  }

  /** Processor time that the hub itself has used since it was started, in milliseconds; not that of its proxy. */
  cpuMs(): number {
    const pid = this.#hub?.pid;
    if (pid === undefined) throw new Error('The hub is not running');
    return cpuOf(pid);
  }

  /** Ends the hub at once. The proxy stays. */
  async kill(): Promise<void> {
    await this.#hub?.kill();
  }

  async close(): Promise<void> {
    await this.kill();
    await this.#proxy.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #answers(): Promise<true | undefined> {
    if (this.#hub?.hasEnded !== false) throw new Error(`The hub has ended: ${this.log.slice(-4000)}`);
    const answer = await fetch(`${this.url}/hub/api/`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(
      () => undefined,
    );
    await answer?.body?.cancel();
    return answer?.ok === true ? true : undefined;
  }

  #start(command: string, args: readonly string[], env: Readonly<Record<string, string>>): LoggedProcess {
    return new LoggedProcess({ command, args, env, cwd: this.#folder, log: this.#logFile });
  }

  #config(host: string, apiPort: number, hubPort: number, secret: string): string {
    const text = (value: string): string => JSON.stringify(value);
    return `
c.JupyterHub.bind_url = ${text(this.url)}
c.JupyterHub.hub_bind_url = ${text(`http://${host}:${String(hubPort)}`)}
c.JupyterHub.hub_connect_url = ${text(`http://${host}:${String(hubPort)}`)}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = ${text(`http://127.0.0.1:${String(apiPort)}`)}
c.ConfigurableHTTPProxy.auth_token = ${text(secret)}
c.JupyterHub.cleanup_servers = False
c.JupyterHub.db_url = ${text(`sqlite:///${join(this.#folder, 'hub.sqlite')}`)}
c.JupyterHub.cookie_secret = bytes.fromhex(${text(secret)})
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.spawner_class = "labwright_spawner.LabwrightSpawner"
c.LabwrightSpawner.controller_url = ${text(this.#options.controllerUrl)}
c.LabwrightSpawner.token_path = ${text(join(this.#folder, 'token'))}
c.JupyterHub.services = [{"name": "driver", "api_token": ${text(this.token)}}]
c.JupyterHub.load_roles = [
    {"name": "driver", "services": ["driver"], "scopes": ["admin:users", "admin:servers", "list:users"]}
]
${this.#options.config ?? ''}
`;
  }
}
