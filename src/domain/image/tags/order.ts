import type { SortableTag, SortKey } from './tag.ts';

/** The order of one grammar: its kinds as listed, newest first inside a kind, and the text of the tag where all else is equal. */
export function newestFirst(kinds: readonly string[]): (one: SortableTag, other: SortableTag) => number {
  const ranks = new Map(kinds.map((kind, index) => [kind, index]));
  const rank = ({ kind }: SortableTag) => ranks.get(kind) ?? kinds.length;
  return (one, other) =>
    rank(one) - rank(other) || compareKeys(other.order, one.order) || compareKeys(other.tag, one.tag);
}

/** Negative when the first is below the second. Lists are compared part by part; one that goes on is above one that ends. */
export function compareKeys(one: SortKey, other: SortKey): number {
  if (isList(one) && isList(other)) {
    for (let index = 0; index < Math.min(one.length, other.length); index += 1) {
      const difference = compareKeys(one[index] ?? null, other[index] ?? null);
      if (difference !== 0) return difference;
    }
    return one.length - other.length;
  }
  const byType = typeRank(one) - typeRank(other);
  if (byType !== 0 || one === null || other === null) return byType;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** A number without sign, of any length. */
export function numberKey(digits: string): number | bigint {
  return digits.length > 15 ? BigInt(digits) : Number(digits);
}

/** Text as people order it: `build-10` is above `build-9`. */
export function naturalKey(text: string): SortKey {
  return (text.match(/\d+|\D+/g) ?? []).map((part) => (/^\d/.test(part) ? numberKey(part) : part));
}

/** What a tag without an architecture is ordered by is above what one with an architecture is. */
export function architectureKey(architecture: string | null): SortKey {
  return architecture === null ? [1] : [0, architecture];
}

function isList(key: SortKey): key is readonly SortKey[] {
  return Array.isArray(key);
}

function typeRank(key: SortKey): number {
  if (key === null) return 0;
  if (typeof key === 'string') return 2;
  return isList(key) ? 3 : 1;
}
