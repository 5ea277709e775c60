import { date } from './date.ts';
import { patternGrammar } from './pattern.ts';
import { rubin } from './rubin.ts';
import type { TagRules } from './rules.ts';
import { semver } from './semver.ts';
import type { TagGrammar } from './tag.ts';

const GRAMMARS = { rubin, semver, date };

/** The grammars that have a name. */
export const GRAMMAR_NAMES = Object.keys(GRAMMARS) as (keyof typeof GRAMMARS)[];

export function grammarOf(rules: TagRules['grammar']): TagGrammar {
  return typeof rules === 'string' ? GRAMMARS[rules] : patternGrammar(rules);
}
