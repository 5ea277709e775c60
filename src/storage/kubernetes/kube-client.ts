import type { KubernetesListObject, KubernetesObject } from '@kubernetes/client-node';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isKubeError, KubeError } from './kube-error.ts';
import {
  type Call,
  type CallOptions,
  KubeTransport,
  type KubeTransportOptions,
  METADATA_LIST,
  METADATA_ONLY,
  type Query,
} from './kube-transport.ts';
import { pathOf, Pods, type Ref, type Resource } from './resources.ts';
import { readWatchEvents, type WatchEvent } from './watch-events.ts';

export { type CallOptions, METADATA_ONLY } from './kube-transport.ts';

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** As in CallOptions. */
  readonly metadataOnly?: boolean;
}

/** An entry of the API server's discovery. */
export interface ApiResource {
  /** Plural; of a subresource, with its name after a slash. */
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface DeleteOptions extends CallOptions {
  /** Delete only if the object still has this uid. */
  readonly uid?: string;
  /** Delete only if the object has not changed since. */
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
}

export interface PodLogOptions {
  readonly container: string;
  /** Go on with what is written later, until the container has ended. */
  readonly follow: boolean;
  /** Lead each line by its time, RFC 3339 with nanoseconds. */
  readonly timestamps: boolean;
  /** RFC 3339: only what was written at this time or later. The API server knows whole seconds only. */
  readonly sinceTime?: string;
  readonly signal: AbortSignal;
}

const MANAGER = 'labwright';
const PAGE_SIZE = 500;
/** As undici takes it: no limit to how long nothing may arrive. */
const NEVER_SILENT = 0;

/**
 * The one client of the Kubernetes API. Types come from client-node, requests go over one pool of connections
 * (docs/decisions/kubernetes-client.md says why not over client-node's generated API).
 *
 * Every call has a deadline and is tried again where that is safe (see KubeTransport). Every failure is one `KubeError`.
 */
export class KubeClient {
  readonly #transport: KubeTransport;

  constructor(options: KubeTransportOptions) {
    this.#transport = new KubeTransport(options);
  }

  get server(): string {
    return this.#transport.server;
  }

  close(): Promise<void> {
    return this.#transport.close();
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
    return this.#transport.call({
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
      return (await this.#transport.call({
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
      const page = (await this.#transport.call({
        method: 'GET',
        target: { verb: 'list', kind: resource.kind, namespace: options.namespace },
        path: pathOf(resource, options.namespace),
        query: { ...selectorQuery(options), limit: String(options.pageSize ?? PAGE_SIZE), continue: token },
        ...(options.metadataOnly === true ? { accept: METADATA_LIST } : {}),
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
      const answer = (await this.#transport.call({
        method: 'DELETE',
        target: { verb: 'delete', kind: resource.kind, namespace, name },
        path: pathOf(resource, namespace, name),
        body: deleteBody(options),
        idempotent: true,
        options: { ...options, ...METADATA_ONLY },
      })) as KubernetesObject;
      return answer.kind === 'Status' || answer.metadata?.deletionTimestamp === undefined ? 'gone' : 'accepted';
    } catch (error) {
      if (isKubeError(error, 404)) return 'gone';
      throw error;
    }
  }

  /**
   * Deletes an object and waits until it is gone. It looks again and again, with a delay that doubles: what waits for many
   * objects waits on a watch instead.
   *
   * @throws KubeError `Timeout` when the object of this uid is still there at the deadline
   */
  async deleteAndWait(
    resource: Resource<KubernetesObject>,
    ref: Ref,
    options: DeleteOptions & { readonly uid: string },
  ): Promise<void> {
    const { uid, timeoutMs = 10_000, signal } = options;
    const endsAt = performance.now() + timeoutMs;
    let outcome = await this.delete(resource, ref, options);
    for (let wait = 20; outcome === 'accepted'; wait = Math.min(wait * 2, 1_000)) {
      const found = await this.get(resource, ref, { ...options, ...METADATA_ONLY });
      if (found?.metadata?.uid !== uid) outcome = 'gone';
      else if (performance.now() + wait > endsAt) {
        const target = { verb: 'delete', kind: resource.kind, ...ref };
        throw new KubeError(target, { status: 0, reason: 'Timeout', message: 'it does not go' });
      } else await delay(wait, undefined, { ...(signal === undefined ? {} : { signal }) });
    }
  }

  /**
   * Deletes everything that the selector matches in one namespace. A namespace that is missing or ending is fine.
   *
   * @returns the metadata of what it matched; with `dryRun` nothing is deleted
   */
  async deleteCollection(
    resource: Resource<KubernetesObject>,
    namespace: string,
    labelSelector: string,
    options: DeleteOptions & { readonly fieldSelector?: string } = {},
  ): Promise<KubernetesObject[]> {
    try {
      const answer = (await this.#transport.call({
        method: 'DELETE',
        target: { verb: 'delete all', kind: resource.kind, namespace },
        path: pathOf(resource, namespace),
        query: { labelSelector, fieldSelector: options.fieldSelector },
        body: deleteBody(options),
        accept: METADATA_LIST,
        idempotent: true,
        options,
      })) as { readonly items?: KubernetesObject[] | null };
      return answer.items ?? [];
    } catch (error) {
      if (isKubeError(error, 404)) return [];
      throw error;
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
      idempotent: true,
      options,
    };
    const stream = await this.#transport.stream(call, signal, silenceMs);
    options.onOpen?.();
    yield* readWatchEvents<T>(stream, target, signal);
  }

  /**
   * The log of a container, as bytes. Tried once: whoever reads it goes on from where it was. The deadline is for the
   * answer to begin; after that silence is normal, and only the connection's end ends it.
   *
   * @throws KubeError 400 `BadRequest` while the container waits, 404 when there is no such pod
   */
  podLog({ namespace, name }: Ref, options: PodLogOptions): Promise<Readable> {
    const { container, follow, timestamps, sinceTime, signal } = options;
    const call: Call = {
      method: 'GET',
      target: { verb: 'read log of', kind: Pods.kind, namespace, name },
      path: pathOf(Pods, namespace, name, 'log'),
      query: { container, follow: String(follow), timestamps: String(timestamps), sinceTime },
      // The API server refuses to send a log to whoever takes text/plain only, and errors are JSON.
      accept: 'application/json, */*',
      idempotent: true,
      options: { signal },
    };
    return this.#transport.stream(call, signal, NEVER_SILENT);
  }

  /** What there is of one version of an API, such as `networking.k8s.io/v1`. @throws KubeError 404 when there is no such version */
  async resources(apiVersion: string, options: CallOptions = {}): Promise<readonly ApiResource[]> {
    const answer = (await this.#transport.call({
      method: 'GET',
      target: { verb: 'get', kind: `kinds of ${apiVersion}` },
      path: `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}`,
      idempotent: true,
      options,
    })) as { resources?: readonly ApiResource[] };
    return answer.resources ?? [];
  }

  /** Whether the API server answers at all, with its version. @throws KubeError when it does not. */
  async version(options: CallOptions = {}): Promise<string> {
    const answer = (await this.#transport.call({
      method: 'GET',
      target: { verb: 'get', kind: 'version' },
      path: '/version',
      idempotent: true,
      options,
    })) as { gitVersion?: string };
    return answer.gitVersion ?? 'unknown';
  }

  async #object<T extends KubernetesObject>(_resource: Resource<T>, call: Call): Promise<T> {
    return (await this.#transport.call({ ...call, query: { ...call.query, ...writeQuery(call.options) } })) as T;
  }
}

function refOf(object: KubernetesObject): Ref {
  const { namespace, name } = object.metadata ?? {};
  if (name === undefined) throw new TypeError('an object that is written must have a name');
  return { namespace, name };
}

function writeQuery(options: CallOptions): Query {
  return {
    fieldManager: MANAGER,
    dryRun: options.dryRun === true ? 'All' : undefined,
    fieldValidation: options.strict === true ? 'Strict' : undefined,
  };
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
