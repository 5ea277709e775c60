import { z } from 'zod';
import { isImageTag } from '../../domain/image/image-reference.ts';
import { dateOf } from '../../domain/image/tags/date.ts';
import { GRAMMAR_NAMES, grammarOf } from '../../domain/image/tags/grammar.ts';
import { groupsOf, PATTERN_GROUPS } from '../../domain/image/tags/pattern.ts';
import type { TagRules } from '../../domain/image/tags/rules.ts';
import { UNKNOWN } from '../../domain/image/tags/tag.ts';
import { crossCheck, type Report } from '../cross-check.ts';
import { TEXT_OR_KEYS } from '../lab-pieces.ts';
import { positiveDuration } from '../units.ts';
import { isSlowPattern, writeInPattern } from '../write-in.ts';

export type { TagRules };

const DEFAULT_GRAMMAR = 'semver';
const tag = z.string().refine(isImageTag, { error: 'expected a tag: letters, digits, _, . and -, at most 128' });
const tagList = z.array(tag).max(100);
const pattern = writeInPattern.refine((text) => !isSlowPattern(text), {
  error:
    'expected a regular expression that does not take long over any text: without a repetition inside of another one, such as (a+)+',
});
const patterns = z.array(pattern).max(20).default([]);

const kindRules = z.strictObject({
  wanted: z
    .int()
    .min(0)
    .max(100)
    .default(0)
    .describe('How many of the newest images of this kind are offered first and pulled ahead.'),
  listed: z
    .int()
    .min(0)
    .optional()
    .describe('How many of the newest images of this kind are in the menu of all images; all when absent.'),
  maxAge: positiveDuration
    .optional()
    .describe('How old the date in a tag may be for it to be in the menu, or wanted; only for kinds with a date.'),
  since: z
    .string()
    .min(1)
    .optional()
    .describe('The oldest tag of this kind, or the first day (2026-11-30), that is in the menu, or wanted.'),
});

const grammar = z
  .preprocess(
    (value) => (typeof value === 'string' ? { name: value } : value),
    z
      .strictObject({
        name: z.enum(GRAMMAR_NAMES, { error: `expected one of ${GRAMMAR_NAMES.join(', ')}` }).optional(),
        pattern: pattern.optional(),
        kinds: z
          .array(z.string().regex(/^[a-z][a-z0-9-]*$/, { error: 'expected lower-case letters, digits and -' }))
          .min(1)
          .max(20)
          .optional(),
      })
      .check(crossCheck(['name', 'pattern', 'kinds'], checkGrammar))
      .transform(({ name, pattern, kinds }): TagRules['grammar'] =>
        pattern === undefined ? (name ?? DEFAULT_GRAMMAR) : { pattern, kinds },
      ),
  )
  .meta({ title: TEXT_OR_KEYS });

/** Which tags of a repository are offered, and in which order. */
export const tagRules = z
  .strictObject({
    grammar: grammar
      .default(DEFAULT_GRAMMAR)
      .describe(
        `How tags are read: ${GRAMMAR_NAMES.join(', ')}, or as a \`pattern\`, a regular expression for the whole tag whose named groups ` +
          `say what is known of it (${PATTERN_GROUPS.join(', ')}); with the group \`kind\`, \`kinds\` is what it can be, in the order of menus.`,
      ),
    recommended: tag.optional().describe('The tag of the image that is recommended: offered first, and always.'),
    aliases: tagList
      .default([])
      .describe('Tags that are moved from image to image, such as `latest`: offered under their own name, and always.'),
    cycle: z
      .int()
      .min(0)
      .optional()
      .describe(
        'Only tags of this cycle are offered, beside those that are named here; only for grammars with cycles.',
      ),
    pinned: tagList.default([]).describe('Tags that are offered first and pulled ahead however old they are.'),
    kinds: z
      .record(z.string(), kindRules)
      .default({})
      .describe('By kind of tag: `release`, `weekly`, and so on, as the grammar has them, and `unknown`.'),
    include: patterns.describe(
      'Only these tags are offered, beside those that are named here: regular expressions for whole tags; all when empty.',
    ),
    exclude: patterns.describe(
      'These tags are not offered, unless they are named here: regular expressions for whole tags.',
    ),
    deprecated: patterns.describe(
      'These tags are marked as deprecated, and not wanted unless they are named here: regular expressions for whole tags.',
    ),
  })
  .check(
    crossCheck(['grammar', 'cycle'], ({ grammar, cycle }, report) => {
      if (cycle !== undefined && !grammarOf(grammar).hasCycles) {
        report(['cycle'], 'expected none: tags of this grammar have no cycle');
      }
    }),
    crossCheck(['grammar', 'kinds'], checkKinds),
  );

function checkKinds({ grammar, kinds }: Pick<TagRules, 'grammar' | 'kinds'>, report: Report): void {
  const { kinds: known, dated, parse } = grammarOf(grammar);
  for (const [kind, { maxAge, since }] of Object.entries(kinds)) {
    if (!known.includes(kind)) {
      report(['kinds', kind], `unknown kind: expected one of ${known.join(', ')}`);
      continue;
    }
    const isDated = dated.includes(kind);
    if (maxAge !== undefined && !isDated)
      report(['kinds', kind, 'maxAge'], 'expected none: tags of this kind have no date');
    if (since === undefined || (kind !== UNKNOWN && parse(since).kind === kind) || (isDated && dateOf(since) !== null))
      continue;
    const expected =
      kind === UNKNOWN ? 'none: tags of this kind have no order that says which is older' : `a tag of the kind ${kind}`;
    report(['kinds', kind, 'since'], `expected ${expected}${isDated ? ', or a day such as 2026-11-30' : ''}`);
  }
}

interface WrittenGrammar {
  readonly name?: string | undefined;
  readonly pattern?: string | undefined;
  readonly kinds?: readonly string[] | undefined;
}

function checkGrammar({ name, pattern, kinds }: WrittenGrammar, report: Report): void {
  if ((name === undefined) === (pattern === undefined))
    report([], `expected one of ${GRAMMAR_NAMES.join(', ')}, or a pattern`);
  const groups = pattern === undefined ? [] : groupsOf(pattern);
  const strange = groups.find((group) => !PATTERN_GROUPS.some((known) => known === group));
  if (strange !== undefined) {
    report(['pattern'], `expected one of ${PATTERN_GROUPS.join(', ')} as the name of a group, and not ${strange}`);
  }
  const hasKinds = groups.includes('kind');
  if (hasKinds && kinds === undefined) report(['kinds'], 'missing: expected what the group kind can be');
  if (!hasKinds && kinds !== undefined) report(['kinds'], 'expected none, or a pattern with a group kind');
  if (kinds !== undefined && new Set(kinds).size < kinds.length) report(['kinds'], 'expected each kind once');
}
