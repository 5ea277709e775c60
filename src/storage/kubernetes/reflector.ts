import type { KubernetesObject } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { backoffMs, jittered } from '../../util/backoff.ts';
import { sleep } from '../../util/sleep.ts';
import type { KubeClient, ListOptions } from './kube-client.ts';
import { KubeError } from './kube-error.ts';
import type { Resource } from './resources.ts';
import { isNewer } from './resource-version.ts';

/** What every cached object has, whatever else of it the cache has. */
export interface Cached {
  readonly uid: string;
  readonly resourceVersion: string;
}

export interface ReflectorOptions<T extends KubernetesObject, K extends Cached> {
  readonly client: KubeClient;
  readonly resource: Resource<T>;
  /** What is in the collection; a function is asked when `run` begins. */
  readonly select: ListOptions | (() => ListOptions);
  /** The part of an object that is needed, or undefined when it is none of ours. */
  readonly project: (object: T) => K | undefined;
  /** Called after every change of the store. `current` is undefined when the object is gone. */
  readonly onChange: (key: string, current: K | undefined, before: K | undefined) => void;
  readonly logger: Logger;
  /** Start with the present instead of a list of what is there: for streams of news. */
  readonly watchOnly?: boolean;
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  /** How long the server keeps one watch open, in seconds. */
  readonly watchSeconds?: number;
  /** A watch on which nothing arrives for so long, not even a bookmark, is dead. */
  readonly silenceMs?: number;
}

/** Resuming may be what fails, so the store is listed again after a few tries. */
const RELIST_AFTER_FAILURES = 3;
/** A watch that was open for so long was healthy, however it ended, unless nothing at all was heard. */
const HEALTHY_MS = 1_000;
/** The API server sends a bookmark every minute or so, by its cache of a resource. */
const SILENCE_MS = 90_000;
/**
 * It has no cache of Events, and no bookmarks of them for ten minutes: only a stream that goes on after it should have ended is dead. Beyond
 * that end, in milliseconds.
 */
const NEWS_SILENCE_MS = 100_000;
/** How many deletions are remembered, so that an answer that arrives late does not bring an object back. */
const TOMBSTONES = 10_000;

/** What is remembered of an object that is gone. */
interface Tombstone {
  readonly version: string;
  readonly uid: string | undefined;
}

/**
 * Keeps a local copy of one collection true, for as long as `run` runs.
 *
 * It lists page by page, watches from the list's version, and resumes where a watch ended. It never stops by itself:
 *
 * | the watch | next |
 * |---|---|
 * | was ended by the server after a while | watch again from the last version, at once |
 * | broke, was refused, was silent | watch again from the last version, after a delay that doubles |
 * | failed three times in a row, or its version has expired (410) | list again, compare, and watch from there |
 * | tells of a version that is older than the last one | the same |
 *
 * A list is compared with what was known, so that what vanished during an outage is reported as gone. `ready` resolves
 * with the first complete list; after that the store may be a little old, `staleMs` says by how much.
 */
export class Reflector<T extends KubernetesObject, K extends Cached> {
  readonly ready: Promise<void>;
  readonly #options: ReflectorOptions<T, K>;
  readonly #store = new Map<string, K>();
  readonly #tombstones = new Map<string, Tombstone>();
  /** Keys of what is known from before the versions of the server went back. */
  readonly #outdated = new Set<string>();
  /** The newest version that a list or a watch has told of. */
  #newest = '';
  #restart = new AbortController();
  #markReady!: () => void;
  #isReady = false;
  #selected: ListOptions = {};
  #resourceVersion = '';
  #failures = 0;
  #openedAt = Number.POSITIVE_INFINITY;
  #heard = false;
  #seenAt = performance.now();
  #lists = 0;
  #lastError: KubeError | undefined;
  #failingSince: number | undefined;

  constructor(options: ReflectorOptions<T, K>) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
  }

  get(key: string): K | undefined {
    return this.#store.get(key);
  }

  values(): IterableIterator<K> {
    return this.#store.values();
  }

  get size(): number {
    return this.#store.size;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Milliseconds since the server last said anything: a list, an event or a bookmark. */
  get staleMs(): number {
    return performance.now() - this.#seenAt;
  }

  /** How often the whole collection has been listed. */
  get lists(): number {
    return this.#lists;
  }

  /** Why the picture is not there or not fresh; undefined while all is well. */
  get lastError(): KubeError | undefined {
    return this.#lastError;
  }

  /** For how long it has failed without a break to hear from the server, in milliseconds; 0 while all is well. */
  get failingMs(): number {
    return this.#failingSince === undefined ? 0 : performance.now() - this.#failingSince;
  }

  /**
   * Takes the answer of a write of our own into the store, so that what was just written is read. An answer older than
   * what the watch has already brought, also a deletion, changes nothing.
   */
  observe(object: T): void {
    const key = keyOf(object);
    const known = this.#store.get(key);
    // Another object with a version that is older than the one it must have come after: an answer that is very late, or a
    // server whose versions went back. A list tells.
    const isOther = known !== undefined && known.uid !== object.metadata?.uid;
    const isBack = isOther && isNewer(known.resourceVersion, object.metadata?.resourceVersion ?? '');
    if (isBack && !this.#outdated.has(key)) this.#restart.abort();
    this.#set(key, object);
  }

  /**
   * The same for a delete of our own that the server has confirmed: the object of this uid is not there any more. What
   * the watch still tells of it comes too late.
   */
  forget(key: string, uid: string): void {
    const known = this.#store.get(key);
    if (known?.uid === uid) this.#remove(key, known.resourceVersion, uid);
  }

  /** Follows the collection until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { select } = this.#options;
    this.#selected = typeof select === 'function' ? select() : select;
    for (;;) {
      this.#openedAt = Number.POSITIVE_INFINITY;
      this.#heard = false;
      const error = await this.#listAndWatch(signal);
      if (signal.aborted) return;
      this.#note(error);
      const silent = error?.reason === 'Silent' && !this.#heard;
      const healthy = performance.now() - this.#openedAt >= HEALTHY_MS && !silent;
      if (healthy) this.#failures = 0;
      // A quiet watch is ended by the server now and then; a delay before the next one would leave us blind meanwhile.
      if (healthy && error === undefined) continue;
      this.#failures += 1;
      if (error?.status === 410 || this.#failures >= RELIST_AFTER_FAILURES) this.#resourceVersion = '';
      if (error?.status === 410 && this.#failures === 1) continue;
      await sleep(this.#backoff(error), signal);
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<KubeError | undefined> {
    const { resource, logger } = this.#options;
    try {
      if (this.#resourceVersion === '') await this.#list(signal);
      if (!signal.aborted) await this.#watch(signal);
      return undefined;
    } catch (error) {
      if (!signal.aborted) logger.debug({ err: error, resource: resource.plural }, 'watch interrupted');
      return error instanceof KubeError
        ? error
        : new KubeError(
            { verb: 'watch', kind: resource.kind },
            { status: 0, reason: 'Unknown', message: 'failed' },
            { cause: error },
          );
    }
  }

  /** Lists everything and reports what differs from before. */
  async #list(signal: AbortSignal): Promise<void> {
    const { client, resource, watchOnly = false } = this.#options;
    const missing = new Set(this.#store.keys());
    // A list without a version is never older than what the server has told before it was asked for.
    const newest = this.#newest;
    const pages = client.listPages(resource, { ...this.#selected, signal, ...(watchOnly ? { pageSize: 1 } : {}) });
    let version = '';
    for await (const page of pages) {
      if (version === '' && isNewer(newest, page.resourceVersion)) this.#beginAnew(newest, page.resourceVersion);
      version ||= page.resourceVersion;
      if (watchOnly) break;
      for (const object of page.items) {
        missing.delete(keyOf(object));
        this.#set(keyOf(object), object);
      }
    }
    for (const key of missing) {
      const known = this.#store.get(key);
      // What was written while the list was under way is newer than the list and not gone.
      const isGone = known !== undefined && !isNewer(known.resourceVersion, version);
      if (isGone || this.#outdated.has(key)) this.#remove(key, version);
    }
    this.#lists += 1;
    this.#advance(version);
    this.#note(undefined);
    if (this.#isReady) return;
    this.#isReady = true;
    this.#markReady();
  }

  /**
   * The server was restored from a copy that is older than what is known. Versions from before then say nothing any more: a
   * list replaces what is known, whatever version that has.
   */
  #beginAnew(before: string, now: string): void {
    const { resource, logger } = this.#options;
    logger.warn(
      { resource: resource.plural, before, now },
      'the versions of the API server went back; all is read anew',
    );
    for (const key of this.#store.keys()) this.#outdated.add(key);
    this.#tombstones.clear();
    this.#newest = '';
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, resource, watchSeconds = 300, watchOnly = false } = this.#options;
    const { silenceMs = watchOnly ? watchSeconds * 1_000 + NEWS_SILENCE_MS : SILENCE_MS } = this.#options;
    this.#restart = new AbortController();
    const { signal: restart } = this.#restart;
    const events = client.watch(resource, {
      ...this.#selected,
      resourceVersion: this.#resourceVersion,
      // Spread, so that the watches of one controller do not all end in the same moment.
      timeoutSeconds: Math.ceil(jittered(watchSeconds)),
      silenceMs,
      signal: AbortSignal.any([signal, restart]),
      onOpen: () => {
        this.#openedAt = performance.now();
        // A server that says nothing any more may still answer that a watch begins.
        if (this.#lastError?.reason !== 'Silent') this.#note(undefined);
      },
    });
    try {
      for await (const { type, object } of events) {
        this.#heard = true;
        this.#note(undefined);
        const version = object.metadata?.resourceVersion ?? this.#resourceVersion;
        if (isNewer(this.#resourceVersion, version)) throw this.#expired();
        if (type === 'DELETED') this.#remove(keyOf(object), version);
        else if (type !== 'BOOKMARK') this.#set(keyOf(object), object);
        this.#advance(version);
      }
    } catch (error) {
      if (!restart.aborted) throw error;
    }
    if (restart.aborted && !signal.aborted) throw this.#expired();
  }

  #expired(): KubeError {
    const target = { verb: 'watch', kind: this.#options.resource.kind };
    return new KubeError(target, { status: 410, reason: 'Expired', message: 'a version is older than one before it' });
  }

  #note(error: KubeError | undefined): void {
    this.#lastError = error;
    if (error === undefined) this.#failingSince = undefined;
    else this.#failingSince ??= performance.now();
  }

  #advance(version: string): void {
    this.#resourceVersion = version;
    if (isNewer(version, this.#newest)) this.#newest = version;
    this.#seenAt = performance.now();
  }

  #set(key: string, object: T): void {
    const before = this.#store.get(key);
    if (this.#isStale(key, object, before)) return;
    this.#outdated.delete(key);
    const current = this.#options.project(object);
    if (current === undefined) {
      // It was one of ours and is not any more.
      if (before !== undefined) this.#remove(key, object.metadata?.resourceVersion ?? '');
      return;
    }
    if (this.#options.watchOnly !== true) this.#store.set(key, current);
    this.#notify(key, current, before);
  }

  /** The watch brings our own writes once more, and an answer may arrive after what has happened since. */
  #isStale(key: string, { metadata }: T, before: K | undefined): boolean {
    const version = metadata?.resourceVersion ?? '';
    if (this.#outdated.has(key)) return false;
    if (before !== undefined) return !isNewer(version, before.resourceVersion);
    const tombstone = this.#tombstones.get(key);
    if (tombstone === undefined) return false;
    return !isNewer(version, tombstone.version) || (tombstone.uid !== undefined && tombstone.uid === metadata?.uid);
  }

  /** @param uid of an object that is certainly gone, and not only out of the selection */
  #remove(key: string, version: string, uid?: string): void {
    const before = this.#store.get(key);
    const isKept = before !== undefined && !this.#outdated.has(key) && isNewer(before.resourceVersion, version);
    if (isKept) return;
    this.#outdated.delete(key);
    this.#store.delete(key);
    this.#tombstones.delete(key);
    this.#tombstones.set(key, { version, uid });
    if (this.#tombstones.size > TOMBSTONES) this.#tombstones.delete(this.#tombstones.keys().next().value ?? '');
    if (before !== undefined) this.#notify(key, undefined, before);
  }

  /** A listener that throws must not end the stream. */
  #notify(key: string, current: K | undefined, before: K | undefined): void {
    try {
      this.#options.onChange(key, current, before);
    } catch (error) {
      this.#options.logger.error({ err: error, key }, 'change listener threw');
    }
  }

  #backoff(error: KubeError | undefined): number {
    const { minDelayMs: firstMs = 250, maxDelayMs: longestMs = 10_000 } = this.#options;
    return backoffMs(this.#failures, { firstMs, longestMs }) + (error?.retryAfterMs ?? 0);
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return metadata?.namespace === undefined ? (metadata?.name ?? '') : `${metadata.namespace}/${metadata.name}`;
}
