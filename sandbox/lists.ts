import { encodeItem, type Form } from './encoding.ts';
import { isObject, type KubeObject } from './objects.ts';
import { apiVersionOf, type ResourceType } from './resource-type.ts';
import type { Matcher } from './selectors.ts';
import { ApiError, badRequest } from './status.ts';
import { type Store, TooOld } from './store.ts';

export interface ListRequest {
  readonly type: ResourceType;
  /** Empty for all namespaces. */
  readonly namespace: string;
  readonly matches: Matcher | undefined;
  readonly limit: number;
  readonly continueToken: string;
  readonly resourceVersion: string;
  readonly form: Form;
}

/** The place where the next page of a list begins, and the version all its pages are of. */
interface Continue {
  readonly version: number;
  readonly start: string;
}

/** The answer to a list, as JSON. @throws ApiError 400, 410 or 504 */
export function listObjects(store: Store, request: ListRequest): string {
  const from = readContinue(request);
  const version = from?.version ?? currentVersion(store, request.resourceVersion);
  const { items, next, remaining } = page(store, request, version, from?.start ?? '');
  const metadata = {
    resourceVersion: String(version),
    ...(next === undefined ? {} : { continue: encodeContinue(version, next, request.namespace) }),
    ...(remaining === undefined ? {} : { remainingItemCount: remaining }),
  };
  const head =
    request.form === 'metadata'
      ? '"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1"'
      : `"kind":"${request.type.kind}List","apiVersion":"${apiVersionOf(request.type)}"`;
  const body = items.map((item) => encodeItem(item, request.form)).join(',');
  return `{${head},"metadata":${JSON.stringify(metadata)},"items":[${body}]}`;
}

interface Page {
  readonly items: KubeObject[];
  /** Key after which the next page begins. */
  readonly next: string | undefined;
  /** How many are left; unknown when a selector was given. */
  readonly remaining: number | undefined;
}

function page(store: Store, request: ListRequest, version: number, start: string): Page {
  const { type, namespace, matches, limit } = request;
  const items: KubeObject[] = [];
  const entries = sortedEntries(store, type, namespace, version);
  for (const [index, [key, object]] of entries.entries()) {
    if (key < start || matches?.(object) === false) continue;
    items.push(object);
    if (limit === 0 || items.length < limit) continue;
    const rest = entries.slice(index + 1);
    const isMore = matches === undefined ? rest.length > 0 : rest.some(([, other]) => matches(other));
    if (!isMore) break;
    return { items, next: key, remaining: matches === undefined ? rest.length : undefined };
  }
  return { items, next: undefined, remaining: undefined };
}

const EXPIRED =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
  'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
  'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
  'deleted between the time the first chunk was returned and now may show up in the list.';

function sortedEntries(store: Store, type: ResourceType, namespace: string, version: number) {
  try {
    return store.sorted(type, namespace, version);
  } catch (error) {
    if (error instanceof TooOld) throw new ApiError(410, 'Expired', EXPIRED);
    throw error;
  }
}

function currentVersion(store: Store, asked: string): number {
  const wanted = parseVersion(asked);
  if (wanted <= store.version) return store.version;
  const message = `Timeout: Too large resource version: ${asked}, current: ${String(store.version)}`;
  const causes = [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' }];
  throw new ApiError(504, 'Timeout', message, { causes, retryAfterSeconds: 1 });
}

/** @throws ApiError 500, as the server answers a resourceVersion that is no number */
export function parseVersion(text: string): number {
  if (text === '') return 0;
  if (/^\d+$/.test(text)) return Number(text);
  const why = `strconv.ParseUint: parsing "${text}": invalid syntax`;
  throw new ApiError(500, '', `resourceVersion: Invalid value: "${text}": ${why}`);
}

function encodeContinue(version: number, after: string, namespace: string): string {
  // Tokens name the key inside of the namespace that was listed.
  const key = namespace === '' ? after : after.slice(namespace.length + 1);
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: version, start: `${key}\0` })).toString('base64url');
}

function readContinue({ continueToken, resourceVersion, namespace }: ListRequest): Continue | undefined {
  if (continueToken === '') return undefined;
  if (resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  let token: unknown;
  try {
    token = JSON.parse(Buffer.from(continueToken, 'base64url').toString('utf8'));
  } catch {
    token = undefined;
  }
  if (!isObject(token) || typeof token['rv'] !== 'number' || typeof token['start'] !== 'string') {
    throw badRequest('invalid continue token: continue key is not valid');
  }
  return { version: token['rv'], start: namespace === '' ? token['start'] : `/${namespace}${token['start']}` };
}
