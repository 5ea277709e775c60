import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseArguments, runCommand } from '../../src/cli/index.ts';
import { parseConfig } from '../../src/config/index.ts';
import { compare, type Compared, unexplained, unused } from './compared/compare.ts';
import { matterOf } from './compared/difference.ts';
import { writeComparison } from './compared/document.ts';
import type { Content } from './compared/facts.ts';
import { areThere, type Hub, readHubs } from './compared/hubs.ts';
import { chosenOf, groupsOf, observeLab } from './compared/labs.ts';
import { chartRules, reachFacts } from './compared/network.ts';
import { RULES } from './compared/kubespawner-rules.ts';
import type { V1Pod } from '@kubernetes/client-node';

/** The Python that `.ci/peers FOLDER` has made with KubeSpawner in it; PEERS names the folder. */
const PYTHON = join(process.env.PEERS ?? '/nowhere', 'kubespawner/bin/python');
const isThere = existsSync(PYTHON) && areThere;
if (!isThere) {
  process.stdout.write(
    "\nNOT RUN: the comparison with KubeSpawner's pods: PEERS names no folder that .ci/peers has made with it, or the values of hubs are not there.\n",
  );
}

const PAGE = {
  head: [
    "# Labwright's pods beside KubeSpawner's",
    '',
    "For the values of 22 production hubs: the pod that KubeSpawner 7.1.0 makes with the traits that Zero to JupyterHub's chart sets, beside",
    'the pod that Labwright makes with what `labwright import z2jh` writes, for the same person and the same choices: an ordinary user, an',
    'administrator, a named server of somebody with an unusual name, each profile as it is chosen beforehand, and each of its choices once.',
    'Both are taken apart into facts (image, command, each variable as the server sees it, what each mount leads to, content and permissions',
    'of each file, amounts, placement, security, who may choose it, what it may reach) and compared. `same` counts the facts that are',
    'equal; the numbers are the differences below. No hub loses its home, its images, its sizes, its groups or its variables.',
    '',
    'test/peers/compared.test.ts makes this page and keeps it true.',
  ],
  what: 'hub',
  rules: RULES,
};

interface Answer {
  readonly pod: V1Pod;
  readonly secrets: Readonly<Record<string, Readonly<Record<string, Content>>>>;
  /** What the hub tells each server. */
  readonly env: Readonly<Record<string, string>>;
  readonly error?: string;
}

function podsOf(hubs: readonly Hub[]): Answer[][] {
  const script = join(import.meta.dirname, 'kubespawner_pods.py');
  const input = JSON.stringify(hubs.map(({ effective, cases }) => ({ values: effective, cases })));
  const output = execFileSync(PYTHON, [script], {
    ...{ input, encoding: 'utf8', maxBuffer: 2 ** 30, stdio: ['pipe', 'pipe', 'ignore'] },
  } as const);
  return JSON.parse(output) as Answer[][];
}

async function importHub({ values }: Hub): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'labwright-compared-'));
  try {
    const file = join(folder, 'values.yaml');
    await writeFile(file, stringify(values, { aliasDuplicateObjects: false }));
    const command = parseArguments(['import', 'z2jh', '-f', file]);
    if (command.command === 'serve') throw new Error('another command');
    const { stdout, stderr } = await runCommand(command);
    expect(stderr).not.toContain('needs a hand');
    return stdout ?? '';
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function compareHub(hub: Hub, answers: readonly Answer[]): Promise<Compared> {
  const config = parseConfig(await importHub(hub));
  const { egress, isBlocked } = chartRules(hub.effective);
  const beside = reachFacts(egress, 'jupyterhub', isBlocked);
  const pairs = hub.cases.map((each, index) => {
    const { pod, secrets, env, error } = answers[index]!;
    expect([hub.name, each, error]).toEqual([hub.name, each, undefined]);
    const theirs = { pod, env: {}, files: secrets, groups: groupsOf(chosenOf(hub.effective, each)), beside };
    return { theirs, ours: observeLab(config, each, env) };
  });
  return compare(hub.name, pairs, RULES);
}

describe.skipIf(!isThere)("Labwright's pods beside KubeSpawner's for the same values", () => {
  let compared: Compared[];
  beforeAll(async () => {
    const hubs = readHubs();
    const answers = podsOf(hubs);
    compared = [];
    for (const [index, hub] of hubs.entries()) compared.push(await compareHub(hub, answers[index]!));
  }, 120_000);

  it('differ in nothing that is not explained', () => {
    expect(unexplained(compared)).toEqual([]);
  });

  it('lose no home, no image, no size, no group, no variable and no file', () => {
    const lost = compared.flatMap(({ name, differences }) =>
      differences.flatMap(({ difference, rule }) =>
        rule?.kind === 'lost' && matterOf(difference) !== 'other' ? [{ name, ...difference }] : [],
      ),
    );
    expect(lost).toEqual([]);
  });

  it('are compared by rules that all explain something', () => {
    expect(unused(compared, RULES)).toEqual([]);
  });

  it('are told of in docs/compared-with-kubespawner.md', async () => {
    await expect(writeComparison(PAGE, compared)).toMatchFileSnapshot('../../docs/compared-with-kubespawner.md');
  });
});
