import { matchPattern } from '../../../util/pattern.ts';
import { isImageTag } from '../image-reference.ts';
import { dateOf } from './date.ts';
import { grammarOf } from './grammar.ts';
import { compareKeys } from './order.ts';
import type { TagRules } from './rules.ts';
import type { SortableTag, TagGrammar } from './tag.ts';

/** A tag that is offered, before anything is known of digests. */
export interface OfferedTag extends SortableTag {
  readonly isDeprecated: boolean;
  /** Whether it counts as one of the newest of its kind: new enough by the rules of the kind, and for no architecture. */
  readonly isCurrent: boolean;
}

/**
 * The tags that are offered at all, each once, in the order of the grammar. Tags that the rules name are offered whatever cycle and
 * selections say.
 *
 * @param now milliseconds since the epoch
 */
export function offeredTags(tags: Iterable<string>, rules: TagRules, now: number): readonly OfferedTag[] {
  const grammar = grammarOf(rules.grammar);
  const unique = [...new Set(tags)].filter(isImageTag);
  const named = new Set([...namedAliases(rules), ...rules.pinned]);
  const included = rules.include.length === 0 ? undefined : matching(rules.include, unique, false);
  // A tag that a pattern takes too long over is left out.
  const excluded = matching(rules.exclude, unique, true);
  const deprecated = matching(rules.deprecated, unique, false);
  const isCurrent = currency(grammar, rules, now);
  return grammar
    .parseAll(unique)
    .filter(
      ({ tag, cycle }) =>
        named.has(tag) ||
        ((rules.cycle === undefined || cycle === rules.cycle) &&
          (included === undefined || included.has(tag)) &&
          !excluded.has(tag)),
    )
    .sort(grammar.compare)
    .map((tag) => ({ ...tag, isDeprecated: deprecated.has(tag.tag), isCurrent: isCurrent(tag) }));
}

/** The recommended tag and the aliases of the configuration, in the order of menus. */
export function namedAliases({ recommended, aliases }: TagRules): readonly string[] {
  return [...new Set([...(recommended === undefined ? [] : [recommended]), ...aliases])];
}

/** The tags that match one of some patterns. `slow` says whether those that a pattern took too long over are among them. */
function matching(patterns: readonly string[], tags: readonly string[], slow: boolean): ReadonlySet<string> {
  const found = patterns.flatMap((pattern) => {
    const matches = matchPattern(pattern, tags);
    return tags.filter((_, index) => (matches[index] === undefined ? slow : matches[index] !== null));
  });
  return new Set(found);
}

/** Whether the rules of its kind find a tag new enough, and it is for no architecture. */
function currency(grammar: TagGrammar, { kinds }: TagRules, now: number): (tag: SortableTag) => boolean {
  const isNew = new Map(
    Object.entries(kinds).map(([kind, { maxAge = Infinity, since }]) => {
      const isSince = since === undefined ? () => true : bound(grammar, kind, since);
      const isNew = (tag: SortableTag) => (tag.date === null || now - tag.date <= maxAge) && isSince(tag);
      return [kind, isNew];
    }),
  );
  return (tag) => tag.architecture === null && (isNew.get(tag.kind)?.(tag) ?? true);
}

/** Whether a tag is no older than a tag of the same kind, or than a day. */
function bound(grammar: TagGrammar, kind: string, since: string): (tag: SortableTag) => boolean {
  const oldest = grammar.parse(since);
  if (oldest.kind === kind) return (tag) => compareKeys(tag.order, oldest.order) >= 0;
  const day = dateOf(since);
  return ({ date }) => day === null || date === null || date >= day;
}
