import { type Kind, RULES, type Rule } from './rules.ts';

/** One hub, compared. */
export interface Row {
  readonly hub: string;
  /** Pairs of pods. */
  readonly pods: number;
  /** Facts that are the same in both, of all pods. */
  readonly same: number;
  /** What explains those that are not. */
  readonly rules: readonly Rule[];
}

const KINDS: readonly Kind[] = ['better', 'neutral', 'lost'];
const MEANING: Readonly<Record<Kind, string>> = {
  better: 'What labs gain',
  neutral: 'What is another way to the same',
  lost: 'What is lost, and what to do instead',
};

/** The page about it. */
export function writeComparison(rows: readonly Row[]): string {
  const numbers = new Map(RULES.map((rule, index) => [rule, index + 1]));
  const cell = (row: Row, kind: Kind) =>
    row.rules.filter((rule) => rule.kind === kind).map((rule) => String(numbers.get(rule)));
  const table = rows.map((row) => [
    row.hub,
    String(row.pods),
    String(row.same),
    ...KINDS.map((kind) => cell(row, kind).join(' ')),
  ]);
  const lines = [['hub', 'pods', 'same', ...KINDS], ['---', '--:', '--:', '---', '---', '---'], ...table];
  const explained = KINDS.flatMap((kind) => [
    `## ${MEANING[kind]}`,
    '',
    ...RULES.filter((rule) => rule.kind === kind).map(
      (rule) =>
        `- **${String(numbers.get(rule))}, ${rule.name}** (${countOf(rows.filter(({ rules }) => rules.includes(rule)).length)}): ${rule.why}`,
    ),
    '',
  ]);
  return [
    "# Labwright's pods beside KubeSpawner's",
    '',
    `For the values of ${String(rows.length)} production hubs: the pod that KubeSpawner 7.1.0 makes with the traits that Zero to JupyterHub's chart sets, beside`,
    'the pod that Labwright makes with what `labwright import z2jh` writes, for the same person and the same choices: an ordinary user, an',
    'administrator, a named server of somebody with an unusual name, each profile as it is chosen beforehand, and each of its choices once.',
    'Both are taken apart into facts (image, command, each variable as the server sees it, what each mount leads to, content and permissions',
    'of each file, amounts, placement, security, who may choose it, what it may reach) and compared. `same` counts the facts that are',
    'equal; the numbers are the differences below. No hub loses its home, its images, its sizes, its groups or its variables.',
    '',
    'test/peers/compared.test.ts makes this page and keeps it true.',
    '',
    ...lines.map((cells) => `| ${cells.join(' | ')} |`),
    '',
    ...explained,
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

function countOf(hubs: number): string {
  return `${String(hubs)} ${hubs === 1 ? 'hub' : 'hubs'}`;
}
