import { namedAliases, type OfferedTag, offeredTags } from './offered.ts';
import type { Arranged, ArrangedTag, KindRules, TaggedDigest, TagRules } from './rules.ts';
import { aliasTitle } from './titles.ts';
import { UNKNOWN } from './tag.ts';

/** Most tags whose digests are asked for at once. */
const MOST_RESOLVED = 500;
/** Several tags can be of one image: the digests of this many tags are asked for to know one image. */
const TAGS_PER_IMAGE = 2;
/** How many of the newest tags of a kind an alias is compared with. */
const ALIAS_CANDIDATES = 10;
/** Most other tags of its image that are named with a tag. */
const MOST_ALIASES = 100;

/**
 * What is offered of the tags of one repository, in the order of menus.
 *
 * @param now milliseconds since the epoch, by which the age of tags is measured
 */
export function arrangeTags(tags: readonly TaggedDigest[], rules: TagRules, now: number): Arranged {
  const digests = new Map<string, string>();
  for (const { tag, digest } of tags) if (digest !== null) digests.set(tag, digest);
  const digestOf = ({ tag }: OfferedTag) => digests.get(tag) ?? null;
  const offered = offeredTags(
    tags.map(({ tag }) => tag),
    rules,
    now,
  );
  const places = new Map(namedAliases(rules).map((tag, index) => [tag, index]));
  const aliases = new Set(rules.aliases);
  // What is recommended can also be a tag that stays where it is: 4.2.1.
  const isNamedAlias = ({ tag, kind }: OfferedTag) => aliases.has(tag) || (kind === UNKNOWN && places.has(tag));
  const images = groupBy(offered, digestOf);
  const names = new Map([...images].map(([digest, all]) => [digest, all.map(({ tag }) => tag).sort()]));
  // In the order of the grammar, so that the first tag of an image is the one that its digest stands for.
  const targets = new Map(
    [...images].flatMap(([digest, all]) => {
      const target = all.find((tag) => tag.kind !== UNKNOWN && !isNamedAlias(tag));
      return target === undefined ? [] : [[digest, target] as const];
    }),
  );
  const newest = countNewest(rules, digestOf);
  const pinned = new Set(rules.pinned);
  const arranged = offered.map((parsed): { readonly place: number; readonly tag: ArrangedTag } => {
    const { tag, kind, title, date, cycle, architecture, isDeprecated } = parsed;
    const digest = digestOf(parsed);
    const isAlias = isNamedAlias(parsed);
    const target = isAlias || kind === UNKNOWN ? targets.get(digest ?? '') : undefined;
    const place = places.get(tag) ?? (target === undefined ? Infinity : places.size);
    const isRecommended = tag === rules.recommended;
    const isPinned = pinned.has(tag);
    const rank = isAlias ? { isWanted: false, isListed: true } : newest(parsed);
    return {
      place,
      tag: {
        tag,
        kind,
        title: isAlias || target !== undefined ? aliasTitle(parsed, target) : title,
        date: target === undefined ? date : target.date,
        cycle: target === undefined ? cycle : target.cycle,
        architecture: target === undefined ? architecture : target.architecture,
        digest,
        aliases: othersOf(tag, names.get(digest ?? '')),
        aliasOf: target?.tag ?? null,
        wanted: isRecommended || isPinned || rank.isWanted,
        recommended: isRecommended,
        listed: isRecommended || isPinned || rank.isListed,
        deprecated: isDeprecated,
      },
    };
  });
  // The sort is stable: what is in the same place stays in the order of the grammar.
  const inPlaces = arranged.sort((one, other) => (one.place === other.place ? 0 : one.place - other.place));
  return { tags: inPlaces.map(({ tag }) => tag) };
}

/**
 * The tags whose digests have to be known for `arrangeTags` to resolve aliases and to tell images apart, the most important first: those that
 * the rules name, then the newest of each kind.
 *
 * @param now milliseconds since the epoch
 */
export function tagsToResolve(tags: readonly string[], rules: TagRules, now: number): readonly string[] {
  const offered = offeredTags(tags, rules, now);
  const aliases = namedAliases(rules);
  const isThere = new Set(offered.map(({ tag }) => tag));
  const named = [rules.recommended ?? '', ...rules.pinned, ...aliases].filter((tag) => isThere.has(tag));
  const candidates = offered.filter(
    ({ tag, isCurrent, isDeprecated }) => isCurrent && !isDeprecated && !named.includes(tag),
  );
  const ranked = [...groupBy(candidates, ({ kind }) => kind)].flatMap(([kind, all]) => {
    const wanted = (rulesOf(rules, kind)?.wanted ?? 0) * TAGS_PER_IMAGE;
    const compared = aliases.length === 0 || kind === UNKNOWN ? 0 : ALIAS_CANDIDATES;
    return all.slice(0, Math.max(wanted, compared)).map(({ tag }, rank) => ({ tag, rank }));
  });
  const byRank = ranked.sort((one, other) => one.rank - other.rank).map(({ tag }) => tag);
  return [...new Set([...named, ...byRank])].slice(0, MOST_RESOLVED);
}

/**
 * Whether a tag is one of the newest of its kind, by the numbers of its rules; to be asked of all tags in their order. Tags of an image that was
 * counted do not count again.
 */
function countNewest(rules: TagRules, digestOf: (tag: OfferedTag) => string | null) {
  const counts = new Map<string, { readonly listed: Set<string>; readonly wanted: Set<string> }>();
  return (tag: OfferedTag): { readonly isWanted: boolean; readonly isListed: boolean } => {
    if (!tag.isCurrent) return { isWanted: false, isListed: false };
    const { wanted = 0, listed = Infinity } = rulesOf(rules, tag.kind) ?? {};
    const count = counts.get(tag.kind) ?? { listed: new Set(), wanted: new Set() };
    counts.set(tag.kind, count);
    const image = digestOf(tag) ?? tag.tag;
    const isWanted = !tag.isDeprecated && count.wanted.size < wanted && !count.wanted.has(image);
    if (isWanted) count.wanted.add(image);
    count.listed.add(image);
    return { isWanted, isListed: isWanted || count.listed.size <= listed };
  };
}

function rulesOf({ kinds }: TagRules, kind: string): KindRules | undefined {
  return Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
}

/** By a key, in their order; what has none is in no group. */
function groupBy<T>(entries: readonly T[], keyOf: (entry: T) => string | null): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const entry of entries) {
    const key = keyOf(entry);
    if (key === null) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [entry]);
    else group.push(entry);
  }
  return groups;
}

function othersOf(tag: string, names: readonly string[] = []): readonly string[] {
  return names
    .slice(0, MOST_ALIASES + 1)
    .filter((name) => name !== tag)
    .slice(0, MOST_ALIASES);
}
