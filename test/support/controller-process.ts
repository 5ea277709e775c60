import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { waitFor } from './wait-for.ts';
import { canary, watchText } from './canary.ts';
import { LabApi } from './lab-api.ts';
import { cpuOf, LoggedProcess, readLog } from './logged-process.ts';

/** How the controller reaches the cluster: by a kubeconfig, by the files and variables that a pod has, or it is its own. */
export type Credentials = { readonly kubeconfig: string } | PodCredentials | { readonly sandbox: true };

interface PodCredentials {
  readonly server: string;
  readonly token: string;
  readonly ca: string;
}

export interface ControllerOptions {
  readonly credentials: Credentials;
  /** Namespace of the controller itself; it must exist. */
  readonly namespace: string;
  /** Image of every lab. */
  readonly image: string;
  /** The program to run; its sources if not given. */
  readonly program?: string;
  /** The `lab` section on top of one small size. */
  readonly lab?: Readonly<Record<string, unknown>>;
  /** Who may call, beside the administrator of `api`. */
  readonly auth?: { readonly tokens?: readonly object[]; readonly [provider: string]: unknown };
  /** Further top-level keys of the configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Address to listen on, default 127.0.0.1. */
  readonly host?: string;
  /** Further environment of the process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Further environment of each lab, as a hub would send it. */
  readonly labEnv?: (username: string) => Readonly<Record<string, string>>;
}

const SOURCE = join(import.meta.dirname, '../../src/main.ts');
/** What `npm run build` makes: the program as it is in the container image. */
export const BUNDLE = join(import.meta.dirname, '../../build/app/main.js');
/** As the deployment's limit, in bytes: V8 sizes its heap by it. */
const MEMORY_LIMIT = 512 * 2 ** 20;
/**
 * Gives the controller alone what a pod has: credentials in their place, in a mount namespace of its own, and a memory limit
 * where control groups of either version can be made here.
 */
const AS_POD = `
mount -t tmpfs none /run
mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
cp "$1"/token "$1"/ca.crt /var/run/secrets/kubernetes.io/serviceaccount
shift
limit() { mkdir -p "$1" && echo ${MEMORY_LIMIT} > "$1/$2" && echo $$ > "$1/cgroup.procs"; }
limit /sys/fs/cgroup/memory/labwright memory.limit_in_bytes 2>/dev/null ||
  limit /sys/fs/cgroup/labwright memory.max 2>/dev/null ||
  echo "The controller runs without a memory limit: no control group can be made here" >&2
exec "$@"
`;

/** Whether this process may make mount namespaces, which pod credentials need. */
export function canPretendToBeAPod(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0;
}

/** One configuration of the controller, run as a process of its own as often as one likes. */
export class ControllerProcess {
  readonly api: LabApi;
  readonly url: string;
  readonly configFile: string;
  readonly #folder: string;
  readonly #credentials: Credentials;
  readonly #program: string;
  readonly #env: Readonly<Record<string, string>>;
  #process: LoggedProcess | undefined;

  static async prepare(options: ControllerOptions): Promise<ControllerProcess> {
    return new ControllerProcess(options, await freePort());
  }

  private constructor(options: ControllerOptions, port: number) {
    const host = options.host ?? '127.0.0.1';
    const token = canary(randomBytes(16).toString('hex'));
    this.#folder = mkdtempSync(join(tmpdir(), 'labwright-controller-'));
    this.#credentials = options.credentials;
    this.#program = options.program ?? SOURCE;
    this.#env = options.env ?? {};
    this.configFile = join(this.#folder, 'config.yaml');
    this.url = `http://${host}:${port}`;
    const size = { name: 'small', cpu: 1, memory: '1Gi', cpuRequest: '10m', memoryRequest: '64Mi' };
    const config = {
      listen: { host, port },
      baseUrl: this.url,
      kubernetes: {
        namespace: options.namespace,
        ...('kubeconfig' in options.credentials ? { kubeconfig: options.credentials.kubeconfig } : {}),
      },
      auth: {
        ...options.auth,
        tokens: [
          { sha256: createHash('sha256').update(token).digest('hex'), role: 'admin' },
          ...(options.auth?.tokens ?? []),
        ],
      },
      users: { defaults: { uid: 1000, gid: 1000 } },
      images: {
        list: [{ reference: options.image, name: 'Lab', class: 'recommended' }],
        allowOther: true,
        // Most images of tests are in no registry.
        pin: 'never',
      },
      lab: { sizes: [size], ...options.lab },
      ...options.config,
    };
    writeFileSync(this.configFile, JSON.stringify(config), { mode: 0o600 });
    this.api = new LabApi({
      url: `${this.url}/labwright`,
      token,
      image: options.image,
      size: size.name,
      ...(options.labEnv === undefined ? {} : { env: options.labEnv }),
    });
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('The controller is not running');
    return pid;
  }

  /** What it wrote, the last part. */
  get output(): string {
    return this.log.slice(-20_000);
  }

  /** All that it wrote. */
  get log(): string {
    return readLog(this.#log);
  }

  get #log(): string {
    return join(this.#folder, 'log');
  }

  /** Starts the process; it may not answer yet. */
  start(): void {
    const cluster = 'sandbox' in this.#credentials ? ['--sandbox'] : [];
    const serve = [process.execPath, this.#program, 'serve', '--config', this.configFile, ...cluster];
    const [command = '', ...args] = [...this.#wrapper(), ...serve];
    this.#process = new LoggedProcess({ command, args, env: this.#environment(), log: this.#log }, () =>
      rmSync(this.#folder, { recursive: true, force: true }),
    );
  }

  /** Each command in it becomes the next one, so that the process id stays. */
  #wrapper(): string[] {
    if (!('server' in this.#credentials)) return [];
    writeFileSync(join(this.#folder, 'token'), this.#credentials.token, { mode: 0o600 });
    writeFileSync(join(this.#folder, 'ca.crt'), this.#credentials.ca);
    return ['unshare', '--mount', 'sh', '-ec', AS_POD, 'sh', this.#folder];
  }

  #environment(): Record<string, string> {
    if (!('server' in this.#credentials)) return this.#env;
    const { hostname, port } = new URL(this.#credentials.server);
    return { ...this.#env, KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
  }

  /**
   * Waits for the first complete answer: the list of labs, asked again until somebody listens.
   *
   * @returns names of users whose labs run, and milliseconds since `since` (`performance.now()`)
   */
  async firstAnswer(since = performance.now(), timeoutMs = 20_000): Promise<{ running: string[]; ms: number }> {
    let problem: unknown;
    const running = await waitFor(
      'the controller to answer',
      timeoutMs,
      async () => {
        if (this.#process?.hasEnded !== false) throw new Error(`The controller ended: ${this.output}`);
        return this.api.running().catch((error: unknown) => {
          problem = error;
          return undefined;
        });
      },
      2,
    ).catch((cause: unknown) => {
      throw new Error(`${String(cause)}: ${String(problem)}\n${this.output}`, { cause });
    });
    return { running, ms: performance.now() - since };
  }

  /** Processor time used so far, in milliseconds (Linux counts it in hundredths of a second). */
  cpuMs(): number {
    return cpuOf(this.pid);
  }

  /** Resident memory now and at its highest, in MiB. */
  memory(): { now: number; peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const read = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024;
    return { now: read('VmRSS'), peak: read('VmHWM') };
  }

  /** Sends a signal and waits for nothing: to stop it in the middle of whatever it does, or to let it go on. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Sends a signal and waits for the end of the process. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#process?.kill(signal);
  }

  async close(): Promise<void> {
    await this.kill();
    await this.api.close();
    watchText(this.log, "the controller's log");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
