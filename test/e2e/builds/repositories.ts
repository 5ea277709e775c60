import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CLEAN_GIT, type GitServer } from '../../support/git-server.ts';

const run = promisify(execFile);

/** A file that shows that a lab has what was in the repository. */
export function greeting(text: string): { readonly name: string; readonly content: string } {
  return { name: 'greeting.txt', content: `${text}\n` };
}

const SERVER_CONFIG = 'jupyter_server_config.json';

/** Files of a repository whose image is the lab image with a greeting that the server shows, made by these steps. */
export function labRepository(
  image: string,
  file: { readonly name: string; readonly content: string },
  steps: readonly string[] = [],
): Record<string, string> {
  return {
    [file.name]: file.content,
    // The home directory of a lab is a volume, so the files are elsewhere.
    [SERVER_CONFIG]: JSON.stringify({ ServerApp: { extra_static_paths: ['/srv/repo'] } }),
    Dockerfile: dockerfile(image, [
      `COPY ${SERVER_CONFIG} /opt/lab/etc/jupyter/`,
      `COPY ${file.name} /srv/repo/`,
      ...steps.map(asStep),
    ]),
  };
}

/** Files of a repository with these steps. */
export function repositoryOf(image: string, steps: readonly string[]): Record<string, string> {
  return { Dockerfile: dockerfile(image, steps.map(asStep)) };
}

function asStep(command: string): string {
  return `RUN ${command}`;
}

function dockerfile(image: string, instructions: readonly string[]): string {
  return [`FROM ${image}`, ...instructions, ''].join('\n');
}

/** The commit that a ref of a repository is. */
export async function commitAt({ directory }: GitServer, name: string, ref: string): Promise<string> {
  const words = ['-C', join(directory, `${name}.git`), 'rev-parse', ref];
  return (await run('git', words, { env: CLEAN_GIT })).stdout.trim();
}

/** One more commit on `main`. @returns it */
export async function moveBranch(
  { directory }: GitServer,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const tree = await mkdtemp(join(tmpdir(), 'git-tree-'));
  const who = { name: 'Ada', email: 'ada@example.org' };
  const identity = ['-c', `user.name=${who.name}`, '-c', `user.email=${who.email}`];
  const git = async (...args: string[]) => (await run('git', args, { cwd: tree, env: CLEAN_GIT })).stdout.trim();
  try {
    await git('clone', '--quiet', join(directory, `${name}.git`), '.');
    for (const [path, text] of Object.entries(files)) await writeFile(join(tree, path), text);
    await git('add', '--all');
    await git(...identity, 'commit', '--quiet', '-m', 'Go on');
    await git('push', '--quiet', 'origin', 'HEAD:main');
    return await git('rev-parse', 'HEAD');
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}
