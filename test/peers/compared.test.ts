import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseArguments, runCommand } from '../../src/cli/index.ts';
import { parseConfig } from '../../src/config/index.ts';
import { writeComparison } from './compared/document.ts';
import { type Content, factsOf } from './compared/facts.ts';
import { areThere, type Hub, readHubs } from './compared/hubs.ts';
import { chosenOf, groupsOf, observeLab } from './compared/labs.ts';
import { chartRules, reachFacts } from './compared/network.ts';
import { type Difference, differenceOf, matterOf, RULES, type Rule } from './compared/rules.ts';
import type { V1Pod } from '@kubernetes/client-node';

/** The Python that `.ci/peers FOLDER` has made with KubeSpawner in it; PEERS names the folder. */
const PYTHON = join(process.env.PEERS ?? '/nowhere', 'kubespawner/bin/python');
const isThere = existsSync(PYTHON) && areThere;
if (!isThere) {
  process.stdout.write(
    "\nNOT RUN: the comparison with KubeSpawner's pods: PEERS names no folder that .ci/peers has made with it, or the values of hubs are not there.\n",
  );
}

interface Answer {
  readonly pod: V1Pod;
  readonly secrets: Readonly<Record<string, Readonly<Record<string, Content>>>>;
  /** What the hub tells each server. */
  readonly env: Readonly<Record<string, string>>;
  readonly error?: string;
}

interface Compared {
  readonly hub: Hub;
  readonly same: number;
  readonly differences: readonly { readonly difference: Difference; readonly rule: Rule | undefined }[];
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

async function compare(hub: Hub, answers: readonly Answer[]): Promise<Compared> {
  const config = parseConfig(await importHub(hub));
  let same = 0;
  const differences = new Map<string, Compared['differences'][number]>();
  for (const [index, each] of hub.cases.entries()) {
    const { pod, secrets, env, error } = answers[index]!;
    expect([hub.name, each, error]).toEqual([hub.name, each, undefined]);
    const { egress, isBlocked } = chartRules(hub.effective);
    const network = reachFacts(egress, 'jupyterhub', isBlocked);
    const theirs = factsOf({ pod, env: {}, files: secrets, groups: groupsOf(chosenOf(hub.effective, each)), network });
    const ours = factsOf(observeLab(config, each, env));
    for (const key of new Set([...theirs.keys(), ...ours.keys()])) {
      if (theirs.get(key) === ours.get(key)) same += 1;
      else {
        const difference = differenceOf(key, theirs.get(key), ours.get(key));
        const rule = RULES.find(({ holds }) => holds(difference));
        differences.set(`${key} ${rule?.name ?? JSON.stringify(difference)}`, { difference, rule });
      }
    }
  }
  return { hub, same, differences: [...differences.values()] };
}

describe.skipIf(!isThere)("Labwright's pods beside KubeSpawner's for the same values", () => {
  let compared: Compared[];
  beforeAll(async () => {
    const hubs = readHubs();
    const answers = podsOf(hubs);
    compared = [];
    for (const [index, hub] of hubs.entries()) compared.push(await compare(hub, answers[index]!));
  }, 120_000);

  it('differ in nothing that is not explained', () => {
    const unexplained = compared.flatMap(({ hub, differences }) =>
      differences.flatMap(({ difference, rule }) => (rule === undefined ? [{ hub: hub.name, ...difference }] : [])),
    );
    expect(unexplained).toEqual([]);
  });

  it('lose no home, no image, no size, no group and no variable', () => {
    const lost = compared.flatMap(({ hub, differences }) =>
      differences.flatMap(({ difference, rule }) =>
        rule?.kind === 'lost' && matterOf(difference) !== 'other' ? [{ hub: hub.name, ...difference }] : [],
      ),
    );
    expect(lost).toEqual([]);
  });

  it('are compared by rules that all explain something', () => {
    const used = new Set(compared.flatMap(({ differences }) => differences.map(({ rule }) => rule?.name)));
    expect(RULES.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([]);
  });

  it('are told of in docs/compared-with-kubespawner.md', async () => {
    const rows = compared.map(({ hub, same, differences }) => ({
      hub: hub.name,
      pods: hub.cases.length,
      same,
      rules: RULES.filter((rule) => differences.some((each) => each.rule === rule)),
    }));
    await expect(writeComparison(rows)).toMatchFileSnapshot('../../docs/compared-with-kubespawner.md');
  });
});
