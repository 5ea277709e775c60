import type { V1ConfigMap } from '@kubernetes/client-node';
import { isRecord } from '../../../util/is-record.ts';
import type { PrepullRecord, PullFailure } from './record.ts';

/** The ConfigMap with what is remembered of pulls. */
export const RECORD_NAME = 'labwright-prepull';
const RECORD_KEY = 'record.json';
const MINUTE_MS = 60_000;

/**
 * Digests and texts are written once, in a table, and named by their place in it: 25,000 pulls and 1,000 failures are then less than half of
 * the mebibyte that a ConfigMap takes. Moments are minutes since the epoch where that is exact enough.
 */
interface Written {
  readonly texts: readonly string[];
  /** By node: digest, minute, digest, minute. */
  readonly pulled: Readonly<Record<string, readonly number[]>>;
  /** By node: digest, reason, message, count, at and nextAt in milliseconds. */
  readonly failures: Readonly<Record<string, readonly (readonly number[])[]>>;
  /** Digest, then milliseconds. */
  readonly took: readonly (readonly number[])[];
}

export function writeRecord(record: PrepullRecord): Record<string, string> {
  const places = new Map<string, number>();
  const place = (text: string) => {
    const known = places.get(text);
    if (known !== undefined) return known;
    places.set(text, places.size);
    return places.size - 1;
  };
  const byNode = <T, W>(all: ReadonlyMap<string, ReadonlyMap<string, T>>, write: (digest: string, value: T) => W[]) =>
    Object.fromEntries(
      [...all]
        .filter(([, byDigest]) => byDigest.size > 0)
        .map(([node, byDigest]) => [node, [...byDigest].flatMap(([digest, value]) => write(digest, value))]),
    );
  const pulled = byNode(record.pulled, (digest, at) => [place(digest), Math.round(at / MINUTE_MS)]);
  const failures = byNode(record.failures, (digest, { reason, message, count, at, nextAt }) => [
    [place(digest), place(reason), place(message), count, at, nextAt],
  ]);
  const took = [...record.took].map(([digest, times]) => [place(digest), ...times]);
  const written: Written = { texts: [...places.keys()], pulled, failures, took };
  return { [RECORD_KEY]: JSON.stringify(written) };
}

/** What stands in it; what somebody has damaged is left out. */
export function parseRecord({ data }: V1ConfigMap): PrepullRecord {
  const document = parseJson(data?.[RECORD_KEY] ?? '{}');
  const texts = listOf(document['texts']).map((text) => (typeof text === 'string' ? text : ''));
  const textAt = (place: unknown) => (typeof place === 'number' ? texts[place] : undefined);
  const pulled = new Map<string, Map<string, number>>();
  for (const [node, list] of entriesOf(document['pulled'])) {
    const byDigest = new Map<string, number>();
    for (let at = 0; at + 1 < list.length; at += 2) {
      const [digest, minute] = [textAt(list[at]), list[at + 1]];
      if (digest !== undefined && typeof minute === 'number') byDigest.set(digest, minute * MINUTE_MS);
    }
    pulled.set(node, byDigest);
  }
  const failures = new Map<string, Map<string, PullFailure>>();
  for (const [node, list] of entriesOf(document['failures'])) {
    const parsed = list.flatMap((entry) => parseFailure(listOf(entry), textAt) ?? []);
    failures.set(node, new Map(parsed));
  }
  const took = new Map<string, number[]>();
  for (const entry of listOf(document['took'])) {
    const [place, ...times] = listOf(entry);
    const digest = textAt(place);
    if (digest !== undefined) took.set(digest, times.filter(isNumber));
  }
  return { pulled, failures, took };
}

type Pair = [string, PullFailure];

function parseFailure(entry: readonly unknown[], textAt: (place: unknown) => string | undefined): Pair[] | undefined {
  const [digest, reason, message] = entry.slice(0, 3).map(textAt);
  const [count, at, nextAt] = entry.slice(3).filter(isNumber);
  if (digest === undefined || reason === undefined || message === undefined) return undefined;
  if (count === undefined || at === undefined || nextAt === undefined) return undefined;
  return [[digest, { reason, message, count, at, nextAt }]];
}

function parseJson(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    return isRecord(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

function entriesOf(value: unknown): [string, readonly unknown[]][] {
  return isRecord(value) ? Object.entries(value).map(([key, list]) => [key, listOf(list)]) : [];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
