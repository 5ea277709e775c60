import type { ServerResponse } from 'node:http';
import { encodeEvent, type Form } from './encoding.ts';
import { parseVersion } from './lists.ts';
import { type KubeObject, withMetadata } from './objects.ts';
import { apiVersionOf, type ResourceType } from './resource-type.ts';
import type { Matcher } from './selectors.ts';
import { ApiError } from './status.ts';
import { type Change, type Store, TooOld } from './store.ts';

export interface WatchRequest {
  readonly type: ResourceType;
  /** Empty for all namespaces. */
  readonly namespace: string;
  readonly matches: Matcher | undefined;
  readonly resourceVersion: string;
  readonly bookmarks: boolean;
  readonly initialEvents: boolean;
  /** The server ends the watch after this time. */
  readonly timeoutMs: number;
  readonly form: Form;
}

/** Unsent bytes at which a reader counts as gone. */
const MAX_BACKLOG = 64 * 1024 * 1024;
/** Kubernetes' own default is a random time between 30 and 60 minutes. */
export const DEFAULT_WATCH_MS = 30 * 60_000;

/** The open watches. Each is one subscription to the store that writes lines into one response. */
export class Watches {
  readonly #store: Store;
  readonly #bookmarkIntervalMs: number;
  readonly #open = new Set<() => void>();

  constructor(store: Store, bookmarkIntervalMs: number) {
    this.#store = store;
    this.#bookmarkIntervalMs = bookmarkIntervalMs;
  }

  /** Streams events into the response until the time is over, the reader leaves or the server closes. */
  serve(request: WatchRequest, response: ServerResponse): void {
    const since = parseVersion(request.resourceVersion);
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
    const started = this.#catchUp(request, since);
    response.write(started.text);
    if (started.failed) {
      response.end();
      return;
    }
    this.#follow(request, response);
  }

  /** Ends every watch. */
  close(): void {
    for (const end of [...this.#open]) end();
  }

  #catchUp(request: WatchRequest, since: number): { text: string; failed: boolean } {
    const { type, form } = request;
    if (since > 0 && !request.initialEvents) {
      try {
        const lines = this.#store.since(type, since).map((change) => eventFor(request, change));
        // Node sends the headers with the first write; an empty one would wait for the first event.
        return { text: lines.join(''), failed: false };
      } catch (error) {
        if (!(error instanceof TooOld)) throw error;
        return { text: expired(since, this.#store.version), failed: true };
      }
    }
    const namespace = request.namespace;
    const all = this.#store.sorted(type, namespace, this.#store.version).map(([, object]) => object);
    const lines = all
      .filter((object) => request.matches?.(object) !== false)
      .map((object) => encodeEvent('ADDED', object, form));
    if (request.initialEvents) lines.push(this.#bookmark(request, { 'k8s.io/initial-events-end': 'true' }));
    return { text: lines.join(''), failed: false };
  }

  #follow(request: WatchRequest, response: ServerResponse): void {
    const unsubscribe = this.#store.subscribe(request.type, (change) => {
      const line = eventFor(request, change);
      if (line !== '') response.write(line);
      if (response.writableLength > MAX_BACKLOG) response.destroy();
    });
    const bookmarks = setInterval(() => {
      if (request.bookmarks) response.write(this.#bookmark(request));
    }, this.#bookmarkIntervalMs);
    const stop = () => {
      unsubscribe();
      clearInterval(bookmarks);
      clearTimeout(timeout);
      this.#open.delete(end);
    };
    const end = () => {
      if (request.bookmarks) response.write(this.#bookmark(request));
      stop();
      response.end();
    };
    const timeout = setTimeout(end, request.timeoutMs);
    this.#open.add(end);
    response.on('close', stop);
    response.flushHeaders();
  }

  #bookmark({ type, form }: WatchRequest, annotations?: Readonly<Record<string, string>>): string {
    const metadata = {
      resourceVersion: String(this.#store.version),
      ...(annotations === undefined ? {} : { annotations }),
    };
    const object = { apiVersion: apiVersionOf(type), kind: type.kind, metadata };
    return encodeEvent('BOOKMARK', object as unknown as KubeObject, form);
  }
}

/** What a change looks like to this watch: an object that begins to match is added, one that ceases is deleted. */
function eventFor({ namespace, matches, form }: WatchRequest, { type, object, previous }: Change): string {
  if (namespace !== '' && object.metadata.namespace !== namespace) return '';
  if (matches === undefined) return encodeEvent(type, object, form);
  const before = previous !== undefined && matches(previous);
  if (type === 'DELETED') return before ? encodeEvent('DELETED', object, form) : '';
  const after = matches(object);
  if (after) return encodeEvent(before ? 'MODIFIED' : 'ADDED', object, form);
  if (!before) return '';
  // The reader gets what it knew, with the version at which it ceased to match.
  return encodeEvent(
    'DELETED',
    withMetadata(previous, { resourceVersion: object.metadata.resourceVersion ?? '' }),
    form,
  );
}

/** A version that is too old is answered inside of the stream, with HTTP status 200. */
function expired(since: number, current: number): string {
  const message = `too old resource version: ${String(since)} (${String(current)})`;
  return `${JSON.stringify({ type: 'ERROR', object: new ApiError(410, 'Expired', message).body })}\n`;
}
