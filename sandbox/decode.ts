import { isObject, type KubeObject } from './objects.ts';
import { parseQuantity, QUANTITY_ERROR } from './quantity.ts';
import { apiVersionOf, type ResourceType } from './resource-type.ts';
import { badRequest, undecodable } from './status.ts';

type Shape = 'object' | 'list' | 'text' | 'integer' | 'microTime' | 'texts' | 'quantities' | 'base64';

/** Fields by name, wherever they stand in an object, whose JSON type the server insists on. */
const SHAPES: Readonly<Record<string, Shape>> = {
  ...shaped('object', ['resources', 'securityContext', 'podSelector', 'involvedObject']),
  ...shaped('list', ['containers', 'initContainers', 'volumes', 'volumeMounts', 'env', 'envFrom', 'ports']),
  ...shaped('list', ['tolerations', 'finalizers', 'imagePullSecrets', 'accessModes', 'policyTypes', 'ownerReferences']),
  ...shaped('text', ['name', 'namespace', 'generateName', 'uid', 'resourceVersion', 'image', 'nodeName', 'phase']),
  ...shaped('text', ['serviceAccountName', 'restartPolicy', 'mountPath', 'clusterIP', 'holderIdentity']),
  ...shaped('integer', ['leaseDurationSeconds', 'leaseTransitions']),
  ...shaped('microTime', ['acquireTime', 'renewTime']),
  ...shaped('texts', ['labels', 'annotations', 'nodeSelector', 'matchLabels', 'stringData']),
  ...shaped('quantities', ['limits', 'requests', 'hard', 'default', 'defaultRequest', 'max', 'min']),
};
/** The same for fields at the top, whose names mean something else further down. */
const TOP_SHAPES = shaped('object', ['metadata', 'spec', 'status']);
const MAX_DEPTH = 64;
/** RFC 3339 with six digits after the second, neither more nor fewer. */
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(?:Z|[+-]\d\d:\d\d)$/;

function shaped(shape: Shape, names: readonly string[]): Record<string, Shape> {
  return Object.fromEntries(names.map((name) => [name, shape]));
}

/**
 * Reads an object of one kind out of a request's body.
 *
 * @throws ApiError 400 when it is of another kind or a field is of another type than the kind has there
 */
export function decodeObject(type: ResourceType, body: unknown): KubeObject {
  if (!isObject(body)) throw badRequest(`the object provided is unrecognized (must be of type ${type.kind})`);
  const { apiVersion = apiVersionOf(type), kind = type.kind } = body;
  if (kind !== type.kind || apiVersion !== apiVersionOf(type)) {
    throw badRequest(
      `${String(kind)} in version "${String(apiVersion)}" cannot be handled as a ${type.kind}: ` +
        `converting (${String(apiVersion)}.${String(kind)}) to (${type.kind}): unknown conversion`,
    );
  }
  const metadata = body['metadata'] ?? {};
  checkShapes(type, { ...body, metadata }, '', 0);
  const name = isObject(metadata) && typeof metadata['name'] === 'string' ? metadata['name'] : '';
  return { ...body, apiVersion: apiVersionOf(type), kind: type.kind, metadata: { ...metadata, name } };
}

function checkShapes(type: ResourceType, value: unknown, path: string, depth: number): void {
  if (depth > MAX_DEPTH) throw undecodable(type, 'the object is nested too deeply');
  if (Array.isArray(value)) {
    for (const item of value) checkShapes(type, item, path, depth + 1);
    return;
  }
  if (!isObject(value)) return;
  for (const [field, inner] of Object.entries(value)) {
    const here = path === '' ? field : `${path}.${field}`;
    const shape = path === '' ? topShape(type, field) : SHAPES[field];
    if (shape !== undefined && inner !== null) checkShape(type, shape, inner, here);
    // Contents that people write are not looked into.
    if (shape !== 'texts' && shape !== 'base64') checkShapes(type, inner, here, depth + 1);
  }
}

function topShape(type: ResourceType, field: string): Shape | undefined {
  if (field !== 'data') return TOP_SHAPES[field] ?? SHAPES[field];
  return type.kind === 'Secret' ? 'base64' : type.kind === 'ConfigMap' ? 'texts' : undefined;
}

function checkShape(type: ResourceType, shape: Shape, value: unknown, path: string): void {
  // A LimitRange has its limits in a list, a container in an object.
  if (path === 'spec.limits' && type.kind === 'LimitRange') shape = 'list';
  const wrong = (inner: unknown, at: string, wanted: string) =>
    undecodable(type, `json: cannot unmarshal ${jsonType(inner)} into Go struct field ${at} of type ${wanted}`);
  if (shape === 'list') {
    if (!Array.isArray(value)) throw wrong(value, path, 'list');
    return;
  }
  if (shape === 'text' || shape === 'microTime') {
    if (typeof value !== 'string') throw wrong(value, path, 'string');
    if (shape === 'microTime' && !MICRO_TIME.test(value)) {
      throw undecodable(type, `parsing time "${value}" as "2006-01-02T15:04:05.000000Z07:00"`);
    }
    return;
  }
  if (shape === 'integer') {
    if (!Number.isInteger(value)) throw wrong(value, path, 'int32');
    return;
  }
  if (!isObject(value)) throw wrong(value, path, shape === 'object' ? 'object' : 'map');
  for (const [key, inner] of Object.entries(value)) {
    if (shape === 'texts' && typeof inner !== 'string') throw wrong(inner, `${path}.${key}`, 'string');
    if (shape === 'quantities' && parseQuantity(inner) === undefined) throw undecodable(type, QUANTITY_ERROR);
    if (shape === 'base64') checkBase64(type, inner);
  }
}

function checkBase64(type: ResourceType, value: unknown): void {
  const text = typeof value === 'string' ? value : '';
  const bad = text.replaceAll(/[\r\n]/g, '').search(/[^A-Za-z0-9+/=]/);
  if (typeof value !== 'string' || bad !== -1 || text.length % 4 !== 0) {
    throw undecodable(type, `illegal base64 data at input byte ${String(Math.max(bad, 0))}`);
  }
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}
