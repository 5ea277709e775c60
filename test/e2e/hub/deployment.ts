import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';

const execute = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../..');
/** Namespaces of the manifests in deploy/. */
export const HUB_NAMESPACE = 'jupyterhub';
export const CONTROLLER_NAMESPACE = 'labwright';

/** The scripts of the cluster, and a folder for what is made for one run. */
export class Deployment {
  readonly #scripts: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'labwright-e2e-'));

  /** @param scripts folder with `cluster` and `images` */
  constructor(scripts: string) {
    this.#scripts = scripts;
  }

  /** @returns what kubectl printed */
  async kubectl(...args: string[]): Promise<string> {
    const options = { timeout: 180_000, maxBuffer: 64 * 1024 * 1024 };
    return (await execute(join(this.#scripts, 'cluster'), ['kubectl', ...args], options)).stdout;
  }

  /** Builds and pushes the controller's image, of this checkout. */
  buildController(): Promise<string> {
    const folder = this.#make('image-labwright');
    const parts = [
      'package.json',
      'package-lock.json',
      '.npmrc',
      'tsconfig.json',
      'rolldown.config.ts',
      'src',
      'sandbox',
      'docs/configuration.schema.json',
    ];
    for (const part of parts) {
      cpSync(join(ROOT, part), join(folder, part), { recursive: true });
    }
    cpSync(join(ROOT, 'deploy/Dockerfile'), join(folder, 'Dockerfile'));
    return this.#build('labwright', folder);
  }

  /**
   * Builds and pushes a hub's image with this checkout's spawner in it.
   *
   * @param base reference of an image with JupyterHub and its proxy, for which `python3 -m venv` has been used
   */
  buildHub(base: string): Promise<string> {
    const folder = this.#make('image-hub');
    cpSync(join(ROOT, 'deploy/jupyterhub/spawner'), join(folder, 'spawner'), {
      recursive: true,
      filter: (path) => !/__pycache__|\.egg-info|\/build$|\.venv/.test(path),
    });
    writeFileSync(
      join(folder, 'Dockerfile'),
      `FROM ${base}\nCOPY spawner /tmp/spawner\nRUN pip install --no-cache-dir /tmp/spawner\n`,
    );
    return this.#build('labwright-hub', folder);
  }

  /** The images that the scripts themselves know. */
  image(name: string): Promise<string> {
    return this.#script('images', name);
  }

  /**
   * Applies manifests of deploy/ with what a site changes about them.
   *
   * @param overlay further keys of the kustomization
   * @param files to be written beside it
   */
  async apply(manifests: string, overlay: object, files: Readonly<Record<string, string>>): Promise<void> {
    const folder = this.#make(`overlay-${randomBytes(3).toString('hex')}`);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content, { mode: 0o600 });
    const resources = [relative(folder, join(ROOT, 'deploy', manifests))];
    writeFileSync(join(folder, 'kustomization.yaml'), stringify({ resources, ...overlay }));
    await this.kubectl('apply', '-k', folder);
  }

  /** Ends the pods at once, as a node that dies does; their deployment makes others. */
  async killPods(namespace: string, selector: string): Promise<void> {
    await this.kubectl('-n', namespace, 'delete', 'pod', '-l', selector, '--force', '--grace-period=0', '--wait=true');
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #make(name: string): string {
    const folder = join(this.#folder, name);
    mkdirSync(folder);
    return folder;
  }

  #build(name: string, folder: string): Promise<string> {
    return this.#script('images', 'build', name, folder);
  }

  async #script(script: string, ...args: string[]): Promise<string> {
    const { stdout } = await execute(join(this.#scripts, script), args, { timeout: 20 * 60_000 });
    return stdout.trim().split('\n').at(-1) ?? '';
  }
}

/** A file of deploy/. */
export function deployFile(path: string): string {
  return readFileSync(join(ROOT, 'deploy', path), 'utf8');
}
