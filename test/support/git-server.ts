import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { LfsStore } from './git-lfs.ts';

const run = promisify(execFile);

export interface GitServerOptions {
  readonly host?: string;
  /** One that is free when absent. */
  readonly port?: number;
  /** What it wants for every repository; absent: nothing. */
  readonly credentials?: { readonly username: string; readonly password: string };
}

export interface GitRepositoryOptions {
  /** Another repository at a path in this one, by its URL and commit. */
  readonly submodules?: Readonly<Record<string, { readonly url: string; readonly commit: string }>>;
  readonly branches?: readonly string[];
  readonly tags?: readonly string[];
  readonly annotatedTags?: readonly string[];
  /** Commits before this one, so that there is a history. */
  readonly history?: number;
  /** Pull requests as GitHub has them: a commit each that no branch has, at `refs/pull/<number>/head`. */
  readonly pulls?: readonly number[];
  /** Nothing has been committed to it. */
  readonly isEmpty?: boolean;
}

/** A request as it came, without what was in its headers. */
export interface GitServerRequest {
  readonly path: string;
  readonly hasAuthorization: boolean;
  readonly protocol: string | undefined;
}

/** A real Git server over smart HTTP: `git http-backend` behind Node's own. */
export interface GitServer {
  /** `http://127.0.0.1:1234` */
  readonly url: string;
  readonly requests: readonly GitServerRequest[];
  /** What of its files is in Git LFS. */
  readonly lfs: LfsStore;
  /** The bare repositories, for a server of another kind. */
  readonly directory: string;
  /**
   * @param name `group/notebooks`; its URL is `<url>/<name>.git`
   * @param files by path, or the path of a directory whose files are taken
   * @returns the commit of its branch `main`
   */
  addRepository(
    name: string,
    files: Readonly<Record<string, string>> | string,
    options?: GitRepositoryOptions,
  ): Promise<{ readonly commit: string; readonly url: string }>;
  /** Answers requests whose path begins so with a redirect to another base. */
  redirect(path: string, to: string, status?: number): void;
  close(): Promise<void>;
}

const IDENTITY = {
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
};

/** Environment of Git without whatever is configured on this machine. */
export const CLEAN_GIT: Readonly<Record<string, string>> = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
};

export async function startGitServer({
  host = '127.0.0.1',
  port = 0,
  credentials,
}: GitServerOptions = {}): Promise<GitServer> {
  const directory = await mkdtemp(join(tmpdir(), 'git-server-'));
  const requests: GitServerRequest[] = [];
  const redirects = new Map<string, { to: string; status: number }>();
  const lfs = new LfsStore(() => url);
  const expected =
    credentials === undefined
      ? undefined
      : `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://server');
    const { authorization } = request.headers;
    const protocol = request.headers['git-protocol'];
    requests.push({ path: pathname, hasAuthorization: authorization !== undefined, protocol: String(protocol) });
    const redirect = [...redirects].find(([path]) => pathname.startsWith(path));
    if (redirect !== undefined) {
      const [path, { to, status }] = redirect;
      response.writeHead(status, { location: to + pathname.slice(path.length) + search }).end();
    } else if (expected !== undefined && authorization !== expected && !lfs.isObject(pathname)) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
    } else if (!lfs.answer(pathname, request, response)) backend(directory, request, response);
  };
  const server = createServer(answer).listen(port, host);
  await once(server, 'listening');
  const url = `http://${host}:${(server.address() as AddressInfo).port}`;
  return {
    url,
    requests,
    lfs,
    directory,
    redirect: (path, to, status = 302) => void redirects.set(path, { to, status }),
    addRepository: async (name, files, options = {}) => ({
      commit: await makeRepository(join(directory, `${name}.git`), files, options),
      url: `${url}/${name}.git`,
    }),
    close: () => close(server, directory),
  };
}

async function close(server: Server, directory: string): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(directory, { recursive: true, force: true });
}

/** CGI (RFC 3875) as far as `git http-backend` needs it. */
function backend(directory: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://server');
  const child = spawn('git', ['http-backend'], {
    env: {
      ...CLEAN_GIT,
      GIT_PROJECT_ROOT: directory,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      PATH_INFO: decodeURIComponent(pathname),
      QUERY_STRING: searchParams.toString(),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: String(request.headers['content-encoding'] ?? ''),
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.on('error', () => undefined);
  request.pipe(child.stdin);
  response.on('close', () => child.kill());
  let head = Buffer.alloc(0);
  const readHead = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', readHead);
    const fields = head
      .toString('latin1', 0, end)
      .split('\r\n')
      .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
    const status = fields.find(([name]) => name.toLowerCase() === 'status')?.[1] ?? '200';
    response.writeHead(Number.parseInt(status, 10), Object.fromEntries(fields.filter(([name]) => name !== 'Status')));
    response.write(head.subarray(end + 4));
    child.stdout.pipe(response);
  };
  child.stdout.on('data', readHead);
  child.on('close', () => response.end());
}

async function makeRepository(
  bare: string,
  files: Readonly<Record<string, string>> | string,
  options: GitRepositoryOptions,
): Promise<string> {
  const { submodules = {}, branches = [], tags = [], annotatedTags = [], history = 0, pulls = [] } = options;
  const tree = await mkdtemp(join(tmpdir(), 'git-tree-'));
  const git = async (...args: string[]) =>
    (await run('git', args, { cwd: tree, env: { ...CLEAN_GIT, ...IDENTITY } })).stdout.trim();
  try {
    await git('init', '--quiet', '--initial-branch=main');
    if (options.isEmpty === true) {
      await git('clone', '--quiet', '--bare', tree, bare);
      return '';
    }
    for (let commit = 0; commit < history; commit += 1)
      await git('commit', '--quiet', '--allow-empty', '-m', `${commit}`);
    if (typeof files === 'string') await cp(files, tree, { recursive: true });
    else {
      for (const [path, text] of Object.entries(files)) {
        await mkdir(dirname(join(tree, path)), { recursive: true });
        await writeFile(join(tree, path), text);
      }
    }
    const modules = Object.entries(submodules);
    const sections = modules.map(([path, { url }]) => `[submodule "${path}"]\n\tpath = ${path}\n\turl = ${url}\n`);
    if (modules.length > 0) await writeFile(join(tree, '.gitmodules'), sections.join(''));
    await git('add', '--all');
    for (const [path, { commit }] of modules)
      await git('update-index', '--add', '--cacheinfo', `160000,${commit},${path}`);
    await git('commit', '--quiet', '--allow-empty', '-m', 'Begin');
    for (const name of branches) await git('branch', name);
    for (const name of tags) await git('tag', name);
    for (const name of annotatedTags) await git('tag', '--annotate', '-m', name, name);
    await mkdir(dirname(bare), { recursive: true });
    await git('clone', '--quiet', '--bare', tree, bare);
    const commit = await git('rev-parse', 'HEAD');
    for (const number of pulls) {
      await git('checkout', '--quiet', '--detach', 'main');
      await writeFile(join(tree, 'pulled.txt'), `${number}\n`);
      await git('add', '--all');
      await git('commit', '--quiet', '-m', `Pull ${number}`);
      await git('push', '--quiet', bare, `HEAD:refs/pull/${number}/head`);
    }
    return commit;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}
