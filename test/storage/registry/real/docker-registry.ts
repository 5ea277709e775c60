import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../support/free-port.ts';
import { LoggedProcess, readLog } from '../../../support/logged-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

const PROGRAM = ['/usr/bin/docker-registry', '/usr/local/bin/docker-registry'].find(existsSync);

/** Why there is no real registry to test with; undefined when there is one. */
export const whyNoDockerRegistry = PROGRAM === undefined ? 'docker-registry is not installed' : undefined;

/** The name and password that a registry with `htpasswd` takes; bcrypt with few rounds, made by crypt(3). */
export const HTPASSWD = {
  username: 'ada',
  password: 'pw',
  line: 'ada:$2b$04$abcdefghijklmnopqrstuuyvPXIbu7xe6/CED2DzX8z6Si09MlzlW',
};

/** The reference implementation of the distribution protocol, as Debian has it, with files of its own. */
export class DockerRegistry {
  readonly port: number;
  readonly #folder: string;
  #process: LoggedProcess | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
  }

  /** @param auth its `auth` section, in YAML on one line; none for a registry that asks for nothing */
  static async start(auth?: (folder: string) => string): Promise<DockerRegistry> {
    const folder = await mkdtemp(join(tmpdir(), 'labwright-registry-'));
    const registry = new DockerRegistry(folder, await freePort());
    const lines = [
      'version: 0.1',
      'log: { level: warn, accesslog: { disabled: true } }',
      `storage: { filesystem: { rootdirectory: "${folder}/data" }, delete: { enabled: true } }`,
      `http: { addr: "${registry.host}" }`,
      ...(auth === undefined ? [] : [`auth: ${auth(folder)}`]),
    ];
    await writeFile(join(folder, 'registry.yml'), `${lines.join('\n')}\n`);
    await writeFile(join(folder, 'htpasswd'), `${HTPASSWD.line}\n`);
    await registry.resume();
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async stop(): Promise<void> {
    await this.#process?.kill();
    this.#process = undefined;
  }

  /** Starts it with what it held. */
  async resume(): Promise<void> {
    const log = join(this.#folder, 'registry.log');
    const args = ['serve', join(this.#folder, 'registry.yml')];
    const running = (this.#process = new LoggedProcess({ command: PROGRAM ?? '', args, log }));
    await waitFor('the registry', 20_000, async () => {
      if (running.hasEnded) throw new Error(`The registry has ended:\n${readLog(log)}`);
      const answer = await fetch(`${this.url}/v2/`).catch(() => undefined);
      await answer?.arrayBuffer();
      return answer;
    });
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
