import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildWith, configWithLab } from '../builder/cases.ts';
import { fillPlaceholders } from '../../src/domain/lab/placeholders.ts';
import { isIdentityName } from '../../src/domain/user/identity-name.ts';

/** The Python that `.ci/peers FOLDER` has made with KubeSpawner in it; PEERS names the folder. */
const PYTHON = join(process.env.PEERS ?? '/nowhere', 'kubespawner/bin/python');
const isThere = existsSync(PYTHON);
if (!isThere) {
  process.stdout.write('\nNOT RUN: the names of KubeSpawner: PEERS names no folder that .ci/peers has made with it.\n');
}

interface Answer {
  readonly values: Readonly<Record<string, string>>;
  readonly joined: string;
  readonly labels: Readonly<Record<string, string>>;
}

const name = fc
  .oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 70 }),
    fc.stringMatching(/^[a-zA-Z0-9._@-]{1,60}$/),
    fc.stringMatching(/^[a-z0-9-]{40,60}$/),
  )
  .filter(isIdentityName);
const WRITTEN = [
  ['ada', ''],
  ['Ada.Lovelace', 'Big Data'],
  ['ada@example.org', 'a--b'],
  ['1st', '-'],
  ['a'.repeat(48), ''],
  ['a'.repeat(47), ''],
  ['a'.repeat(30), 'b'.repeat(30)],
  ['ünï', '\u{1F600}'],
] as const;

describe.skipIf(!isThere)("KubeSpawner's names", () => {
  it('are what the placeholders and the labels of that name are here', { timeout: 60_000 }, () => {
    const random = fc.sample(fc.tuple(name, fc.oneof(fc.constant(''), name)), 500);
    const pairs = [...WRITTEN, ...random];
    const script = join(import.meta.dirname, 'kubespawner_names.py');
    const answers = JSON.parse(
      execFileSync(PYTHON, [script], {
        input: JSON.stringify(pairs),
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'ignore'],
      }),
    ) as Answer[];
    expect(answers).toHaveLength(pairs.length);
    const config = configWithLab('');
    for (const [index, [username, servername]] of pairs.entries()) {
      const { values, joined, labels } = answers[index]!;
      const of = { user: { username, uid: 1, gid: 1 }, servername };
      const ours = Object.keys(values).map((each) => [each, fillPlaceholders(`{${each}}`, of)]);
      // It takes the dashes at the end of a raw name away; here they stay, or two users could become one.
      const raw = { unescaped_username: username, unescaped_servername: servername };
      expect([username, servername, Object.fromEntries(ours)]).toEqual([username, servername, { ...values, ...raw }]);
      expect(fillPlaceholders('{username}--{servername}', of)).toBe(joined);
      const { pod } = buildWith(config, { user: { username }, servername });
      expect(pod.metadata?.labels).toMatchObject(labels);
    }
  });
});
