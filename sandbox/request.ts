import type { IncomingMessage } from 'node:http';
import { parse } from 'yaml';
import type { DeleteOptions, Propagation } from './deletion.ts';
import type { Form } from './encoding.ts';
import { objectAt } from './kinds/common.ts';
import { isObject } from './objects.ts';
import type { ResourceType } from './resource-type.ts';
import { findResourceType } from './resource-types.ts';
import { ApiError, badRequest, cause, unknownResource } from './status.ts';

/** What a URL under `/api` or `/apis` means. */
export interface ApiPath {
  readonly type: ResourceType;
  readonly namespace: string;
  /** Empty for a collection. */
  readonly name: string;
  readonly subresource: string;
}

/** Kubernetes' limit for the body of a request. */
const MAX_BODY = 3 * 1024 * 1024;
const GROUPS = ['/v1', 'batch/v1', 'coordination.k8s.io/v1', 'networking.k8s.io/v1'];

/**
 * Reads `/api/v1/namespaces/NS/pods/NAME/status` and the like; undefined when it is no path of the API at all.
 *
 * @throws ApiError 404 for a resource that the API group does not have
 */
export function parsePath(pathname: string): ApiPath | undefined {
  const parts = pathname.split('/').slice(1).map(decodeSegment);
  if (parts.at(-1) === '') parts.pop();
  const [root, ...below] = parts;
  if (root === 'api') return parseResource('', below);
  if (root === 'apis') return parseResource(below[0] ?? '', below.slice(1));
  return undefined;
}

function parseResource(group: string, [version = '', ...rest]: readonly string[]): ApiPath | undefined {
  if (!GROUPS.includes(`${group}/${version}`) || rest.length === 0) return undefined;
  // A namespace's own subresources look like resources inside of it.
  const inside = rest[0] === 'namespaces' && rest.length > 2 && !['status', 'finalize'].includes(rest[2] ?? '');
  const [plural = '', name = '', subresource = '', more] = inside ? rest.slice(2) : rest;
  const type = findResourceType(group, version, plural);
  if (type === undefined || more !== undefined) throw unknownResource();
  // An object in a namespace is reached through it, one outside of all is not.
  if (inside ? !type.namespaced : type.namespaced && name !== '') throw unknownResource();
  return { type, namespace: inside ? (rest[1] ?? '') : '', name, subresource };
}

function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badRequest('the path of the request is not valid');
  }
}

/** The body of a request as text. @throws ApiError 413 */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) {
      throw new ApiError(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${String(MAX_BODY)}`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The body of a create or an update. @throws ApiError 400 or 415 */
export function parseObjectBody(contentType: string, text: string, type: ResourceType): unknown {
  const accepted = ['application/json', 'application/yaml', ''];
  if (!accepted.includes(contentType)) {
    const message =
      'the body of the request was in an unknown format - accepted media types include: application/json, application/yaml';
    throw new ApiError(415, 'UnsupportedMediaType', message);
  }
  return parseText(text, contentType === 'application/yaml', (why) =>
    badRequest(
      `the object provided is unrecognized (must be of type ${type.kind}): couldn't get version/kind; json parse error: ${why}`,
    ),
  );
}

/** The body of a patch, JSON or, for server-side apply, YAML. @throws ApiError 400 */
export function parsePatchBody(text: string, yaml: boolean): unknown {
  return parseText(text, yaml, (why) => badRequest(`error decoding patch: ${why}`));
}

function parseText(text: string, yaml: boolean, refuse: (why: string) => ApiError): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!yaml) throw refuse(error instanceof Error ? error.message : 'not JSON');
  }
  try {
    return parse(text, { logLevel: 'error' });
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : 'not YAML');
  }
}

export function mediaType(header: string | undefined): string {
  return (header ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

/**
 * In which form the caller wants the answer: the first of the types in its Accept header that the sandbox has.
 *
 * @throws ApiError 406
 */
export function negotiate(accept: string | undefined, answer: 'object' | 'list'): Form {
  const wanted = (accept ?? '').trim() === '' ? '*/*' : (accept ?? '');
  for (const entry of wanted.split(',')) {
    const [type = '', ...parameters] = entry.split(';').map((part) => part.trim());
    if (!['application/json', 'application/*', '*/*'].includes(type)) continue;
    const parameter = new Map(parameters.map((text) => text.split('=', 2) as [string, string | undefined]));
    const as = parameter.get('as');
    const [group, version] = [parameter.get('g'), parameter.get('v')];
    if (as === undefined && group === undefined && version === undefined) return 'full';
    if (group !== 'meta.k8s.io' || version !== 'v1') continue;
    if (as === 'PartialObjectMetadata' && answer === 'object') return 'metadata';
    if (as === 'PartialObjectMetadataList' && answer === 'list') return 'metadata';
  }
  throw new ApiError(
    406,
    'NotAcceptable',
    'only the following media types are accepted: application/json, application/json;as=PartialObjectMetadata(List);g=meta.k8s.io;v=v1',
  );
}

/** Whether nothing is to be stored. @throws ApiError 422 for anything but `All` */
export function isDryRun(query: URLSearchParams, kind: string): boolean {
  const given = query.getAll('dryRun');
  const wrong = given.find((value) => value !== 'All');
  if (wrong === undefined) return given.length > 0;
  const found = cause.unsupported('dryRun', given, ['All']);
  const message = `${kind}.meta.k8s.io "" is invalid: dryRun: ${found.message}`;
  throw new ApiError(422, 'Invalid', message, { group: 'meta.k8s.io', kind, causes: [found] });
}

/** Options of a delete, from its body and its query. @throws ApiError 400 */
export function readDeleteOptions(query: URLSearchParams, text: string): DeleteOptions {
  const body = text === '' ? {} : parsePatchBody(text, true);
  if (!isObject(body)) throw badRequest('the options of the delete are not an object');
  const preconditions = objectAt(body, 'preconditions');
  const grace = body['gracePeriodSeconds'] ?? numberIn(query, 'gracePeriodSeconds');
  const dry = Array.isArray(body['dryRun']) && body['dryRun'].includes('All');
  return {
    dryRun: dry || isDryRun(query, 'DeleteOptions'),
    uid: typeof preconditions['uid'] === 'string' ? preconditions['uid'] : undefined,
    resourceVersion:
      typeof preconditions['resourceVersion'] === 'string' ? preconditions['resourceVersion'] : undefined,
    gracePeriodSeconds: typeof grace === 'number' ? grace : undefined,
    propagation: readPropagation(body['propagationPolicy'] ?? query.get('propagationPolicy'), body['orphanDependents']),
  };
}

const PROPAGATIONS = ['Orphan', 'Background', 'Foreground'] as const;

function readPropagation(policy: unknown, orphan: unknown): Propagation | undefined {
  // The field that came before the policy.
  if (typeof orphan === 'boolean') return orphan ? 'Orphan' : 'Background';
  if (policy === undefined || policy === null) return undefined;
  const known = PROPAGATIONS.find((name) => name === policy);
  if (known !== undefined) return known;
  const found = cause.unsupported('propagationPolicy', policy, ['Background', 'Foreground', 'Orphan', 'nil']);
  const message = `DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: ${found.message}`;
  throw new ApiError(422, 'Invalid', message, { group: 'meta.k8s.io', kind: 'DeleteOptions', causes: [found] });
}

/** A whole number in the query; undefined when it is not there. @throws ApiError 400 */
export function numberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d+$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`);
  }
  return Number(text);
}

export function isTrue(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  return text === 'true' || text === '1';
}
