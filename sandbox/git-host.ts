import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import * as protocol from './git-protocol.ts';

/** A repository that is only refs; their commits follow from their names. */
export interface DemoRepository {
  /** The first one is what HEAD points to. */
  readonly branches: readonly [string, ...string[]];
  /** Annotated tags of the first branch as it was at the beginning. */
  readonly tags?: readonly string[];
  /** Who may see it; everybody when absent. */
  readonly access?: { readonly username: string; readonly password: string };
}

export interface GitHostOptions {
  /** Loopback by default. */
  readonly host?: string;
  /** Any free one by default. */
  readonly port?: number;
  /** By path: `demo/notebooks`. */
  readonly repositories?: Readonly<Record<string, DemoRepository>>;
}

/** A Git host that runs. */
export interface SandboxGitHost {
  /** `http://127.0.0.1:3000`; a repository is `<url>/demo/notebooks`, with or without `.git`. */
  readonly url: string;
  readonly host: string;
  /** The commit of a branch or a tag, without `refs/`; undefined when there is none. */
  commitOf(repository: string, ref: string): string | undefined;
  /** Moves a branch on, or makes it. @returns its new commit */
  push(repository: string, branch: string): string;
  close(): Promise<void>;
}

interface Held {
  readonly access: DemoRepository['access'];
  readonly head: string;
  /** By full name. */
  readonly refs: Map<string, protocol.Ref>;
}

const DEMO: Readonly<Record<string, DemoRepository>> = {
  'demo/notebooks': { branches: ['main', 'develop'], tags: ['v1.0'] },
};
/** More than a list of prefixes takes. */
const BODY_BYTES = 64 * 1024;

/**
 * A Git host of refs without objects, over smart HTTP in versions 0 and 2 of the protocol: what `git ls-remote` and resolving
 * a ref need. There is nothing to clone.
 */
export async function startGitHost(options: GitHostOptions = {}): Promise<SandboxGitHost> {
  const { host = '127.0.0.1', port = 0, repositories = DEMO } = options;
  const held = new Map(Object.entries(repositories).map(([name, each]) => [name, hold(name, each)]));
  const server = createServer((request, response) => {
    answer(held, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = `${host}:${String((server.address() as AddressInfo).port)}`;
  return {
    url: `http://${address}`,
    host: address,
    commitOf(repository, ref) {
      const refs = held.get(repository)?.refs;
      const found = refs?.get(`refs/heads/${ref}`) ?? refs?.get(`refs/tags/${ref}`);
      return found?.peeled ?? found?.id;
    },
    push(repository, branch) {
      const refs = held.get(repository)?.refs;
      if (refs === undefined) throw new TypeError(`there is no repository ${repository}`);
      const name = `refs/heads/${branch}`;
      const id = objectId(repository, name, refs.get(name)?.id ?? '');
      refs.set(name, { name, id });
      return id;
    },
    close: () => stop(server),
  };
}

function hold(name: string, { branches, tags = [], access }: DemoRepository): Held {
  const heads = branches.map((branch) => ({
    name: `refs/heads/${branch}`,
    id: objectId(name, `refs/heads/${branch}`),
  }));
  const peeled = objectId(name, `refs/heads/${branches[0]}`);
  const tagged = tags.map((tag) => ({ name: `refs/tags/${tag}`, id: objectId(name, `refs/tags/${tag}`), peeled }));
  const refs = new Map([...heads, ...tagged].map((ref) => [ref.name, ref]));
  return { access, head: `refs/heads/${branches[0]}`, refs };
}

async function answer(
  repositories: ReadonlyMap<string, Held>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  const [pathname = '/', search = ''] = url.split('?', 2);
  const [, path = '', what] = /^\/(.+?)(?:\.git)?\/(info\/refs|git-upload-pack)$/.exec(pathname) ?? [];
  const found = repositories.get(path);
  if (found === undefined) {
    send(response, 404, 'text/plain', 'Not Found');
    return;
  }
  if (!mayRead(found, headers.authorization)) {
    response.setHeader('www-authenticate', 'Basic realm="sandbox"');
    send(response, 401, 'text/plain', 'Unauthorized');
    return;
  }
  const isSecondVersion = /(?:^|:)version=2(?:$|:)/.test(String(headers['git-protocol'] ?? ''));
  response.setHeader('cache-control', 'no-cache');
  if (what === 'info/refs' && method === 'GET' && search === 'service=git-upload-pack') {
    const text = isSecondVersion ? protocol.capabilities() : protocol.advertisement(list(found), found.head);
    send(response, 200, 'application/x-git-upload-pack-advertisement', text);
  } else if (what === 'git-upload-pack' && method === 'POST' && isSecondVersion) {
    const body = await readBody(request);
    send(response, 200, 'application/x-git-upload-pack-result', protocol.answerCommand(body, list(found), found.head));
  } else {
    // The dumb protocol, pushing, and fetching in version 0.
    send(response, 403, 'text/plain', 'Forbidden');
  }
}

function list({ refs }: Held): protocol.Ref[] {
  return [...refs.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

function mayRead({ access }: Held, header: string | undefined): boolean {
  if (access === undefined) return true;
  const pair = Buffer.from(`${access.username}:${access.password}`).toString('base64');
  return header === `Basic ${pair}`;
}

/** Git compresses what is longer than a kilobyte. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_BYTES) throw new Error('the request is too long');
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  const isGzip = request.headers['content-encoding'] === 'gzip';
  return (isGzip ? gunzipSync(body, { maxOutputLength: BODY_BYTES }) : body).toString();
}

function objectId(...parts: readonly string[]): string {
  return createHash('sha1').update(JSON.stringify(parts)).digest('hex');
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
