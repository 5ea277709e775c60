import type { Compared } from './compare.ts';
import type { Kind, Rule } from './difference.ts';

const KINDS: readonly Kind[] = ['better', 'neutral', 'lost'];
const MEANING: Readonly<Record<Kind, string>> = {
  better: 'What labs gain',
  neutral: 'What is another way to the same',
  lost: 'What is lost, and what to do instead',
};

export interface Page {
  /** Heading and what is compared how, in lines. */
  readonly head: readonly string[];
  /** What one line of the table is about: a word in the singular. */
  readonly what: string;
  readonly rules: readonly Rule[];
}

/** The page about it. */
export function writeComparison({ head, what, rules }: Page, rows: readonly Compared[]): string {
  const numbers = new Map(rules.map((rule, index) => [rule, index + 1]));
  const isUsed = (rule: Rule, { differences }: Compared) => differences.some((each) => each.rule === rule);
  const cell = (row: Compared, kind: Kind) =>
    rules.filter((rule) => rule.kind === kind && isUsed(rule, row)).map((rule) => String(numbers.get(rule)));
  const countOf = (rule: Rule) => {
    const count = rows.filter((row) => isUsed(rule, row)).length;
    return `${String(count)} ${what}${count === 1 ? '' : 's'}`;
  };
  const table = rows.map((row) => [
    row.name,
    String(row.pods),
    String(row.same),
    ...KINDS.map((kind) => cell(row, kind).join(' ')),
  ]);
  const lines = [[what, 'pods', 'same', ...KINDS], ['---', '--:', '--:', '---', '---', '---'], ...table];
  const explained = KINDS.flatMap((kind) => [
    `## ${MEANING[kind]}`,
    '',
    ...rules
      .filter((rule) => rule.kind === kind)
      .map((rule) => `- **${String(numbers.get(rule))}, ${rule.name}** (${countOf(rule)}): ${rule.why}`),
    '',
  ]);
  return [...head, '', ...lines.map((cells) => `| ${cells.join(' | ')} |`), '', ...explained]
    .join('\n')
    .trimEnd()
    .concat('\n');
}
