import { backoffMs } from '../../../util/backoff.ts';
import type { PullNode } from './node.ts';
import type { WantedImage } from '../wanted-image.ts';

/** Why an image is not on a node although that was tried. */
export interface PullFailure {
  /** A word of the kubelet or of the scheduler: `ErrImagePull`, `Unschedulable`. */
  readonly reason: string;
  readonly message: string;
  /** Failures in a row. */
  readonly count: number;
  /** When it failed last, and when it may be tried again; milliseconds since the epoch. */
  readonly at: number;
  readonly nextAt: number;
}

/** Stands for the node itself in `failures`, where no pod could be started on it. */
export const WHOLE_NODE = '';

/** What is remembered of pulls, by node and digest: what the nodes themselves do not say, or not yet. */
export interface PrepullRecord {
  /** Milliseconds since the epoch. */
  readonly pulled: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly failures: ReadonlyMap<string, ReadonlyMap<string, PullFailure>>;
  /** By digest: milliseconds that the last pulls took. */
  readonly took: ReadonlyMap<string, readonly number[]>;
}

/** What became of one image in a puller pod. */
export interface Outcome {
  /** `WHOLE_NODE` for a failure that is none of an image. */
  readonly digest: string;
  readonly failure?: { readonly reason: string; readonly message: string } | undefined;
  readonly tookMs?: number | undefined;
}

export const NO_RECORD: PrepullRecord = { pulled: new Map(), failures: new Map(), took: new Map() };

/**
 * For how long it is believed that a node has an image which its list has never shown, in milliseconds: the list may be truncated,
 * and the kubelet may have removed the image. Pulling again what is there costs three calls.
 */
export const BELIEF_MS = 6 * 60 * 60_000;
/** Between two attempts with one image on one node. */
const RETRY = { firstMs: 30_000, longestMs: 60 * 60_000 };
const MOST_TIMES = 9;
/** What a ConfigMap bears, with some to spare: see record-map.ts. */
const MOST_PULLED = 25_000;
const MOST_FAILURES = 1_000;
const MOST_TOOK = 500;
const MOST_MESSAGE = 200;

export interface RecordContext {
  readonly now: number;
  /** Between 0 and 1; tests own it. */
  readonly random?: () => number;
}

/** The record with what became of the images of one pod. */
export function recordOutcomes(
  record: PrepullRecord,
  node: string,
  outcomes: readonly Outcome[],
  { now, random }: RecordContext,
): PrepullRecord {
  const pulled = new Map(record.pulled.get(node));
  const failures = new Map(record.failures.get(node));
  const took = new Map(record.took);
  for (const { digest, failure, tookMs } of outcomes) {
    if (failure === undefined) {
      pulled.set(digest, now);
      failures.delete(digest);
      failures.delete(WHOLE_NODE);
      if (tookMs !== undefined) took.set(digest, [...(took.get(digest) ?? []), tookMs].slice(-MOST_TIMES));
      continue;
    }
    const count = (failures.get(digest)?.count ?? 0) + 1;
    const nextAt = now + Math.round(backoffMs(count, { ...RETRY, ...(random === undefined ? {} : { random }) }));
    failures.set(digest, { ...failure, message: failure.message.slice(0, MOST_MESSAGE), count, at: now, nextAt });
  }
  return {
    pulled: new Map(record.pulled).set(node, pulled),
    failures: new Map(record.failures).set(node, failures),
    took,
  };
}

/** The record without what says nothing any more, and within its bounds: of too much, the oldest goes. */
export function pruneRecord(
  record: PrepullRecord,
  nodes: ReadonlyMap<string, PullNode>,
  wanted: readonly WantedImage[],
  now: number,
): PrepullRecord {
  const digests = new Set(wanted.map(({ digest }) => digest));
  const pulled = [...entries(record.pulled)].filter(
    ([node, digest, at]) =>
      digests.has(digest) && nodes.get(node)?.digests.has(digest) === false && isBelieved(at, now),
  );
  const failures = [...entries(record.failures)].filter(
    ([node, digest]) => (digests.has(digest) || digest === WHOLE_NODE) && nodes.has(node),
  );
  const took = [...record.took].filter(([digest]) => digests.has(digest)).slice(-MOST_TOOK);
  return {
    pulled: grouped(newest(pulled, MOST_PULLED, ([, , at]) => at)),
    failures: grouped(newest(failures, MOST_FAILURES, ([, , { at }]) => at)),
    took: new Map(took),
  };
}

/** Whether the node has the image, as far as anybody knows. */
export function has(node: PullNode, digest: string, record: PrepullRecord, now: number): boolean {
  if (node.digests.has(digest)) return true;
  const at = record.pulled.get(node.name)?.get(digest);
  return at !== undefined && isBelieved(at, now);
}

/** A clock that was far ahead of this one is not believed. */
function isBelieved(at: number, now: number): boolean {
  return Math.abs(now - at) < BELIEF_MS;
}

type Entry<T> = readonly [node: string, digest: string, value: T];

function* entries<T>(byNode: ReadonlyMap<string, ReadonlyMap<string, T>>): Generator<Entry<T>, void> {
  for (const [node, byDigest] of byNode) for (const [digest, value] of byDigest) yield [node, digest, value];
}

function newest<T>(all: readonly Entry<T>[], most: number, at: (entry: Entry<T>) => number): readonly Entry<T>[] {
  return all.length <= most ? all : all.toSorted((one, other) => at(other) - at(one)).slice(0, most);
}

function grouped<T>(all: readonly Entry<T>[]): Map<string, Map<string, T>> {
  const byNode = new Map<string, Map<string, T>>();
  for (const [node, digest, value] of all) {
    const byDigest = byNode.get(node) ?? new Map<string, T>();
    byNode.set(node, byDigest.set(digest, value));
  }
  return byNode;
}
