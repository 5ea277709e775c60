import type { V1ConfigMap } from '@kubernetes/client-node';
import { buildSlotsMap, parseSlots, SLOTS_NAME } from '../../../domain/build/build-slots.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { type Cached, Reflector } from '../../../storage/kubernetes/reflector.ts';
import { ConfigMaps } from '../../../storage/kubernetes/resources.ts';
import { backoffMs } from '../../../util/backoff.ts';
import { Changes } from '../../../util/changes.ts';
import { withDeadline } from '../../../util/deadline.ts';
import { type RunContext, runContext } from '../../../util/run-context.ts';
import { sleep } from '../../../util/sleep.ts';
import { raceAbort } from '../../../util/abort.ts';
import { type Cache, type Health, stalenessOf } from '../../health.ts';
import type { BuildScope } from '../build-scope.ts';

/** What is to become of the slots, given those there are; the same array when nothing is. */
export type SlotChange = (slots: readonly BuildSlot[]) => readonly BuildSlot[];

export interface SlotStoreOptions extends Omit<BuildScope, 'config'> {
  /** The slots have changed, whichever replica did it. */
  readonly onChange: (slots: readonly BuildSlot[], before: readonly BuildSlot[]) => void;
}

interface CachedSlots extends Cached {
  readonly slots: readonly BuildSlot[];
}

interface PendingChange {
  readonly change: SlotChange;
  /** The run of a controller that asks for it, if it is one. */
  readonly run: RunContext | undefined;
  readonly done: PromiseWithResolvers<void>;
}

/** How often a change is tried when others are faster each time. */
const ATTEMPTS = 20;
const CONFLICT_DELAYS = { firstMs: 2, longestMs: 200 };
/** How long one batch may take with all its attempts, in milliseconds. */
const WRITE_TIMEOUT_MS = 30_000;
/** Far more than there are builds under way: who changes so many at once waits for nobody. */
const MOST_PENDING = 10_000;

/**
 * The admitted builds, in one ConfigMap that all replicas share; updates use optimistic concurrency and are batched.
 *
 * A change is a function of what is there. Changes that come while one is being written are written together, with one call; one
 * that meets a newer version is computed anew from that. The bounds therefore hold also with several writers.
 *
 * | a change | its caller |
 * |---|---|
 * | waits | is told nothing; if the run that asked for it ends meanwhile, the change is dropped and the caller told so |
 * | is in the batch that is being written | resolves when that is durable, rejects when it failed; it is not tried again |
 * | came while that batch was written | is in the next batch, whatever became of the one before |
 */
export class SlotStore implements Cache {
  readonly name = 'build-slots';
  readonly synced: Promise<void>;
  /** By id of the build: a slot of it has been released. */
  readonly releases = new Changes();
  readonly #options: SlotStoreOptions;
  readonly #reflector: Reflector<V1ConfigMap, CachedSlots>;
  #pending: PendingChange[] = [];
  #isWriting = false;
  #version = 0;

  constructor(options: SlotStoreOptions) {
    this.#options = options;
    const { client, logger, namespace } = options;
    this.#reflector = new Reflector<V1ConfigMap, CachedSlots>({
      client,
      logger,
      resource: ConfigMaps,
      select: { namespace, fieldSelector: `metadata.name=${SLOTS_NAME}` },
      project: (map) => ({
        uid: map.metadata?.uid ?? '',
        resourceVersion: map.metadata?.resourceVersion ?? '',
        slots: parseSlots(map),
      }),
      onChange: (_key, now, before) => {
        this.#version += 1;
        const [after, earlier] = [now?.slots ?? [], before?.slots ?? []];
        options.onChange(after, earlier);
        const left = new Set(after.map(({ uid }) => uid));
        for (const { id, uid } of earlier) if (!left.has(uid)) this.releases.notify(id);
      },
    });
    this.synced = this.#reflector.ready;
  }

  get isSynced(): boolean {
    return this.#reflector.isReady;
  }

  health(): Health {
    const { isReady, lastError, staleMs } = this.#reflector;
    const stale = stalenessOf([this.#reflector]);
    return { component: this.name, ready: isReady, message: lastError?.message, staleMs, stale };
  }

  /** Grows with each change of the slots. */
  get version(): number {
    return this.#version;
  }

  get slots(): readonly BuildSlot[] {
    return this.#current?.slots ?? [];
  }

  /** The slot of this build of that Job. */
  find(id: string, uid: string): BuildSlot | undefined {
    return this.slots.find((slot) => slot.id === id && slot.uid === uid);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#reflector.run(signal);
  }

  /**
   * Changes the slots. Resolves when it is durable.
   *
   * @throws {KubeError} it could not be written, and is not written later either
   * @throws the reason of the run's signal when the run ends before; if it was being written in that moment, it may be durable
   */
  async change(change: SlotChange): Promise<void> {
    const run = runContext.getStore();
    run?.signal.throwIfAborted();
    if (this.#pending.length >= MOST_PENDING) throw new Error('too many changes of build slots wait to be written');
    const done = Promise.withResolvers<void>();
    this.#pending.push({ change, run, done });
    // Never rejects: what fails is told to those whose changes failed.
    void this.#writeAll();
    return run === undefined ? done.promise : raceAbort(done.promise, run.signal);
  }

  /** Takes away the slots that `isGone` holds of. As `change`; nothing is written where there are none. */
  remove(isGone: (slot: BuildSlot) => boolean): Promise<void> {
    return this.change((slots) => (slots.some(isGone) ? slots.filter((slot) => !isGone(slot)) : slots));
  }

  /** A slot for a build that runs although it was never admitted. */
  take(slot: BuildSlot): Promise<void> {
    return this.change((slots) => (slots.some(({ uid }) => uid === slot.uid) ? slots : [...slots, slot]));
  }

  /** The build of this Job is over, or waits for another executor. */
  release(jobUid: string): Promise<void> {
    return this.remove(({ uid }) => uid === jobUid);
  }

  /**
   * Releases slots of this build that belong to any other Job than this one.
   *
   * @param jobUid of the Job that is there, as the API server says it; undefined when there is none
   */
  releaseOthers(buildId: string, jobUid: string | undefined): Promise<void> {
    return this.remove(({ id, uid }) => id === buildId && uid !== jobUid);
  }

  /** What the API server has now, and not what was last heard. */
  async read(): Promise<readonly BuildSlot[]> {
    await this.#refresh();
    return this.slots;
  }

  get #current(): CachedSlots | undefined {
    return this.#reflector.get(`${this.#options.namespace}/${SLOTS_NAME}`);
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
  async #writeBatch(batch: readonly PendingChange[]): Promise<void> {
    const runs = batch.flatMap(({ run }) => run ?? []);
    await withDeadline({ ms: WRITE_TIMEOUT_MS }, (signal) => {
      const write = () => this.#write(batch, signal);
      const [first] = runs;
      if (first === undefined) return runContext.exit(write);
      return runContext.run({ id: first.id, signal, mayWrite: () => runs.every((run) => run.mayWrite()) }, write);
    });
  }

  async #write(batch: readonly PendingChange[], signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const current = this.#current;
      const before = current?.slots ?? [];
      const after = batch.reduce((slots, { change }) => change(slots), before);
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

  async #replace(slots: readonly BuildSlot[], current: CachedSlots | undefined): Promise<void> {
    const { client } = this.#options;
    const map = buildSlotsMap(slots, this.#options, current?.resourceVersion);
    const written =
      current === undefined ? await client.create(ConfigMaps, map) : await client.replace(ConfigMaps, map);
    this.#reflector.observe(written);
  }

  async #refresh(): Promise<void> {
    const { client, namespace } = this.#options;
    const map = await client.get(ConfigMaps, { namespace, name: SLOTS_NAME });
    if (map !== undefined) this.#reflector.observe(map);
    else if (this.#current !== undefined) this.#reflector.forget(`${namespace}/${SLOTS_NAME}`, this.#current.uid);
  }
}

/**
 * Slots that have come, gone or moved. A build that one executor gives up and another one takes in the same write keeps the uid of
 * its Job, and still has to be looked at.
 */
export function changedSlots(slots: readonly BuildSlot[], before: readonly BuildSlot[]): BuildSlot[] {
  const [now, then] = [new Set(slots.map(keyOf)), new Set(before.map(keyOf))];
  const come = slots.filter((slot) => !then.has(keyOf(slot)));
  const told = new Set(come.map(({ uid }) => uid));
  return [...come, ...before.filter((slot) => !now.has(keyOf(slot)) && !told.has(slot.uid))];
}

function keyOf({ uid, executor, at }: BuildSlot): string {
  return `${uid} ${String(at)} ${executor}`;
}

function reject({ done }: PendingChange, error: unknown): void {
  // The caller may have gone with its run.
  done.promise.catch(() => undefined);
  done.reject(error);
}
