import type { V1OwnerReference } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { buildPullerPod } from '../../../builder/prepull/puller-pod.ts';
import type { Config } from '../../../config/index.ts';
import { planPrepull, type PrepullPlan, type PullRemoval, type PullStart } from '../../../domain/image/prepull/plan.ts';
import { type Outcome, pruneRecord, recordOutcomes, WHOLE_NODE } from '../../../domain/image/prepull/record.ts';
import type { WantedImages } from '../../../domain/image/wanted-image.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { KubeError } from '../../../storage/kubernetes/kube-error.ts';
import { Pods } from '../../../storage/kubernetes/resources.ts';
import { type Clock, SYSTEM_CLOCK } from '../../../util/clock.ts';
import { Controller, type Run, type Source } from '../../controller.ts';
import type { Result } from '../../work-queue.ts';
import type { PrepullCache } from './prepull-cache.ts';
import { prepullSettings } from './settings.ts';

export interface PrepullerOptions {
  readonly client: KubeClient;
  readonly cache: PrepullCache;
  readonly wanted: WantedImages;
  /** What holds now. */
  readonly config: () => Config;
  /** The controller's own namespace. */
  readonly controller: string;
  /** What puller pods are deleted with; undefined where nothing owns this process. */
  readonly owner: () => Promise<V1OwnerReference | undefined>;
  readonly logger: Logger;
  readonly clock?: Clock;
}

const NOTHING: PrepullPlan = { start: [], remove: [], next: 10 * 60_000 };
/** Changes that come together make one plan: nodes and pods report in bursts. Milliseconds. */
const TOGETHER_MS = 20;
/** When another replica was faster, or the pod from before is not gone yet. Milliseconds. */
const TAKEN_MS = 1_000;
const CONCURRENCY = 16;

/**
 * Has the wanted images pulled. All nodes together make one plan (`planPrepull`), and a run for a node does what the plan of that moment
 * says of it. See docs/decisions/prepull.md.
 */
export class Prepuller {
  readonly #options: PrepullerOptions;
  readonly #clock: Clock;
  /** By node: the registry of the pod that is being created there. */
  readonly #starting = new Map<string, string>();
  #plan: { readonly plan: PrepullPlan; readonly key: string; readonly until: number } | undefined;
  #version = 0;
  /** Makes another plan soon, while this replica leads. */
  #wake: () => void = () => undefined;

  constructor(options: PrepullerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Nodes about which there is something to be done. */
  keys(): Set<string> {
    const { start, remove } = this.plan();
    return new Set([...remove.map(({ puller }) => puller.node), ...start.map(({ node }) => node)]);
  }

  /** Enqueues what a change, or the time that goes by, gives to do. */
  readonly changes: Source = (enqueue, signal, report) => {
    let timer: NodeJS.Timeout | undefined;
    let isSoon = false;
    const wake = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(look, ms);
    };
    const look = () => {
      isSoon = false;
      try {
        for (const node of this.keys()) enqueue(node);
      } catch (error) {
        report(error);
      }
      wake(this.plan().next);
    };
    const changed = () => {
      this.#version += 1;
      if (isSoon || signal.aborted) return;
      isSoon = true;
      wake(TOGETHER_MS);
    };
    this.#options.cache.onChange(changed, signal);
    this.#options.wanted.onChange(changed, signal);
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
    this.#wake = changed;
    changed();
  };

  /** What is to be done at this moment. Made anew when something has changed or its time is over. */
  plan(): PrepullPlan {
    const { cache, wanted, config } = this.#options;
    const now = this.#clock.now();
    const key = `${String(cache.isSynced)} ${String(cache.version)} ${String(this.#version)}`;
    if (this.#plan !== undefined && this.#plan.key === key && now < this.#plan.until) return this.#plan.plan;
    const settings = prepullSettings(config());
    const plan =
      settings === undefined || !cache.isSynced
        ? NOTHING
        : planPrepull({
            ...{ nodes: cache.nodes, running: cache.pullers, record: cache.record.value },
            ...{ wanted: wanted.wanted(), starting: this.#starting, now, settings },
          });
    this.#plan = { plan, key, until: now + plan.next };
    return plan;
  }

  /** Another configuration holds from now on. */
  reconfigured(): void {
    this.#version += 1;
    this.#wake();
  }

  async reconcile(node: string, run: Run): Promise<Result | void> {
    const removal = this.plan().remove.find(({ puller }) => puller.node === node);
    if (removal !== undefined) await this.#remove(removal, run);
    const start = this.plan().start.find((each) => each.node === node);
    return start === undefined ? undefined : this.#start(start, run);
  }

  /** What became of the images is durable before the pod goes: whoever finds the pod later finds it once more. */
  async #remove({ puller, outcomes }: PullRemoval, { logger, signal }: Run): Promise<void> {
    const { client, cache, controller: namespace } = this.#options;
    const { node, name, uid } = puller;
    if (outcomes.length > 0) await this.#record(node, outcomes, logger);
    // Nothing in it has to end in order, and a node that does not answer would keep it for good.
    await client.delete(Pods, { namespace, name }, { uid, gracePeriodSeconds: 0, signal });
    cache.forget(puller);
  }

  async #record(node: string, outcomes: readonly Outcome[], logger: Logger): Promise<void> {
    const { cache, wanted } = this.#options;
    const now = this.#clock.now();
    const nodes = new Map(cache.nodes.map((each) => [each.name, each]));
    const images = wanted.wanted();
    await cache.record.change((record) =>
      pruneRecord(recordOutcomes(record, node, outcomes, { now }), nodes, images, now),
    );
    for (const { digest, failure } of outcomes) {
      const image = images.find((each) => each.digest === digest)?.reference;
      if (failure !== undefined) logger.warn({ node, image, ...failure }, 'an image could not be pulled ahead');
      else logger.debug({ node, image }, 'an image is on a node');
    }
  }

  async #start(start: PullStart, run: Run): Promise<Result | void> {
    const { client, cache, controller, config, owner } = this.#options;
    const { lab, images } = config();
    if (images.prepull === undefined || this.#starting.has(start.node)) return undefined;
    this.#starting.set(start.node, start.registry);
    try {
      const context = { controller, lab, prepull: images.prepull, owner: await owner() };
      cache.observe(await client.create(Pods, buildPullerPod(start, context), { signal: run.signal }));
      return undefined;
    } catch (error) {
      if (!(error instanceof KubeError) || error.isTransient) throw error;
      // The pod of before, or that of another leader: the cache will tell.
      if (error.status === 409) return { requeueAfterMs: TAKEN_MS };
      const failure = { reason: error.reason, message: error.answer };
      await this.#record(start.node, [{ digest: WHOLE_NODE, failure }], run.logger);
      return undefined;
    } finally {
      this.#starting.delete(start.node);
      this.#version += 1;
      this.#wake();
    }
  }
}

/** The controller `prepull`. Its keys are names of nodes. */
export function prepullController(prepuller: Prepuller, cache: PrepullCache, logger: Logger): Controller {
  return new Controller({
    name: 'prepull',
    caches: [cache],
    sources: [prepuller.changes],
    keys: () => prepuller.keys(),
    reconcile: (node, run) => prepuller.reconcile(node, run),
    concurrency: CONCURRENCY,
    logger,
  });
}
