import { randomUUID } from 'node:crypto';
import { type KubeObject, timestamp, withMetadata } from './objects.ts';
import type { ResourceType } from './resource-type.ts';
import { RESOURCE_TYPES } from './resource-types.ts';

/** Changes that do not count any more are held until there are so many of them, as a part of those that do. */
const DROPPED_AT_ONCE = 8;

/** One write, as watches see it. */
export interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** What is stored now; for `DELETED` what was last stored, with the version of the deletion. */
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

/** Thrown when the history no longer reaches back far enough; the server answers 410. */
export class TooOld extends Error {
  override readonly name = 'TooOld';
}

/**
 * All objects of the sandbox, with one counter of versions over all of them (as etcd has one revision), indexed by kind,
 * namespace and name. Every write is a `Change`, kept for a while per kind: watches resume from it, and the pages of a
 * list after the first are put together as of the version of the first.
 */
export class Store {
  readonly #tables: ReadonlyMap<ResourceType, Table>;
  #version = 1;

  /** @param historyLength changes kept per kind */
  constructor(historyLength: number) {
    this.#tables = new Map(RESOURCE_TYPES.map((type) => [type, new Table(historyLength)]));
  }

  /** Version of the latest write. */
  get version(): number {
    return this.#version;
  }

  get(type: ResourceType, namespace: string, name: string): KubeObject | undefined {
    return this.#table(type).get(namespace, name);
  }

  /** The objects of one namespace, or of all, unsorted: for the server's own rules. */
  objects(type: ResourceType, namespace?: string): Iterable<KubeObject> {
    return this.#table(type).objects(namespace);
  }

  /** Objects in the order of lists, as of `version`. @throws TooOld */
  sorted(type: ResourceType, namespace: string, version: number): readonly (readonly [string, KubeObject])[] {
    return this.#table(type).sorted(namespace, version);
  }

  /** Stores a new object, with uid, creation time and version. The caller has checked that the name is free. */
  add(type: ResourceType, object: KubeObject): KubeObject {
    const version = (this.#version += 1);
    const stored = withMetadata(stamp(object), { resourceVersion: String(version) });
    this.#table(type).put({ version, type: 'ADDED', object: stored, previous: undefined });
    return stored;
  }

  update(type: ResourceType, object: KubeObject, previous: KubeObject): KubeObject {
    const version = (this.#version += 1);
    const stored = withMetadata(object, { resourceVersion: String(version) });
    this.#table(type).put({ version, type: 'MODIFIED', object: stored, previous });
    return stored;
  }

  /** @returns what was stored last, with the version of the deletion */
  remove(type: ResourceType, previous: KubeObject): KubeObject {
    const version = (this.#version += 1);
    const object = withMetadata(previous, { resourceVersion: String(version) });
    this.#table(type).put({ version, type: 'DELETED', object, previous });
    return object;
  }

  /** Changes after `version` that are still known. @throws TooOld */
  since(type: ResourceType, version: number): readonly Change[] {
    return this.#table(type).since(version);
  }

  /** Calls back for every change of a kind until the returned function is called. */
  subscribe(type: ResourceType, listener: (change: Change) => void): () => void {
    const { listeners } = this.#table(type);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Forgets the history of all kinds, as a compaction does: every older version is now too old. */
  compact(): void {
    for (const table of this.#tables.values()) table.forget(this.#version);
  }

  #table(type: ResourceType): Table {
    const table = this.#tables.get(type);
    if (table === undefined) throw new Error(`The sandbox has no table for ${type.plural}`);
    return table;
  }
}

/** What the server itself gives every new object; a kind may have made the uid already. */
export function stamp(object: KubeObject): KubeObject {
  return withMetadata(object, { uid: object.metadata.uid ?? randomUUID(), creationTimestamp: timestamp() });
}

function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? `/${name}` : `/${namespace}/${name}`;
}

/** The objects of one kind and the latest changes to them. */
class Table {
  readonly listeners = new Set<(change: Change) => void>();
  readonly #historyLength: number;
  readonly #namespaces = new Map<string, Map<string, KubeObject>>();
  #changes: Change[] = [];
  /** Index of the oldest change that still counts; those before it are dropped in bulk. */
  #start = 0;
  /** The version of the latest change that is forgotten. */
  #forgotten = 0;
  /** All keys in order, until one comes or goes. */
  #keys: readonly string[] | undefined;

  constructor(historyLength: number) {
    this.#historyLength = historyLength;
  }

  get(namespace: string, name: string): KubeObject | undefined {
    return this.#namespaces.get(namespace)?.get(name);
  }

  *objects(namespace?: string): Generator<KubeObject> {
    if (namespace !== undefined) yield* this.#namespaces.get(namespace)?.values() ?? [];
    else for (const objects of this.#namespaces.values()) yield* objects.values();
  }

  put(change: Change): void {
    const { namespace = '', name } = change.object.metadata;
    const objects = this.#namespaces.get(namespace) ?? new Map<string, KubeObject>();
    if (change.type === 'DELETED') objects.delete(name);
    else objects.set(name, change.object);
    if (objects.size === 0) this.#namespaces.delete(namespace);
    else this.#namespaces.set(namespace, objects);
    if (change.type !== 'MODIFIED') this.#keys = undefined;
    this.#remember(change);
    for (const listener of this.listeners) listener(change);
  }

  since(version: number): readonly Change[] {
    if (version < this.#forgotten) throw new TooOld();
    let first = this.#start;
    let end = this.#changes.length;
    while (first < end) {
      const middle = (first + end) >>> 1;
      if ((this.#changes[middle]?.version ?? 0) > version) end = middle;
      else first = middle + 1;
    }
    return this.#changes.slice(first);
  }

  sorted(namespace: string, version: number): [string, KubeObject][] {
    const undone = new Map<string, KubeObject | undefined>();
    for (const { object, previous } of this.since(version).toReversed()) undone.set(keyOf(object), previous);
    const entries: [string, KubeObject][] = [];
    for (const key of this.#keysOf(namespace)) {
      const object = undone.has(key) ? undone.get(key) : this.#at(key);
      undone.delete(key);
      if (object !== undefined) entries.push([key, object]);
    }
    const gone = [...undone].filter(([key]) => namespace === '' || key.startsWith(`/${namespace}/`));
    if (gone.length === 0) return entries;
    for (const [key, object] of gone) if (object !== undefined) entries.push([key, object]);
    return entries.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  forget(version: number): void {
    this.#changes = [];
    this.#start = 0;
    this.#forgotten = version;
  }

  #remember(change: Change): void {
    this.#changes.push(change);
    if (this.#changes.length - this.#start > this.#historyLength) {
      this.#forgotten = this.#changes[this.#start]?.version ?? this.#forgotten;
      this.#start += 1;
    }
    if (this.#start > this.#historyLength / DROPPED_AT_ONCE) {
      this.#changes = this.#changes.slice(this.#start);
      this.#start = 0;
    }
  }

  #keysOf(namespace: string): readonly string[] {
    if (namespace !== '') return [...this.objects(namespace)].map(keyOf).sort();
    return (this.#keys ??= [...this.objects()].map(keyOf).sort());
  }

  #at(key: string): KubeObject | undefined {
    const [first = '', second] = key.slice(1).split('/');
    return second === undefined ? this.get('', first) : this.get(first, second);
  }
}
