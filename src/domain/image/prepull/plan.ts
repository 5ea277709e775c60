import { parseImageReference } from '../image-reference.ts';
import type { WantedImage } from '../wanted-image.ts';
import { type NodeAssessment, assessNode, type PrepullSettings } from './assess.ts';
import type { PullNode } from './node.ts';
import type { Puller } from './puller.ts';
import { BELIEF_MS, has, type Outcome, type PrepullRecord, WHOLE_NODE } from './record.ts';
import { untilWindow } from './window.ts';

/** All that decides about pulling ahead. */
export interface PrepullSituation {
  readonly nodes: readonly PullNode[];
  /** The most important first. */
  readonly wanted: readonly WantedImage[];
  /** The puller pods that are there. */
  readonly running: readonly Puller[];
  /** Nodes for which a puller pod is being created at this moment, and from which registry. */
  readonly starting?: ReadonlyMap<string, string>;
  readonly record: PrepullRecord;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly settings: PrepullSettings;
}

/** A puller pod to be created. */
export interface PullStart {
  readonly node: string;
  readonly registry: string;
  readonly images: readonly WantedImage[];
}

/** A puller pod to be deleted. */
export interface PullRemoval {
  readonly puller: Puller;
  /** To be recorded before. */
  readonly outcomes: readonly Outcome[];
}

export interface PrepullPlan {
  /** One for a node at most. */
  readonly start: readonly PullStart[];
  readonly remove: readonly PullRemoval[];
  /** How long nothing but a change of the situation can make another plan, in milliseconds. */
  readonly next: number;
}

/** Images in one pod. The kubelet tells what became of them when it has tried all. */
export const IMAGES_PER_POD = 5;
/** A pod that finds no place on its node for so long is given up, in milliseconds. */
export const SCHEDULING_MS = 60_000;
/** For so long a node is new: it is warmed also outside of the hours for pulls, in milliseconds. */
export const NEW_NODE_MS = 60 * 60_000;
const LONGEST_MS = 10 * 60_000;
const LEAST_MS = 100;

/**
 * What is to be started and removed now. It starts nothing on a node that has a puller pod, nothing on one that is not eligible, and no
 * more than the bounds allow over all that is there and being created.
 */
export function planPrepull(situation: PrepullSituation): PrepullPlan {
  const { nodes, wanted, running, record, now, settings } = situation;
  const starting = situation.starting ?? new Map<string, string>();
  const assessed = new Map(nodes.map((node) => [node.name, assessNode(node, wanted, settings)]));
  const clock = new Alarm(now);
  const remove: PullRemoval[] = [];
  const busy = new Set<string>(starting.keys());
  const room = new Room(settings);
  for (const registry of starting.values()) room.take(registry);
  for (const puller of running) {
    busy.add(puller.node);
    const removal = endOf(puller, assessed.get(puller.node), now);
    if (removal !== undefined && !puller.isTerminating) remove.push(removal);
    // What has ended, or is deleted, pulls nothing more.
    if (removal === undefined && !puller.isTerminating) room.take(puller.registry);
    if (!puller.isScheduled) clock.at(puller.createdAt + SCHEDULING_MS);
  }
  const wait = settings.window === undefined ? 0 : untilWindow(settings.window, now);
  if (wait > 0) clock.at(now + wait);
  const candidates = [...assessed.values()]
    .filter(({ node }) => !busy.has(node.name) && (wait === 0 || now - node.createdAt < NEW_NODE_MS))
    .map((each) => ({ name: each.node.name, due: dueOn(each, record, now, clock) }))
    .filter(({ due }) => due.length > 0)
    .sort((one, other) => (one.due[0]?.rank ?? 0) - (other.due[0]?.rank ?? 0) || compare(one.name, other.name));
  const start: PullStart[] = [];
  for (const { name, due } of candidates) {
    if (room.isFull) break;
    const first = due.find(({ registry }) => room.has(registry));
    if (first === undefined) continue;
    const { registry } = first;
    // An image that has failed here does not hold up others.
    const together = first.hasFailed
      ? [first]
      : due.filter((each) => each.registry === registry && !each.hasFailed).slice(0, IMAGES_PER_POD);
    room.take(registry);
    start.push({ node: name, registry, images: together.map(({ image }) => image) });
  }
  return { start, remove, next: clock.next };
}

interface Due {
  readonly image: WantedImage;
  readonly registry: string;
  readonly hasFailed: boolean;
  /** Its place among the images of its node. */
  readonly rank: number;
}

/** What is to be pulled now on a node: what it lacks, and what has failed there once its time has come. */
function dueOn({ node, images }: NodeAssessment, record: PrepullRecord, now: number, clock: Alarm): Due[] {
  const failures = record.failures.get(node.name);
  const isWaiting = (digest: string) => {
    const nextAt = failures?.get(digest)?.nextAt ?? 0;
    if (nextAt > now) clock.at(nextAt);
    return nextAt > now;
  };
  if (images.length > 0 && isWaiting(WHOLE_NODE)) return [];
  return images.flatMap((image, rank) => {
    const { digest, reference } = image;
    const at = record.pulled.get(node.name)?.get(digest);
    if (at !== undefined) clock.at(at + BELIEF_MS);
    if (has(node, digest, record, now) || isWaiting(digest)) return [];
    const hasFailed = failures?.has(digest) ?? false;
    return [{ image, registry: parseImageReference(reference)?.registry ?? '', hasFailed, rank }];
  });
}

/** @returns undefined for a pod that is to go on */
function endOf(puller: Puller, assessed: NodeAssessment | undefined, now: number): PullRemoval | undefined {
  const { outcomes, isScheduled, refusal, createdAt, digests } = puller;
  if (outcomes !== undefined) return { puller, outcomes };
  const isWanted = assessed?.images.some(({ digest }) => digests.includes(digest)) ?? false;
  if (!isWanted) return { puller, outcomes: [] };
  if (isScheduled || now - createdAt < SCHEDULING_MS) return undefined;
  const message = refusal ?? 'The scheduler did not put the pod on the node';
  return { puller, outcomes: [{ digest: WHOLE_NODE, failure: { reason: 'Unschedulable', message } }] };
}

/** How much more may be pulled at once. */
class Room {
  readonly #settings: PrepullSettings;
  readonly #taken = new Map<string, number>();
  #all = 0;

  constructor(settings: PrepullSettings) {
    this.#settings = settings;
  }

  get isFull(): boolean {
    return this.#all >= this.#settings.pullsAtOnce;
  }

  has(registry: string): boolean {
    return !this.isFull && (this.#taken.get(registry) ?? 0) < this.#settings.perRegistry;
  }

  take(registry: string): void {
    this.#all += 1;
    this.#taken.set(registry, (this.#taken.get(registry) ?? 0) + 1);
  }
}

/** The first of several moments that are still to come. */
class Alarm {
  readonly #now: number;
  #first: number;

  constructor(now: number) {
    this.#now = now;
    this.#first = now + LONGEST_MS;
  }

  at(moment: number): void {
    if (moment > this.#now && moment < this.#first) this.#first = moment;
  }

  get next(): number {
    return Math.max(this.#first - this.#now, LEAST_MS);
  }
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
