import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { Api, type Target } from './api.ts';
import { discover } from './discovery.ts';
import { encodeObject } from './encoding.ts';
import { pods } from './kinds/pods.ts';
import { listObjects } from './lists.ts';
import type { KubeObject } from './objects.ts';
import { openPodLog } from './pod-logs.ts';
import * as read from './request.ts';
import type { ApiPath } from './request.ts';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import { ApiError, badRequest, cause, methodNotAllowed, unauthorized } from './status.ts';
import type { Store } from './store.ts';
import { DEFAULT_WATCH_MS, Watches } from './watches.ts';

/** One request that the sandbox has begun to answer. */
export interface SandboxRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Whose token it came with. */
  readonly user: string;
}

export interface ApiServerOptions {
  readonly store: Store;
  readonly addresses: ServiceAddresses;
  /** Who each bearer token is. */
  readonly tokens: ReadonlyMap<string, string>;
  readonly bookmarkIntervalMs: number;
  readonly logger: Logger;
  readonly onRequest?: (request: SandboxRequest) => void;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: ApiPath;
  readonly query: URLSearchParams;
}

/** The API server: HTTP in front of `Api`. It speaks plain HTTP and is meant for loopback. */
export class SandboxApiServer {
  readonly #options: ApiServerOptions;
  readonly #api: Api;
  readonly #watches: Watches;
  readonly #server: Server;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#api = new Api(options.store, options.addresses);
    this.#watches = new Watches(options.store, options.bookmarkIntervalMs);
    this.#server = createServer({ keepAliveTimeout: 90_000 }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => this.#fail(response, error));
    });
  }

  get api(): Api {
    return this.#api;
  }

  /** Starts to listen. @returns the URL */
  async listen(host: string, port: number): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    return `http://${host}:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** Ends the watches and every connection. */
  async close(): Promise<void> {
    this.#watches.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  /** Breaks every watch, as a load balancer does when it goes away. */
  endWatches(): void {
    this.#watches.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/' } = request;
    const user = this.#authenticate(request.headers.authorization);
    this.#options.onRequest?.({ method, url, user });
    const [pathname = '/', search = ''] = url.split('?', 2);
    const query = new URLSearchParams(search);
    const fixed = method === 'GET' ? discover(pathname) : undefined;
    if (fixed !== undefined) {
      send(response, 200, fixed.type, fixed.body);
      return;
    }
    const path = read.parsePath(pathname);
    if (path === undefined) send(response, 404, 'text/plain; charset=utf-8', '404 page not found\n');
    else await this.#route({ request, response, path, query });
  }

  #authenticate(header: string | undefined): string {
    const token = /^Bearer (.+)$/.exec(header ?? '')?.[1] ?? '';
    const user = this.#options.tokens.get(token);
    if (user === undefined) throw unauthorized();
    return user;
  }

  async #route(exchange: Exchange): Promise<void> {
    const { request, path } = exchange;
    switch (request.method) {
      case 'GET':
        return this.#read(exchange);
      case 'POST':
        return this.#create(exchange);
      case 'PUT':
        return this.#replace(exchange);
      case 'PATCH':
        return this.#patch(exchange);
      case 'DELETE':
        return path.name === '' ? this.#deleteCollection(exchange) : this.#delete(exchange);
      default:
        throw methodNotAllowed();
    }
  }

  #read(exchange: Exchange): void | Promise<void> {
    const { request, response, path, query } = exchange;
    const { type, namespace, name } = path;
    const { accept } = request.headers;
    if (name !== '') {
      if (type === pods && path.subresource === 'log') return this.#readLog(exchange);
      if (path.subresource !== '' && path.subresource !== 'status') throw methodNotAllowed();
      sendJson(response, 200, encodeObject(this.#api.get(targetOf(path)), read.negotiate(accept, 'object')));
      return;
    }
    const matches = readSelectors(path, query);
    const resourceVersion = query.get('resourceVersion') ?? '';
    if (read.isTrue(query, 'watch')) {
      const timeout = read.numberIn(query, 'timeoutSeconds');
      this.#watches.serve(
        {
          type,
          namespace,
          matches,
          resourceVersion,
          bookmarks: read.isTrue(query, 'allowWatchBookmarks'),
          initialEvents: read.isTrue(query, 'sendInitialEvents'),
          timeoutMs: timeout === undefined || timeout === 0 ? DEFAULT_WATCH_MS : timeout * 1000,
          form: read.negotiate(accept, 'object'),
        },
        response,
      );
      return;
    }
    const text = listObjects(this.#options.store, {
      type,
      namespace,
      matches,
      limit: Math.max(0, read.numberIn(query, 'limit') ?? 0),
      continueToken: query.get('continue') ?? '',
      resourceVersion,
      form: read.negotiate(accept, 'list'),
    });
    sendJson(response, 200, text);
  }

  async #readLog({ request, response, path, query }: Exchange): Promise<void> {
    read.negotiate(request.headers.accept, 'object');
    const over = new AbortController();
    response.once('close', () => over.abort());
    const pod = this.#api.get(targetOf(path));
    const log = await openPodLog(this.#options.store, pod, query, over.signal);
    if (log === undefined) {
      response.writeHead(204).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.flushHeaders();
    // Either side may go away at any time; the other one is told so by the end of its connection.
    await pipeline(log, response).catch(() => response.destroy());
  }

  async #create({ request, response, path, query }: Exchange): Promise<void> {
    const dryRun = read.isDryRun(query, 'CreateOptions');
    const text = await read.readBody(request);
    const body = read.parseObjectBody(read.mediaType(request.headers['content-type']), text, path.type);
    if (path.name === '') {
      if (path.type.namespaced && path.namespace === '') throw methodNotAllowed();
      sendObject(response, 201, this.#api.create(path.type, path.namespace, body, { dryRun }), request);
      return;
    }
    if (path.type.plural !== 'pods' || path.subresource !== 'binding') throw methodNotAllowed();
    this.#api.bind(targetOf(path), body, { dryRun });
    sendJson(
      response,
      201,
      JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }),
    );
  }

  async #replace({ request, response, path, query }: Exchange): Promise<void> {
    checkWritable(path);
    const dryRun = read.isDryRun(query, 'UpdateOptions');
    const text = await read.readBody(request);
    const body = read.parseObjectBody(read.mediaType(request.headers['content-type']), text, path.type);
    const { object, created } = this.#api.replace(targetOf(path), body, path.subresource, { dryRun });
    sendObject(response, created ? 201 : 200, object, request);
  }

  async #patch({ request, response, path, query }: Exchange): Promise<void> {
    checkWritable(path);
    const dryRun = read.isDryRun(query, 'PatchOptions');
    const target = targetOf(path);
    switch (read.mediaType(request.headers['content-type'])) {
      case 'application/merge-patch+json': {
        const patch = read.parsePatchBody(await read.readBody(request), false);
        sendObject(response, 200, this.#api.patch(target, patch, path.subresource, { dryRun }), request);
        return;
      }
      case 'application/apply-patch+yaml': {
        const body = read.parsePatchBody(await read.readBody(request), true);
        const { object, created } = this.#api.apply(target, body, readManager(query), { dryRun });
        sendObject(response, created ? 201 : 200, object, request);
        return;
      }
      default:
        throw new ApiError(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});
    }
  }

  async #delete({ request, response, path, query }: Exchange): Promise<void> {
    if (path.subresource !== '') throw methodNotAllowed();
    const options = read.readDeleteOptions(query, await read.readBody(request));
    const target = targetOf(path);
    const { uid } = this.#api.get(target).metadata;
    const left = this.#api.delete(target, options);
    if (left !== undefined) {
      sendObject(response, 200, left, request);
      return;
    }
    const { plural, group } = path.type;
    const details = { name: path.name, ...(group === '' ? {} : { group }), kind: plural, uid };
    sendJson(
      response,
      200,
      JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }),
    );
  }

  async #deleteCollection({ request, response, path, query }: Exchange): Promise<void> {
    if (path.type.namespaced ? path.namespace === '' : path.type.plural === 'namespaces') throw methodNotAllowed();
    const { type, namespace } = path;
    const options = read.readDeleteOptions(query, await read.readBody(request));
    const matches = readSelectors(path, query);
    const text = listObjects(this.#options.store, {
      ...{ type, namespace, matches, limit: 0, continueToken: '', resourceVersion: '' },
      form: read.negotiate(request.headers.accept, 'list'),
    });
    const objects = [...this.#options.store.objects(type, namespace)].filter((object) => matches?.(object) !== false);
    this.#api.deleteAll(type, objects, options);
    sendJson(response, 200, text);
  }

  #fail(response: ServerResponse, error: unknown): void {
    if (response.destroyed) return;
    if (!(error instanceof ApiError)) this.#options.logger.error({ err: error }, 'sandbox request failed');
    const { body } =
      error instanceof ApiError
        ? error
        : new ApiError(500, 'InternalError', 'Internal error occurred: the sandbox has a bug; its log says which');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const seconds = body.details?.retryAfterSeconds;
    if (seconds !== undefined) response.setHeader('retry-after', String(seconds));
    sendJson(response, body.code, JSON.stringify(body));
  }
}

function targetOf({ type, namespace, name }: ApiPath): Target {
  return { type, namespace, name };
}

function checkWritable({ type, name, subresource }: ApiPath): void {
  const known = subresource === '' || (subresource === 'status' && type.hasStatus);
  if (name === '' || !known) throw methodNotAllowed();
}

function readSelectors({ type }: ApiPath, query: URLSearchParams) {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(type, query.get('fieldSelector') ?? '');
  if (labels === undefined) return fields;
  return fields === undefined ? labels : (object: KubeObject) => labels(object) && fields(object);
}

function readManager(query: URLSearchParams): string {
  const manager = query.get('fieldManager') ?? '';
  if (manager === '') {
    const found = cause.required('fieldManager', 'is required for apply patch');
    const message = `PatchOptions.meta.k8s.io "" is invalid: fieldManager: ${found.message}`;
    throw new ApiError(422, 'Invalid', message, { group: 'meta.k8s.io', kind: 'PatchOptions', causes: [found] });
  }
  if (!read.isTrue(query, 'force')) throw badRequest('the sandbox knows server-side apply with force=true only');
  return manager;
}

function sendObject(response: ServerResponse, status: number, object: KubeObject, request: IncomingMessage): void {
  sendJson(response, status, encodeObject(object, read.negotiate(request.headers.accept, 'object')));
}

function sendJson(response: ServerResponse, status: number, text: string): void {
  send(response, status, 'application/json', text);
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
