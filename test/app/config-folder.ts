import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aFolder } from '../sandbox/processes/support.ts';

/** A folder in which a ConfigMap is mounted, as the kubelet does it: files lead by symbolic links to a version, which is replaced at once. */
export class ConfigFolder {
  readonly file: string;
  readonly #folder: string;
  #version = 0;

  static async create(text: string): Promise<ConfigFolder> {
    const folder = new ConfigFolder(await aFolder());
    await folder.publish(text);
    await symlink(join('..data', 'config.yaml'), folder.file);
    return folder;
  }

  private constructor(folder: string) {
    this.#folder = folder;
    this.file = join(folder, 'config.yaml');
  }

  /** A new version of the ConfigMap. */
  async publish(text: string): Promise<void> {
    const [before, now] = [`..${this.#version}`, `..${(this.#version += 1)}`];
    await mkdir(join(this.#folder, now));
    await writeFile(join(this.#folder, now, 'config.yaml'), text);
    await symlink(now, join(this.#folder, '..data_tmp'));
    await rename(join(this.#folder, '..data_tmp'), join(this.#folder, '..data'));
    await rm(join(this.#folder, before), { recursive: true, force: true });
  }

  /** The version is gone, and what led to it leads nowhere. */
  async withdraw(): Promise<void> {
    await rm(join(this.#folder, `..${this.#version}`), { recursive: true });
  }
}
