import { execFile, type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { access, chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '../../../support/wait-for.ts';

const run = promisify(execFile);

/** What the wrapper of a build and the scripts of the tests call. */
const PROGRAMS = [
  'sh',
  'cp',
  'rm',
  'cat',
  'ls',
  'grep',
  'head',
  'id',
  'mktemp',
  'sleep',
  'stat',
  'tail',
  'timeout',
  'tr',
];
export const TEST_IMAGE = 'localhost/labwright-test:1';

/** Why there is no real engine to test with; undefined when there is one. */
export const whyNoPodman = ((): string | undefined => {
  if (process.getuid?.() !== 0) return 'only root can run containers with limits';
  return ['/usr/bin/podman', '/usr/local/bin/podman'].some(existsSync) ? undefined : 'podman is not installed';
})();

/** Why podman cannot give a container a user namespace; undefined when it can. */
export const whyNoUserNamespaces = ((): string | undefined => {
  const knows = (file: string) => existsSync(file) && /^containers:/m.test(readFileSync(file, 'utf8'));
  return ['/etc/subuid', '/etc/subgid'].every(knows)
    ? undefined
    : 'no ids for "containers" in /etc/subuid and /etc/subgid';
})();

/** Says it where nobody overlooks it. */
export function sayNotRun(what: string, why: string): void {
  process.stderr.write(`\nNOT RUN: ${what}: ${why}.\n`);
}

/**
 * A podman of its own: its containers, images and configuration are in one folder, its mounts and its network in namespaces
 * of their own. In those of the machine it would mount /run/netns over itself, and a kubelet's pods could not end any more.
 */
export class Podman {
  readonly folder: string;
  readonly socket: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Holds the namespaces. */
  readonly #holder: ChildProcess;
  #service: ChildProcess | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, 'podman.sock');
    const apart = ['--mount', '--net', '--propagation', 'private', 'sleep', 'infinity'];
    this.#holder = spawn('unshare', apart, { stdio: 'ignore' });
    this.#env = { ...process.env, CONTAINERS_CONF: join(folder, 'containers.conf') };
  }

  /** @param repo2docker the shell script that takes the place of repo2docker */
  static async start(repo2docker: string): Promise<Podman> {
    const podman = new Podman(await mkdtemp(join(tmpdir(), 'labwright-podman-')));
    await writeFile(join(podman.folder, 'containers.conf'), CONFIGURATION);
    await waitFor('namespaces', 5_000, () => podman.#isApart());
    await podman.#makeImage(repo2docker);
    await podman.serve();
    return podman;
  }

  /** Runs podman itself, past its API. */
  async command(...args: string[]): Promise<string> {
    const { stdout } = await run('nsenter', this.#arguments(args), { env: this.#env });
    return stdout;
  }

  async serve(): Promise<void> {
    const args = this.#arguments(['system', 'service', '--time=0', `unix://${this.socket}`]);
    this.#service = spawn('nsenter', args, { env: this.#env, stdio: 'ignore' });
    await waitFor('the socket of podman', 10_000, () =>
      access(this.socket).then(
        () => true,
        () => undefined,
      ),
    );
  }

  /** Ends the service; containers go on. */
  async stopServing(): Promise<void> {
    const service = this.#service;
    if (service === undefined) return;
    const ended = new Promise((resolve) => service.once('exit', resolve));
    service.kill('SIGKILL');
    await ended;
    this.#service = undefined;
    await rm(this.socket, { force: true });
  }

  async close(): Promise<void> {
    await this.stopServing();
    await this.command('rm', '--all', '--force', '--volumes', '--time=0');
    await this.command('rmi', '--all', '--force');
    const ended = new Promise((resolve) => this.#holder.once('exit', resolve));
    this.#holder.kill('SIGKILL');
    // Its mounts go with the namespace.
    await ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  #arguments(args: readonly string[]): string[] {
    const where = ['--root', join(this.folder, 'root'), '--runroot', join(this.folder, 'run')];
    return ['--target', String(this.#holder.pid), '--mount', '--net', 'podman', ...where, ...args];
  }

  /** `unshare` has become `sleep`, and so is in the namespaces. */
  async #isApart(): Promise<true | undefined> {
    const name = await readFile(`/proc/${this.#holder.pid}/comm`, 'utf8').catch(() => '');
    return name.trim() === 'sleep' ? true : undefined;
  }

  /** An image of this machine's own programs: nothing is fetched. */
  async #makeImage(repo2docker: string): Promise<void> {
    const root = join(this.folder, 'image');
    for (const name of ['usr/bin', 'tmp', 'var/tmp', 'run', 'etc', 'proc', 'sys', 'dev']) {
      await mkdir(join(root, name), { recursive: true });
    }
    for (const program of PROGRAMS) {
      const path = (await run('sh', ['-c', `command -v ${program}`])).stdout.trim();
      await cp(path, join(root, 'usr/bin', program), { dereference: true });
      const { stdout } = await run('ldd', [path]);
      for (const [library] of stdout.matchAll(/\/\S+/g)) {
        await mkdir(join(root, dirname(library)), { recursive: true });
        await cp(library, join(root, library), { dereference: true });
      }
    }
    await run('ln', ['-s', 'usr/bin', join(root, 'bin')]);
    await writeFile(join(root, 'usr/bin/repo2docker'), `#!/bin/sh\n${repo2docker}`);
    await chmod(join(root, 'usr/bin/repo2docker'), 0o755);
    const archive = join(this.folder, 'image.tar');
    await run('tar', ['-C', root, '-cf', archive, '.']);
    await this.command('import', archive, TEST_IMAGE);
  }
}

/**
 * crun knows no cgroups of both versions at once, and a machine may not let limits be raised. Podman's own default subnet
 * is also that of many a cluster's pods.
 */
const CONFIGURATION = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
default_subnet = "172.30.251.0/24"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
${['/usr/bin/runc', '/usr/sbin/runc'].some(existsSync) ? 'runtime = "runc"' : ''}
`;
