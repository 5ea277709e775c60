import { buildSlotsMap, parseSlots, SLOTS_NAME } from '../../../domain/build/build-slots.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import { Changes } from '../../../util/changes.ts';
import type { Cache, Health } from '../../health.ts';
import { SharedDocument } from '../../shared-document.ts';
import type { BuildScope } from '../build-scope.ts';

/** What is to become of the slots, given those there are; the same array when nothing is. */
export type SlotChange = (slots: readonly BuildSlot[]) => readonly BuildSlot[];

export interface SlotStoreOptions extends Omit<BuildScope, 'config'> {
  /** The slots have changed, whichever replica did it. */
  readonly onChange: (slots: readonly BuildSlot[], before: readonly BuildSlot[]) => void;
}

const NONE: readonly BuildSlot[] = [];

/**
 * The admitted builds, in one ConfigMap that all replicas share. A change is a function of what is there, computed anew when another
 * replica was faster (`SharedDocument`): the bounds hold also with several writers.
 */
export class SlotStore implements Cache {
  readonly name = 'build-slots';
  readonly synced: Promise<void>;
  /** By id of the build: a slot of it has been released. */
  readonly releases = new Changes();
  readonly #shared: SharedDocument<readonly BuildSlot[]>;

  constructor(options: SlotStoreOptions) {
    const { client, logger, namespace } = options;
    this.#shared = new SharedDocument<readonly BuildSlot[]>({
      ...{ name: this.name, client, logger, namespace, mapName: SLOTS_NAME, empty: NONE },
      parse: parseSlots,
      build: (slots, resourceVersion) => buildSlotsMap(slots, options, resourceVersion),
      onChange: (after, earlier) => {
        options.onChange(after, earlier);
        const left = new Set(after.map(({ uid }) => uid));
        for (const { id, uid } of earlier) if (!left.has(uid)) this.releases.notify(id);
      },
    });
    this.synced = this.#shared.synced;
  }

  get isSynced(): boolean {
    return this.#shared.isSynced;
  }

  health(): Health {
    return this.#shared.health();
  }

  /** Grows with each change of the slots. */
  get version(): number {
    return this.#shared.version;
  }

  get slots(): readonly BuildSlot[] {
    return this.#shared.value;
  }

  /** The slot of this build of that Job. */
  find(id: string, uid: string): BuildSlot | undefined {
    return this.slots.find((slot) => slot.id === id && slot.uid === uid);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#shared.run(signal);
  }

  /** Changes the slots. Resolves when it is durable; throws as `SharedDocument.change` does. */
  change(change: SlotChange): Promise<void> {
    return this.#shared.change(change);
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
  read(): Promise<readonly BuildSlot[]> {
    return this.#shared.read();
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
