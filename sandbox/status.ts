import type { Cause, ResourceType } from './resource-type.ts';

/** Kubernetes' answer to anything that did not work. */
export interface StatusBody {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly continue?: string };
  readonly status: 'Failure';
  readonly message: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
}

/** Thrown by whatever refuses a request; the server sends its body. The shapes below were read off a 1.34 server. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly body: StatusBody;

  constructor(code: number, reason: string, message: string, details?: StatusDetails, next?: string) {
    super(message);
    this.body = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: next === undefined ? {} : { continue: next },
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

function about(type: ResourceType, name: string, kind = type.plural): StatusDetails {
  return { ...(name === '' ? {} : { name }), ...(type.group === '' ? {} : { group: type.group }), kind };
}

/** `secrets`, `networkpolicies.networking.k8s.io`: how messages call a resource. */
function qualified(type: ResourceType, word: string): string {
  return type.group === '' ? word : `${word}.${type.group}`;
}

export function notFound(type: ResourceType, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${qualified(type, type.plural)} "${name}" not found`, about(type, name));
}

export function alreadyExists(type: ResourceType, name: string, terminating: boolean): ApiError {
  const message = `${terminating ? 'object is being deleted: ' : ''}${qualified(type, type.plural)} "${name}" already exists`;
  return new ApiError(409, 'AlreadyExists', message, about(type, name));
}

export function conflict(type: ResourceType, name: string, why: string, word = type.plural): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(type, word)} "${name}": ${why}`;
  return new ApiError(409, 'Conflict', message, about(type, name, word));
}

export function modified(type: ResourceType, name: string): ApiError {
  const why = 'the object has been modified; please apply your changes to the latest version and try again';
  return conflict(type, name, why);
}

export function forbidden(type: ResourceType, name: string, why: string, causes?: readonly Cause[]): ApiError {
  const message = `${qualified(type, type.plural)} "${name}" is forbidden: ${why}`;
  return new ApiError(403, 'Forbidden', message, { ...about(type, name), ...(causes === undefined ? {} : { causes }) });
}

/** @param causes at least one */
export function invalid(type: ResourceType, name: string, causes: readonly Cause[]): ApiError {
  const all = causes.map(({ field, message }) => `${field}: ${message}`);
  const text = all.length === 1 ? all[0] : `[${all.join(', ')}]`;
  const message = `${qualified(type, type.kind)} "${name}" is invalid: ${text}`;
  return new ApiError(422, 'Invalid', message, { ...about(type, name, type.kind), causes });
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function undecodable(type: ResourceType, why: string): ApiError {
  return badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: ${why}`);
}

export function methodNotAllowed(): ApiError {
  return new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});
}

export function unknownResource(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized');
}

/** What is missing or wrong in one field of an object. */
export const cause = {
  required: (field: string, detail = ''): Cause => ({
    reason: 'FieldValueRequired',
    message: `Required value${detail === '' ? '' : `: ${detail}`}`,
    field,
  }),
  invalid: (field: string, value: unknown, detail: string): Cause => ({
    reason: 'FieldValueInvalid',
    message: `Invalid value: ${JSON.stringify(value)}: ${detail}`,
    field,
  }),
  duplicate: (field: string, value: unknown): Cause => ({
    reason: 'FieldValueDuplicate',
    message: `Duplicate value: ${JSON.stringify(value)}`,
    field,
  }),
  notFound: (field: string, value: unknown): Cause => ({
    reason: 'FieldValueNotFound',
    message: `Not found: ${JSON.stringify(value)}`,
    field,
  }),
  forbidden: (field: string, detail: string): Cause => ({
    reason: 'FieldValueForbidden',
    message: `Forbidden: ${detail}`,
    field,
  }),
  unsupported: (field: string, value: unknown, supported: readonly string[]): Cause => ({
    reason: 'FieldValueNotSupported',
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((s) => JSON.stringify(s)).join(', ')}`,
    field,
  }),
};
