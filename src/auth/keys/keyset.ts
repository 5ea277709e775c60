/**
 * When a key comes and goes. The times are written once, when the key is made; everything else follows from them and the
 * clock, so that two controllers with the same keys agree without telling each other.
 *
 * | state | from | it is | until |
 * |---|---|---|---|
 * | next | `publishedAt` | published, so that whoever verifies knows it in time; not used | `activeFrom` |
 * | current | `activeFrom` | what tokens are signed and sessions are sealed with | a later key is current |
 * | previous | the `activeFrom` of that key | published, so that what was made with it stays valid | the last of that has expired |
 *
 * There is one exception to "published before it is used": the first key of an empty keyset, which nobody could wait for.
 */
export interface RingKey {
  readonly kid: string;
  /** Milliseconds since the epoch, as the next. */
  readonly publishedAt: number;
  readonly activeFrom: number;
  /** The longest for which anything made with it is valid, in milliseconds. */
  readonly lifetime: number;
}

/** All in milliseconds. */
export interface KeysetPolicy {
  /** How long one key is used. */
  readonly rotation: number;
  /** How long a key is published before it is used: more than anybody keeps a copy of the published keys. */
  readonly lead: number;
  /** How long what is made with a key is valid. */
  readonly lifetime: number;
  /** How far two clocks may be apart. */
  readonly skew: number;
}

/** What is to be done about a keyset. */
export interface RingPlan<K extends RingKey> {
  /** The keys that stay; their times may have been mended. */
  readonly keep: readonly K[];
  /** Times of a key that is to be made; undefined when none is needed. */
  readonly add: Omit<RingKey, 'kid'> | undefined;
  /** Whether anything is to be written at all. */
  readonly changed: boolean;
}

function sortedKeys<K extends RingKey>(keys: readonly K[]): K[] {
  return [...keys].sort((a, b) => a.activeFrom - b.activeFrom || (a.kid < b.kid ? -1 : 1));
}

/**
 * The one key that is used at this moment: the last of those whose time has come, and the earliest when the clock has been
 * set back behind all of them. Undefined only for an empty keyset.
 */
export function currentKey<K extends RingKey>(keys: readonly K[], now: number): K | undefined {
  const ordered = sortedKeys(keys);
  return ordered.findLast(({ activeFrom }) => activeFrom <= now) ?? ordered[0];
}

/**
 * Decides what a keyset needs. It may be asked at any time and by anybody; a keyset that needs nothing is told so.
 *
 * - A key goes when its successor has been current for as long as anything made with it can be valid.
 * - The successor of the current key is made so that it takes over at the end of the rotation, or as soon as it may when
 *   nobody has asked for longer than that.
 * - A longer lifetime in the configuration is noted in the keys that will be used under it; a shorter one never is, since
 *   what has been made stays valid.
 * - A key that is to be current later than any key could be was made while a clock was wrong: it comes after the lead.
 */
export function planKeyset<K extends RingKey>(keys: readonly K[], now: number, policy: KeysetPolicy): RingPlan<K> {
  const { rotation, lead, lifetime, skew } = policy;
  if (keys.length === 0) {
    return { keep: [], add: { publishedAt: now, activeFrom: now, lifetime }, changed: true };
  }
  const mended = sortedKeys(
    keys.map((key) => (key.activeFrom > now + lead + skew ? { ...key, activeFrom: now + lead } : key)),
  );
  const needed = mended.filter((key, index) => {
    const successor = mended[index + 1];
    return successor === undefined || successor.activeFrom + key.lifetime + skew >= now;
  });
  const current = currentKey(needed, now);
  const inUse = needed.findIndex((key) => key === current);
  const keep = needed.map((key, index) => (index >= inUse && key.lifetime < lifetime ? { ...key, lifetime } : key));
  const isLast = inUse === needed.length - 1;
  const isDue = current !== undefined && current.activeFrom + rotation - lead <= now;
  const add = isLast && isDue ? { publishedAt: now, activeFrom: now + lead, lifetime } : undefined;
  const changed = add !== undefined || keep.length !== keys.length || keep.some((key) => !keys.includes(key));
  return { keep, add, changed };
}
