import { compilePattern, type Groups, matchPattern } from '../../../util/pattern.ts';
import { splitArchitecture } from './architecture.ts';
import { dateOf } from './date.ts';
import { architectureKey, naturalKey, newestFirst, numberKey } from './order.ts';
import type { PatternRules } from './rules.ts';
import { type SortableTag, type SortKey, TAG_LENGTH, type TagGrammar, UNKNOWN } from './tag.ts';

/** The kind of everything that a pattern without the group `kind` matches. */
export const MATCHED = 'matched';
/** The named groups of a pattern that say something. */
export const PATTERN_GROUPS = ['kind', 'title', 'version', 'date', 'cycle', 'arch'] as const;

/** The named groups that a pattern has. */
export function groupsOf(pattern: string): readonly string[] {
  // What may also be left out matches nothing, and a match has all groups.
  return Object.keys(compilePattern(`(?:${pattern})?`)?.exec('')?.groups ?? {});
}

/**
 * A grammar of the operator's own: a regular expression for the whole tag, whose named groups say what is known of the tag. A tag that the
 * pattern takes too long over is not known.
 */
export function patternGrammar({ pattern, kinds: named = [MATCHED] }: PatternRules): TagGrammar {
  const groups = groupsOf(pattern);
  const kinds = [...named.filter((kind) => kind !== UNKNOWN), UNKNOWN];
  const known = new Set<string>(kinds);
  const parseAll = (tags: readonly string[]) => {
    const matches = matchPattern(
      pattern,
      tags.map((tag) => (tag.length > TAG_LENGTH ? '' : tag)),
    );
    return tags.map((tag, index) => {
      const match = matches[index] ?? null;
      const kind = match?.kind ?? named[0] ?? UNKNOWN;
      return match === null || tag.length > TAG_LENGTH || !known.has(kind)
        ? describe(tag, UNKNOWN, {})
        : describe(tag, kind, match);
    });
  };
  return {
    kinds,
    dated: groups.includes('date') ? named : [],
    hasCycles: groups.includes('cycle'),
    parse: (tag) => parseAll([tag])[0] ?? describe(tag, UNKNOWN, {}),
    parseAll,
    compare: newestFirst(kinds),
  };
}

function describe(tag: string, kind: string, { title, version, date: day, cycle, arch }: Groups): SortableTag {
  const [text, suffix] = splitArchitecture(tag);
  const architecture = arch ?? suffix;
  const date = day === undefined ? null : dateOf(day);
  const number = cycle !== undefined && /^\d{1,15}$/.test(cycle) ? Number(cycle) : null;
  const order = [
    version === undefined ? null : versionKey(version),
    date,
    day === undefined ? null : naturalKey(day),
    number,
    architectureKey(architecture),
    naturalKey(text),
  ];
  return { tag, kind, title: title ?? tag, date, cycle: number, architecture, order };
}

/** Dotted numbers, then text; as in semantic versions, 4.2 is above 4.2-rc1. */
function versionKey(version: string): SortKey {
  const [, numbers = '', text = ''] = /^((?:\d+(?:\.\d+)*)?)(.*)$/s.exec(version) ?? [];
  return [numbers.split('.').filter(Boolean).map(numberKey), text === '' ? [1] : [0, naturalKey(text)]];
}
