import type { V1ConfigMap } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { buildSlotsMap, parseSlots, SLOTS_NAME } from '../../../domain/build/build-slots.ts';
import type { BuildSlot } from '../../../domain/build/build-queue.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { type Cached, Reflector } from '../../../storage/kubernetes/reflector.ts';
import { ConfigMaps } from '../../../storage/kubernetes/resources.ts';

/** What is to become of the slots, given those there are; the same array when nothing is. */
export type SlotChange = (slots: readonly BuildSlot[]) => readonly BuildSlot[];

export interface SlotStoreOptions {
  readonly client: KubeClient;
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly logger: Logger;
  /** The slots have changed, by whomever. */
  readonly onChange: (slots: readonly BuildSlot[], before: readonly BuildSlot[]) => void;
}

interface Ledger extends Cached {
  readonly slots: readonly BuildSlot[];
}

/** How often a change is tried when others are faster each time. */
const ATTEMPTS = 20;

/**
 * Whose turn has come, as all controllers of this installation agree on it.
 *
 * A change is a function of what is there. Changes that come while one is being written are written together, with one
 * call; one that meets a newer version is computed anew from that. What it decides is therefore never more than one ahead of
 * the bounds, also with several controllers.
 */
export class SlotStore {
  readonly ready: Promise<void>;
  readonly #options: SlotStoreOptions;
  readonly #reflector: Reflector<V1ConfigMap, Ledger>;
  #pending: SlotChange[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: SlotStoreOptions) {
    this.#options = options;
    const { client, logger, namespace } = options;
    this.#reflector = new Reflector<V1ConfigMap, Ledger>({
      client,
      logger,
      resource: ConfigMaps,
      select: { namespace, fieldSelector: `metadata.name=${SLOTS_NAME}` },
      project: (map) => ({
        uid: map.metadata?.uid ?? '',
        resourceVersion: map.metadata?.resourceVersion ?? '',
        slots: parseSlots(map),
      }),
      onChange: (_key, now, before) => options.onChange(now?.slots ?? [], before?.slots ?? []),
    });
    this.ready = this.#reflector.ready;
  }

  get isReady(): boolean {
    return this.#reflector.isReady;
  }

  get lastError(): Error | undefined {
    return this.#reflector.lastError;
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
   * @throws {KubeError} it could not be written; nothing has changed then, as far as is known
   */
  async change(change: SlotChange): Promise<void> {
    this.#pending.push(change);
    while (this.#pending.includes(change)) {
      this.#writing ??= this.#write().finally(() => {
        this.#writing = undefined;
      });
      await this.#writing;
    }
  }

  /** Takes away the slots that `isGone` holds of. As `change`; nothing is written where there are none. */
  remove(isGone: (slot: BuildSlot) => boolean): Promise<void> {
    return this.change((slots) => (slots.some(isGone) ? slots.filter((slot) => !isGone(slot)) : slots));
  }

  /** What the API server has now, and not what was last heard. */
  async read(): Promise<readonly BuildSlot[]> {
    await this.#refresh();
    return this.slots;
  }

  get #current(): Ledger | undefined {
    return this.#reflector.get(`${this.#options.namespace}/${SLOTS_NAME}`);
  }

  async #write(): Promise<void> {
    const changes = [...this.#pending];
    try {
      for (let attempt = 1; ; attempt += 1) {
        const current = this.#current;
        const before = current?.slots ?? [];
        const after = changes.reduce((slots, change) => change(slots), before);
        if (after === before) return;
        try {
          return await this.#replace(after, current);
        } catch (error) {
          const isLate = isKubeError(error, 409) || isKubeError(error, 404);
          if (!isLate || attempt === ATTEMPTS) throw error;
          await this.#refresh();
        }
      }
    } finally {
      // Those that came meanwhile are written next.
      this.#pending = this.#pending.filter((change) => !changes.includes(change));
    }
  }

  async #replace(slots: readonly BuildSlot[], current: Ledger | undefined): Promise<void> {
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
