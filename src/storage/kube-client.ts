import type { KubernetesListObject, KubernetesObject } from '@kubernetes/client-node';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import type { KubeConnection } from './connection.ts';
import { errorCode, errorFromAnswer, isKubeError, KubeError, type Target } from './kube-error.ts';
import { type Priority, RequestLimiter } from './request-limiter.ts';
import { pathOf, type Ref, type Resource } from './resources.ts';
import { readWatchEvents, type WatchEvent } from './watch-events.ts';

export interface CallOptions {
  /** Ends the call early. */
  readonly signal?: AbortSignal;
  /** For the whole call, its waiting and its retries included; default from the client. */
  readonly timeoutMs?: number;
  readonly priority?: Priority;
  /** Ask the API server to check everything and store nothing. */
  readonly dryRun?: boolean;
  /** Ask for `metadata` alone of the objects in the answer: no status, no data, no secrets. */
  readonly metadataOnly?: boolean;
}

/** For writes of whose answer only the metadata is looked at: parsing the rest would be a tenth of a spawn's CPU. */
export const METADATA_ONLY = { metadataOnly: true } as const;

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** As in CallOptions. */
  readonly metadataOnly?: boolean;
}

export interface DeleteOptions extends CallOptions {
  /** Delete only if the object still has this uid. */
  readonly uid?: string;
  /** Delete only if the object has not changed since. */
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
}

export interface KubeClientOptions {
  readonly connection: KubeConnection;
  /** Deadline of one call unless it says otherwise. */
  readonly timeoutMs?: number;
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly inFlight?: number;
}

type Query = Record<string, string | undefined>;

interface Call {
  readonly method: Dispatcher.HttpMethod;
  readonly target: Target;
  readonly path: string;
  readonly query?: Query;
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
  /** Whether doing it twice is the same as doing it once. */
  readonly idempotent: boolean;
  readonly options: CallOptions;
}

const MANAGER = 'labwright';
const ATTEMPTS = 4;
const FIRST_RETRY_MS = 100;
const PAGE_SIZE = 500;
const JSON_TYPE = 'application/json';
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/**
 * The one client of the Kubernetes API. Types come from client-node, requests go over one pool of connections
 * (docs/decisions/kubernetes-client.md says why not over client-node's generated API).
 *
 * Every call has a deadline. What failed without an answer, with 429 or with 5xx is tried again when doing it twice is
 * the same as doing it once; a create is tried again only where the server certainly did nothing. `Retry-After` is
 * honoured. Every other failure is one `KubeError`.
 */
export class KubeClient {
  readonly #connection: KubeConnection;
  readonly #origin: string;
  readonly #basePath: string;
  readonly #timeoutMs: number;
  readonly #limiter: RequestLimiter;

  constructor({
    connection,
    timeoutMs = 10_000,
    requestsPerSecond = 1000,
    burst = 1000,
    inFlight = 64,
  }: KubeClientOptions) {
    this.#connection = connection;
    const { origin, pathname } = new URL(connection.server);
    this.#origin = origin;
    this.#basePath = pathname.replace(/\/$/, '');
    this.#timeoutMs = timeoutMs;
    this.#limiter = new RequestLimiter({ requestsPerSecond, burst, inFlight });
  }

  get server(): string {
    return this.#connection.server;
  }

  /** @throws KubeError 409 `AlreadyExists` when there is one of that name */
  create<T extends KubernetesObject>(resource: Resource<T>, object: T, options: CallOptions = {}): Promise<T> {
    const namespace = object.metadata?.namespace;
    return this.#object(resource, {
      method: 'POST',
      target: { verb: 'create', kind: resource.kind, namespace, name: object.metadata?.name },
      path: pathOf(resource, namespace),
      body: { apiVersion: resource.apiVersion, kind: resource.kind, ...object },
      idempotent: false,
      options,
    });
  }

  /** Server-side apply: creates the object or makes the fields given here so, and ours. */
  apply<T extends KubernetesObject>(resource: Resource<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = refOf(object);
    return this.#object(resource, {
      method: 'PATCH',
      target: { verb: 'apply', kind: resource.kind, namespace, name },
      path: pathOf(resource, namespace, name),
      query: { force: 'true' },
      body: { apiVersion: resource.apiVersion, kind: resource.kind, ...object },
      contentType: 'application/apply-patch+yaml',
      idempotent: true,
      options,
    });
  }

  /** PUT. With a `resourceVersion` in it, it fails with 409 `Conflict` when somebody else was faster. */
  replace<T extends KubernetesObject>(resource: Resource<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = refOf(object);
    return this.#object(resource, {
      method: 'PUT',
      target: { verb: 'replace', kind: resource.kind, namespace, name },
      path: pathOf(resource, namespace, name),
      body: { apiVersion: resource.apiVersion, kind: resource.kind, ...object },
      idempotent: false,
      options,
    });
  }

  /**
   * JSON merge patch (RFC 7396). `metadata.resourceVersion` in it is a precondition (409), and so is `metadata.uid` (422).
   */
  patch<T extends KubernetesObject>(
    resource: Resource<T>,
    { namespace, name }: Ref,
    mergePatch: object,
    options: CallOptions & { readonly subresource?: 'status' } = {},
  ): Promise<T> {
    return this.#object(resource, {
      method: 'PATCH',
      target: { verb: 'patch', kind: resource.kind, namespace, name },
      path: pathOf(resource, namespace, name, options.subresource),
      body: mergePatch,
      contentType: 'application/merge-patch+json',
      idempotent: true,
      options,
    });
  }

  /** POST to a subresource such as `binding` or `eviction`. */
  createSubresource(
    resource: Resource<KubernetesObject>,
    { namespace, name }: Ref,
    subresource: string,
    body: object,
    options: CallOptions = {},
  ): Promise<unknown> {
    return this.#call({
      method: 'POST',
      target: { verb: `create ${subresource} of`, kind: resource.kind, namespace, name },
      path: pathOf(resource, namespace, name, subresource),
      query: writeQuery(options),
      body,
      idempotent: false,
      options,
    });
  }

  /** The object, or undefined when there is none. */
  async get<T extends KubernetesObject>(
    resource: Resource<T>,
    { namespace, name }: Ref,
    options: CallOptions = {},
  ): Promise<T | undefined> {
    try {
      return (await this.#call({
        method: 'GET',
        target: { verb: 'get', kind: resource.kind, namespace, name },
        path: pathOf(resource, namespace, name),
        idempotent: true,
        options,
      })) as T;
    } catch (error) {
      if (isKubeError(error, 404)) return undefined;
      throw error;
    }
  }

  /**
   * All objects, page by page. The deadline is for each page. An expired continue token (410) is thrown: the caller
   * starts again.
   */
  async list<T extends KubernetesObject>(
    resource: Resource<T>,
    options: ListOptions & CallOptions = {},
  ): Promise<{ items: T[]; resourceVersion: string }> {
    const items: T[] = [];
    let resourceVersion = '';
    for await (const page of this.listPages(resource, options)) {
      items.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    return { items, resourceVersion };
  }

  /** As `list`, one page at a time, for those who do not want to hold all of it. */
  async *listPages<T extends KubernetesObject>(
    resource: Resource<T>,
    options: ListOptions & CallOptions & { readonly pageSize?: number } = {},
  ): AsyncGenerator<{ items: T[]; resourceVersion: string; last: boolean }> {
    let token: string | undefined;
    do {
      const page = (await this.#call({
        method: 'GET',
        target: { verb: 'list', kind: resource.kind, namespace: options.namespace },
        path: pathOf(resource, options.namespace),
        query: { ...selectorQuery(options), limit: String(options.pageSize ?? PAGE_SIZE), continue: token },
        accept: options.metadataOnly === true ? METADATA_LIST : JSON_TYPE,
        idempotent: true,
        options,
      })) as Omit<KubernetesListObject<T>, 'items'> & { items: T[] | null };
      token = page.metadata?._continue ?? (page.metadata as { continue?: string } | undefined)?.continue;
      if (token === '') token = undefined;
      // An empty list of metadata is written as null.
      yield {
        items: page.items ?? [],
        resourceVersion: page.metadata?.resourceVersion ?? '',
        last: token === undefined,
      };
    } while (token !== undefined);
  }

  /**
   * @returns `gone` when the object is not there (any more), `accepted` when it is still ending (grace, finalizers)
   * @throws KubeError 409 when the object has another uid than asked for
   */
  async delete(
    resource: Resource<KubernetesObject>,
    { namespace, name }: Ref,
    options: DeleteOptions = {},
  ): Promise<'gone' | 'accepted'> {
    try {
      const answer = (await this.#call({
        method: 'DELETE',
        target: { verb: 'delete', kind: resource.kind, namespace, name },
        path: pathOf(resource, namespace, name),
        body: deleteBody(options),
        accept: METADATA,
        idempotent: true,
        options,
      })) as KubernetesObject;
      return answer.kind === 'Status' || answer.metadata?.deletionTimestamp === undefined ? 'gone' : 'accepted';
    } catch (error) {
      if (isKubeError(error, 404)) return 'gone';
      throw error;
    }
  }

  /** Deletes everything that the selector matches in one namespace. A namespace that is missing or ending is fine. */
  async deleteCollection(
    resource: Resource<KubernetesObject>,
    namespace: string,
    labelSelector: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    try {
      await this.#call({
        method: 'DELETE',
        target: { verb: 'delete all', kind: resource.kind, namespace },
        path: pathOf(resource, namespace),
        query: { labelSelector },
        body: deleteBody(options),
        accept: METADATA_LIST,
        idempotent: true,
        options,
      });
    } catch (error) {
      if (!isKubeError(error, 404)) throw error;
    }
  }

  /**
   * Events of a collection after `resourceVersion`, until the server ends the stream (after `timeoutSeconds`) or
   * `signal` aborts. A stream on which nothing arrives for `silenceMs` is ended with the error `Silent`.
   *
   * @throws KubeError 410 when the version has expired, as an answer or as an event of the stream
   */
  async *watch<T extends KubernetesObject>(
    resource: Resource<T>,
    options: ListOptions & {
      readonly resourceVersion: string;
      readonly signal: AbortSignal;
      readonly timeoutSeconds?: number;
      readonly silenceMs?: number;
      /** Called when the server has accepted the watch. */
      readonly onOpen?: () => void;
    },
  ): AsyncGenerator<WatchEvent<T>> {
    const target = { verb: 'watch', kind: resource.kind, namespace: options.namespace };
    const { timeoutSeconds = 300, silenceMs = 90_000, signal } = options;
    const call: Call = {
      method: 'GET',
      target,
      path: pathOf(resource, options.namespace),
      query: {
        ...selectorQuery(options),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: options.resourceVersion,
        timeoutSeconds: String(timeoutSeconds),
      },
      accept: options.metadataOnly === true ? METADATA : JSON_TYPE,
      idempotent: true,
      options,
    };
    // The deadline is for the answer to begin; after that, silence is what ends a watch.
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const credentials = AbortSignal.any([signal, deadline]);
    const timeouts = { headersTimeout: this.#timeoutMs, bodyTimeout: silenceMs };
    const answer = await this.#send(call, signal, timeouts, credentials).catch((cause: unknown) => {
      throw asKubeError(target, cause, deadline);
    });
    if (answer.statusCode !== 200) {
      throw errorFromAnswer(target, answer.statusCode, await answer.body.text(), answer.headers['retry-after']);
    }
    options.onOpen?.();
    yield* readWatchEvents<T>(answer.body, target, signal);
  }

  /** Whether the API server answers at all, with its version. @throws KubeError when it does not. */
  async version(options: CallOptions = {}): Promise<string> {
    const answer = (await this.#call({
      method: 'GET',
      target: { verb: 'get', kind: 'version' },
      path: '/version',
      idempotent: true,
      options,
    })) as { gitVersion?: string };
    return answer.gitVersion ?? 'unknown';
  }

  close(): Promise<void> {
    return this.#connection.dispatcher.destroy();
  }

  async #object<T extends KubernetesObject>(_resource: Resource<T>, call: Call): Promise<T> {
    return (await this.#call({ ...call, query: { ...call.query, ...writeQuery(call.options) } })) as T;
  }

  /** One call with its deadline, its turn in the limiter and its retries. */
  async #call(call: Call): Promise<unknown> {
    const timeoutMs = call.options.timeoutMs ?? this.#timeoutMs;
    const endsAt = performance.now() + timeoutMs;
    // Not AbortSignal.timeout: its timers live on after the call, thousands of them in a rush.
    const ended = new AbortController();
    const timer = setTimeout(
      () => ended.abort(new DOMException('no answer before the timeout', 'TimeoutError')),
      timeoutMs,
    );
    const deadline = ended.signal;
    const signal = call.options.signal === undefined ? deadline : AbortSignal.any([deadline, call.options.signal]);
    try {
      return await this.#attempts(call, signal, deadline, endsAt);
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempts(call: Call, signal: AbortSignal, deadline: AbortSignal, endsAt: number): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#limiter.acquire(call.options.priority ?? 'interactive', signal);
        try {
          return await this.#attempt(call, signal);
        } finally {
          this.#limiter.release();
        }
      } catch (cause) {
        const error = asKubeError(call.target, cause, deadline);
        if (call.options.signal?.aborted === true || attempt === ATTEMPTS || !mayRetry(call, error)) throw error;
        const jitter = Math.random() / 2;
        // Not a moment earlier than the server asks for, and not at all when there is no time left then.
        const wait =
          error.retryAfterMs === undefined
            ? FIRST_RETRY_MS * 2 ** (attempt - 1) * (0.75 + jitter)
            : error.retryAfterMs + FIRST_RETRY_MS * jitter;
        if (performance.now() + wait >= endsAt) throw error;
        await delay(wait, undefined, { signal }).catch(() => {
          throw error;
        });
      }
    }
  }

  async #attempt(call: Call, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#send(call, signal);
    const text = await answer.body.text();
    if (answer.statusCode >= 200 && answer.statusCode < 300) {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        // Without the cause: it quotes the answer, which may be a Secret.
        throw new KubeError(call.target, { status: 0, reason: 'NoAnswer', message: 'the answer is not JSON' });
      }
    }
    throw errorFromAnswer(call.target, answer.statusCode, text, answer.headers['retry-after']);
  }

  /** @param patience for the credentials */
  async #send(
    call: Call,
    signal: AbortSignal,
    timeouts: { headersTimeout?: number; bodyTimeout?: number } = {},
    patience = signal,
  ) {
    // An exec plugin that hangs must not hold the call beyond its deadline.
    const credentials = await orAborted(this.#connection.headers(), patience);
    const accept = call.accept ?? (call.options.metadataOnly === true ? METADATA : JSON_TYPE);
    const headers: Record<string, string> = { ...credentials, accept };
    if (call.body !== undefined) headers['content-type'] = call.contentType ?? JSON_TYPE;
    return this.#connection.dispatcher.request({
      origin: this.#origin,
      path: `${this.#basePath}${call.path}${queryString(call.query ?? {})}`,
      method: call.method,
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      // undici would close the connection after a DELETE with a body, and open another one for the next call.
      reset: false,
      signal,
      ...timeouts,
    });
  }
}

function refOf(object: KubernetesObject): Ref {
  const { namespace, name } = object.metadata ?? {};
  if (name === undefined) throw new TypeError('an object that is written must have a name');
  return { namespace, name };
}

function writeQuery(options: CallOptions): Query {
  return { fieldManager: MANAGER, dryRun: options.dryRun === true ? 'All' : undefined };
}

function selectorQuery({ labelSelector, fieldSelector }: ListOptions): Query {
  return { labelSelector, fieldSelector };
}

function deleteBody(options: DeleteOptions): object {
  const { uid, resourceVersion, propagationPolicy, gracePeriodSeconds, dryRun } = options;
  const preconditions = {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(dryRun === true ? { dryRun: ['All'] } : {}),
  };
}

function queryString(query: Query): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parts.push(`${name}=${encodeURIComponent(value)}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function asKubeError(target: Target, cause: unknown, deadline: AbortSignal): KubeError {
  if (cause instanceof KubeError) return cause;
  if (deadline.aborted) {
    return new KubeError(target, { status: 0, reason: 'Timeout', message: 'no answer in time' }, { cause });
  }
  return new KubeError(target, { status: 0, reason: 'NoAnswer', message: causeText(cause) }, { cause });
}

function causeText(cause: unknown): string {
  if (!(cause instanceof Error)) return 'no answer';
  return [errorCode(cause), cause.message].filter((part) => part !== undefined && part !== '').join(': ');
}

/** The promise's outcome, or the signal's reason if that comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Nothing reached the server, or the server said that it did nothing. */
function mayRetry(call: Call, error: KubeError): boolean {
  if (error.reason === 'Timeout') return false;
  if (error.status === 429) return true;
  if (call.idempotent) return error.status === 0 || error.status >= 500;
  return error.cause instanceof Error && errorCode(error.cause) === 'ECONNREFUSED';
}
