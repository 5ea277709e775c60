import type { V1Secret } from '@kubernetes/client-node';
import { relabelPatch } from '../../domain/lab/intent.ts';
import { type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { intentName } from '../../domain/lab/object-names.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import type { LabCache } from './lab-cache.ts';

export interface LabLookupOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  /** The controller's own namespace. */
  readonly controller: string;
  /** Most questions a second, on average and at once. */
  readonly perSecond?: number;
  readonly clock?: Clock;
}

const PER_SECOND = 100;
const TIMEOUT_MS = 3_000;

/**
 * Asks the API server for intents that the cache may not know of yet, because another replica has just written them.
 *
 * Who asks for the same name at the same moment shares one question. A question that was under way before somebody came may
 * have been answered before the write that they know of, so its "no" does not count for them: they share the next one.
 * Answers are not remembered for the same reason. What bounds the cost of names that nobody has is the number of questions
 * a second; beyond it the cache has the last word.
 */
export class LabLookup {
  readonly #options: LabLookupOptions;
  readonly #clock: Clock;
  readonly #flights = new Map<string, Promise<void>>();
  #tokens: number;
  #filledAt: number;

  constructor(options: LabLookupOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#tokens = this.#perSecond;
    this.#filledAt = this.#clock.monotonic();
  }

  /**
   * Resolves when the cache knows what the API server knows of this lab now, or when too much is asked.
   *
   * @throws KubeError
   */
  async refresh(slug: string): Promise<void> {
    const earlier = this.#flights.get(slug);
    if (earlier !== undefined) {
      await earlier.catch(() => undefined);
      if (!isDoubtful(this.#options.cache, slug)) return;
    }
    await (this.#flights.get(slug) ?? this.#begin(slug));
  }

  #begin(slug: string): Promise<void> {
    if (!this.#take()) return Promise.resolve();
    const flight = this.#ask(slug).finally(() => this.#flights.delete(slug));
    this.#flights.set(slug, flight);
    return flight;
  }

  async #ask(slug: string): Promise<void> {
    const { client, cache, controller } = this.#options;
    const known = cache.intentOf(slug);
    const ref = { namespace: controller, name: intentName(slug) };
    const found = await client.get(Secrets, ref, { ...METADATA_ONLY, timeoutMs: TIMEOUT_MS });
    if (found !== undefined) cache.observeIntent(await relabelled(found, client, controller));
    else if (known !== undefined) cache.forgetIntent(known);
  }

  get #perSecond(): number {
    return this.#options.perSecond ?? PER_SECOND;
  }

  /** Whether one more question may be asked now. */
  #take(): boolean {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#perSecond, this.#tokens + ((now - this.#filledAt) * this.#perSecond) / 1_000);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/**
 * Whether another replica may know better: of a lab that is not in the cache, and of one that is over or on its way out,
 * since a new one may have taken its place.
 */
export function isDoubtful(cache: LabCache, slug: string): boolean {
  const intent = cache.intentOf(slug);
  return intent === undefined || intent.deleting || intent.failure !== null || intent.damaged;
}

/**
 * An intent whose labels somebody has taken away is in nobody's watch, and in the way of the next one: it gets them back.
 *
 * @throws KubeError
 */
export async function relabelled(found: V1Secret, client: KubeClient, controller: string): Promise<V1Secret> {
  const patch = relabelPatch(found.metadata ?? {}, controller);
  if (patch === undefined) return found;
  return client.patch(Secrets, { namespace: controller, name: found.metadata?.name ?? '' }, patch, METADATA_ONLY);
}
