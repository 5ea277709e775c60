import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { AccessGuard, type RegistryAccess } from './access.ts';
import { RegistryContent } from './content.ts';
import { Refusal } from './errors.ts';
import { parseRoute, type Route } from './route.ts';
import { answer } from './answer.ts';

export type { RegistryAccess } from './access.ts';

/** How the registry misbehaves, until it is told otherwise. */
export type RegistryFault =
  /** Nobody listens. */
  | { readonly kind: 'down' }
  /** Requests are read and never answered. */
  | { readonly kind: 'hang' }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfter?: string }
  /** Each answer comes this much later. */
  | { readonly kind: 'slow'; readonly ms: number };

export interface RegistryOptions {
  /** Loopback by default. */
  readonly host?: string;
  /** Any free one by default. */
  readonly port?: number;
  readonly access?: RegistryAccess;
  /** Most that it holds. */
  readonly maxBytes?: number;
  readonly onRequest?: (request: { readonly method: string; readonly url: string }) => void;
}

/** A registry that runs. */
export interface SandboxRegistry {
  /** `http://127.0.0.1:5000` */
  readonly url: string;
  /** What image references begin with: `127.0.0.1:5000`. */
  readonly host: string;
  /** Null for none. Connections that are open are cut when it goes down. */
  setFault(fault: RegistryFault | null): Promise<void>;
  /** The digest that a tag points to, if there is one. */
  digestOf(repository: string, tag: string): string | undefined;
  close(): Promise<void>;
}

const MAX_BYTES = 64 * 2 ** 20;

/**
 * A registry as the OCI distribution specification has it, in memory: manifests, blobs, uploads in one or several pieces, and
 * tags. Where the specification leaves it open, it answers as the reference implementation (distribution 2.8) does.
 */
export async function startRegistry(options: RegistryOptions = {}): Promise<SandboxRegistry> {
  const { host = '127.0.0.1', port = 0, maxBytes = MAX_BYTES } = options;
  const content = new RegistryContent(maxBytes);
  const guard = options.access === undefined ? undefined : new AccessGuard(options.access);
  const closing = new AbortController();
  let fault: RegistryFault | null = null;

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => fail(response, error));
  });
  const listeningPort = await listen(server, host, port);
  const origin = `http://${host}:${listeningPort}`;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    options.onRequest?.({ method, url });
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'slow') await delay(fault.ms, undefined, { signal: closing.signal });
    if (fault?.kind === 'status') {
      if (fault.retryAfter !== undefined) response.setHeader('retry-after', fault.retryAfter);
      throw new Refusal(fault.status, 'UNKNOWN', 'unknown error', {});
    }
    const route = parseRoute(url);
    if (guard !== undefined) {
      const { authorization } = request.headers;
      if (route?.kind === 'token') {
        sendJson(response, guard.issue(authorization, route.query.get('scope') ?? ''));
        return;
      }
      guard.check(authorization, repositoryOf(route), method !== 'GET' && method !== 'HEAD', origin);
    }
    await answer({ request, response, route, content, origin });
  }

  return {
    url: origin,
    host: `${host}:${listeningPort}`,
    async setFault(next) {
      if (closing.signal.aborted) return;
      const wasDown = fault?.kind === 'down';
      fault = next;
      if (next?.kind === 'down' && !wasDown) await stop(server);
      else if (next?.kind !== 'down' && wasDown) await listen(server, host, listeningPort);
    },
    digestOf: (repository, tag) => content.digestOf(repository, tag),
    async close() {
      closing.abort();
      if (server.listening) await stop(server);
    },
  };
}

function repositoryOf(route: Route | undefined): string | undefined {
  return route !== undefined && 'repository' in route ? route.repository : undefined;
}

/** @returns the port */
async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

async function stop(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}

function sendJson(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(text);
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, body, headers } = error instanceof Refusal ? error : new Refusal(500, 'UNKNOWN', 'unknown error', {});
  const type = 'application/json; charset=utf-8';
  response.writeHead(status, { ...headers, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
