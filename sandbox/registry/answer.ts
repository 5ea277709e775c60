import type { IncomingMessage, ServerResponse } from 'node:http';
import { isDigest, type RegistryContent } from './content.ts';
import { refuse } from './errors.ts';
import type { Route } from './route.ts';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly route: Route | undefined;
  readonly content: RegistryContent;
  readonly origin: string;
}

type Resource = Extract<Route, { readonly repository: string }>;
type Handler = (exchange: Exchange, route: Resource) => void | Promise<void>;

const MANIFEST_BYTES = 4 * 2 ** 20;
const BLOB_BYTES = 32 * 2 ** 20;

const HANDLERS: Readonly<Record<Resource['kind'], Readonly<Record<string, Handler>>>> = {
  manifests: { DELETE: deleteManifest, GET: getManifest, HEAD: getManifest, PUT: putManifest },
  blobs: { GET: getBlob, HEAD: getBlob },
  tags: { GET: listTags },
  begin: { POST: beginUpload },
  upload: { DELETE: cancelUpload, GET: showUpload, PATCH: continueUpload, PUT: finishUpload },
};

/** Does what a request asks for. @throws Refusal */
export async function answer(exchange: Exchange): Promise<void> {
  const { request, response, route } = exchange;
  const { method = 'GET' } = request;
  if (route?.kind === 'base') {
    send(response, 200, 'application/json; charset=utf-8', '{}');
  } else if (route === undefined || route.kind === 'token') {
    send(response, 404, 'text/plain; charset=utf-8', '404 page not found\n');
  } else {
    const handlers = HANDLERS[route.kind];
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
    if (handler !== undefined) return handler(exchange, route);
    response.setHeader('allow', Object.keys(handlers).join(', '));
    send(response, 405, 'text/plain; charset=utf-8', 'Method not allowed\n');
  }
}

function getManifest({ request, response, content }: Exchange, { repository, reference }: Resource): void {
  const found = content.manifest(repository, reference);
  if (found === undefined) {
    throw refuse.manifest(isDigest(reference) ? { Name: repository, Revision: reference } : { Tag: reference });
  }
  const { type, bytes, digest } = found;
  // The reference implementation converts Docker's own types for clients of old, and has no answer to others.
  const accepted = (request.headers.accept ?? '').split(',').map((each) => each.split(';')[0]?.trim());
  if (type.startsWith('application/vnd.oci.') && !accepted.includes(type)) throw refuse.manifestType(type);
  response.setHeader('docker-content-digest', digest);
  response.setHeader('etag', `"${digest}"`);
  send(response, 200, type, bytes);
}

async function putManifest({ request, response, content, origin }: Exchange, route: Resource): Promise<void> {
  const { repository, reference } = route;
  const bytes = await readBody(request, MANIFEST_BYTES);
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
  const digest = content.putManifest(repository, reference, { type, bytes });
  response.setHeader('docker-content-digest', digest);
  response.setHeader('location', `${origin}/v2/${repository}/manifests/${digest}`);
  send(response, 201);
}

function deleteManifest({ response, content }: Exchange, { repository, reference }: Resource): void {
  if (!isDigest(reference)) throw refuse.digest();
  content.deleteManifest(repository, reference);
  send(response, 202);
}

function getBlob({ response, content }: Exchange, { repository, reference }: Resource): void {
  if (!isDigest(reference)) throw refuse.digest({});
  const blob = content.blob(repository, reference);
  if (blob === undefined) throw refuse.blob(reference);
  response.setHeader('docker-content-digest', reference);
  response.setHeader('etag', `"${reference}"`);
  send(response, 200, 'application/octet-stream', blob);
}

/** All of them: like the reference implementation of that version, without pages. */
function listTags({ response, content }: Exchange, { repository }: Resource): void {
  const tags = content.tags(repository);
  if (tags === undefined) throw refuse.name(repository);
  send(response, 200, 'application/json; charset=utf-8', `${JSON.stringify({ name: repository, tags })}\n`);
}

function beginUpload(exchange: Exchange, route: Resource): void {
  const id = exchange.content.beginUpload(route.repository);
  sendUpload(exchange, { ...route, reference: id }, 202);
}

function showUpload(exchange: Exchange, route: Resource): void {
  checkUpload(exchange, route);
  sendUpload(exchange, route, 204);
}

async function continueUpload(exchange: Exchange, route: Resource): Promise<void> {
  checkUpload(exchange, route);
  exchange.content.append(route.reference, await readBody(exchange.request, BLOB_BYTES));
  sendUpload(exchange, route, 202);
}

async function finishUpload(exchange: Exchange, route: Resource): Promise<void> {
  const { request, response, content, origin } = exchange;
  checkUpload(exchange, route);
  const digest = route.query.get('digest') ?? '';
  if (!isDigest(digest)) throw refuse.digest('digest missing');
  content.append(route.reference, await readBody(request, BLOB_BYTES));
  content.finishUpload(route.repository, route.reference, digest);
  response.setHeader('docker-content-digest', digest);
  response.setHeader('location', `${origin}/v2/${route.repository}/blobs/${digest}`);
  send(response, 201);
}

function cancelUpload(exchange: Exchange, route: Resource): void {
  checkUpload(exchange, route);
  exchange.content.endUpload(route.reference);
  exchange.response.setHeader('docker-upload-uuid', route.reference);
  exchange.response.writeHead(204).end();
}

/** It must be there, and stand where the client has last seen it: the location of each answer says where that is. */
function checkUpload({ content }: Exchange, { repository, reference, query }: Resource): void {
  const size = content.uploaded(repository, reference);
  if (size === undefined) throw refuse.upload();
  if (query.get('_state') !== String(size)) throw refuse.stale();
}

function sendUpload({ response, content, origin }: Exchange, route: Resource, status: 202 | 204): void {
  const { repository, reference: id } = route;
  const size = content.uploaded(repository, id) ?? 0;
  response.setHeader('docker-upload-uuid', id);
  response.setHeader('location', `${origin}/v2/${repository}/blobs/uploads/${id}?_state=${size}`);
  response.setHeader('range', `0-${Math.max(0, size - 1)}`);
  if (status === 204) response.writeHead(204).end();
  else send(response, status);
}

async function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw refuse.full();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, status: number, type?: string, body: string | Buffer = ''): void {
  if (type !== undefined) response.setHeader('content-type', type);
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
}
