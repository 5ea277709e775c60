import type { V1ConfigMap } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../storage/kubernetes/kube-error.ts';
import { type Cached, Reflector } from '../storage/kubernetes/reflector.ts';
import { ConfigMaps } from '../storage/kubernetes/resources.ts';
import { raceAbort } from '../util/abort.ts';
import { backoffMs } from '../util/backoff.ts';
import { withDeadline } from '../util/deadline.ts';
import { type RunContext, runContext } from '../util/run-context.ts';
import { sleep } from '../util/sleep.ts';
import { type Cache, type Health, stalenessOf } from './health.ts';

export interface SharedDocumentOptions<T> {
  /** Of the component, in health. */
  readonly name: string;
  readonly client: KubeClient;
  readonly logger: Logger;
  readonly namespace: string;
  /** Of the ConfigMap. */
  readonly mapName: string;
  /** What it stands for while there is none. */
  readonly empty: T;
  readonly parse: (map: V1ConfigMap) => T;
  /** @param resourceVersion of the version that is replaced; absent for the first one */
  readonly build: (value: T, resourceVersion?: string) => V1ConfigMap;
  /** It has changed, whichever replica did it. */
  readonly onChange: (now: T, before: T) => void;
}

interface CachedDocument<T> extends Cached {
  readonly value: T;
}

interface PendingChange<T> {
  readonly change: (before: T) => T;
  /** The run of a controller that asks for it, if it is one. */
  readonly run: RunContext | undefined;
  readonly done: PromiseWithResolvers<void>;
}

/** How often a change is tried when others are faster each time. */
const ATTEMPTS = 20;
const CONFLICT_DELAYS = { firstMs: 2, longestMs: 200 };
/** How long one batch may take with all its attempts, in milliseconds. */
const WRITE_TIMEOUT_MS = 30_000;
/** Far more than there are runs at once: who changes so many at once waits for nobody. */
const MOST_PENDING = 10_000;

/**
 * A value in one ConfigMap that all replicas share; updates use optimistic concurrency and are batched.
 *
 * A change is a function of what is there. Changes that come while one is being written are written together, with one call; one
 * that meets a newer version is computed anew from that. What holds of the value after each change therefore also holds with several
 * writers.
 *
 * | a change | its caller |
 * |---|---|
 * | waits | is told nothing; if the run that asked for it ends meanwhile, the change is dropped and the caller told so |
 * | is in the batch that is being written | resolves when that is durable, rejects when it failed; it is not tried again |
 * | came while that batch was written | is in the next batch, whatever became of the one before |
 */
export class SharedDocument<T> implements Cache {
  readonly name: string;
  readonly synced: Promise<void>;
  readonly #options: SharedDocumentOptions<T>;
  readonly #reflector: Reflector<V1ConfigMap, CachedDocument<T>>;
  #pending: PendingChange<T>[] = [];
  #isWriting = false;
  #version = 0;

  constructor(options: SharedDocumentOptions<T>) {
    this.#options = options;
    const { client, logger, namespace, mapName, empty } = options;
    this.name = options.name;
    this.#reflector = new Reflector<V1ConfigMap, CachedDocument<T>>({
      client,
      logger,
      resource: ConfigMaps,
      select: { namespace, fieldSelector: `metadata.name=${mapName}` },
      project: (map) => ({
        uid: map.metadata?.uid ?? '',
        resourceVersion: map.metadata?.resourceVersion ?? '',
        value: options.parse(map),
      }),
      onChange: (_key, now, before) => {
        this.#version += 1;
        options.onChange(now?.value ?? empty, before?.value ?? empty);
      },
    });
    this.synced = this.#reflector.ready;
  }

  get isSynced(): boolean {
    return this.#reflector.isReady;
  }

  /** Why it is not there or not fresh; undefined while all is well. */
  get lastError(): Error | undefined {
    return this.#reflector.lastError;
  }

  health(): Health {
    const { isReady, lastError, staleMs } = this.#reflector;
    const stale = stalenessOf([this.#reflector]);
    return { component: this.name, ready: isReady, message: lastError?.message, staleMs, stale };
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  get value(): T {
    return this.#current?.value ?? this.#options.empty;
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }

  /**
   * Changes the value. Resolves when it is durable. Nothing is written where the change returns what it was given.
   *
   * @throws {KubeError} it could not be written, and is not written later either
   * @throws the reason of the run's signal when the run ends before; if it was being written in that moment, it may be durable
   */
  async change(change: (before: T) => T): Promise<void> {
    const run = runContext.getStore();
    run?.signal.throwIfAborted();
    if (this.#pending.length >= MOST_PENDING) {
      throw new Error(`too many changes of ${this.#options.mapName} wait to be written`);
    }
    const done = Promise.withResolvers<void>();
    this.#pending.push({ change, run, done });
    // Never rejects: what fails is told to those whose changes failed.
    void this.#writeAll();
    return run === undefined ? done.promise : raceAbort(done.promise, run.signal);
  }

  /** What the API server has now, and not what was last heard. */
  async read(): Promise<T> {
    await this.#refresh();
    return this.value;
  }

  get #key(): string {
    return `${this.#options.namespace}/${this.#options.mapName}`;
  }

  get #current(): CachedDocument<T> | undefined {
    return this.#reflector.get(this.#key);
  }

  /** One batch after the other until nothing waits. */
  async #writeAll(): Promise<void> {
    if (this.#isWriting) return;
    this.#isWriting = true;
    while (this.#pending.length > 0) {
      const all = this.#pending;
      this.#pending = [];
      const batch = all.filter(({ run }) => run?.signal.aborted !== true);
      for (const each of all) if (!batch.includes(each)) reject(each, each.run?.signal.reason);
      try {
        await this.#writeBatch(batch);
        for (const { done } of batch) done.resolve();
      } catch (error) {
        for (const each of batch) reject(each, error);
      }
    }
    this.#isWriting = false;
  }

  /** In no run of a controller, since it is for several; it writes only while each of them may. */
  async #writeBatch(batch: readonly PendingChange<T>[]): Promise<void> {
    const runs = batch.flatMap(({ run }) => run ?? []);
    await withDeadline({ ms: WRITE_TIMEOUT_MS }, (signal) => {
      const write = () => this.#write(batch, signal);
      const [first] = runs;
      if (first === undefined) return runContext.exit(write);
      return runContext.run({ id: first.id, signal, mayWrite: () => runs.every((run) => run.mayWrite()) }, write);
    });
  }

  async #write(batch: readonly PendingChange<T>[], signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const current = this.#current;
      const before = current?.value ?? this.#options.empty;
      const after = batch.reduce((value, { change }) => change(value), before);
      if (after === before) return;
      try {
        return await this.#replace(after, current);
      } catch (error) {
        const isLate = isKubeError(error, 409) || isKubeError(error, 404);
        if (!isLate || attempt === ATTEMPTS) throw error;
        await sleep(backoffMs(attempt, CONFLICT_DELAYS), signal);
        await this.#refresh();
      }
    }
  }

  async #replace(value: T, current: CachedDocument<T> | undefined): Promise<void> {
    const { client, build } = this.#options;
    const map = build(value, current?.resourceVersion);
    const written =
      current === undefined ? await client.create(ConfigMaps, map) : await client.replace(ConfigMaps, map);
    this.#reflector.observe(written);
  }

  async #refresh(): Promise<void> {
    const { client, namespace, mapName: name } = this.#options;
    const map = await client.get(ConfigMaps, { namespace, name });
    if (map !== undefined) this.#reflector.observe(map);
    else if (this.#current !== undefined) this.#reflector.forget(this.#key, this.#current.uid);
  }
}

function reject<T>({ done }: PendingChange<T>, error: unknown): void {
  // The caller may have gone with its run.
  done.promise.catch(() => undefined);
  done.reject(error);
}
