import { type Difference, differenceOf, type Rule } from './difference.ts';
import { factsOf, type Observed } from './facts.ts';

/** The pods of one hub or site, compared. */
export interface Compared {
  readonly name: string;
  /** Pairs of pods. */
  readonly pods: number;
  /** Facts that are the same in both, of all pods. */
  readonly same: number;
  readonly differences: readonly { readonly difference: Difference; readonly rule: Rule | undefined }[];
}

/** Both are made for the same person and the same choices. */
export interface Pair {
  readonly theirs: Observed;
  readonly ours: Observed;
}

/** Counts what is the same, and finds what explains each difference: the first rule that holds. */
export function compare(name: string, pairs: readonly Pair[], rules: readonly Rule[]): Compared {
  let same = 0;
  const differences = new Map<string, Compared['differences'][number]>();
  for (const pair of pairs) {
    const [theirs, ours] = [factsOf(pair.theirs), factsOf(pair.ours)];
    for (const key of new Set([...theirs.keys(), ...ours.keys()])) {
      if (theirs.get(key) === ours.get(key)) same += 1;
      else {
        const difference = differenceOf(key, theirs.get(key), ours.get(key));
        const rule = rules.find(({ holds }) => holds(difference));
        differences.set(`${key} ${rule?.name ?? JSON.stringify(difference)}`, { difference, rule });
      }
    }
  }
  return { name, pods: pairs.length, same, differences: [...differences.values()] };
}

/** Differences that nothing explains. */
export function unexplained(compared: readonly Compared[]) {
  return compared.flatMap(({ name, differences }) =>
    differences.flatMap(({ difference, rule }) => (rule === undefined ? [{ name, ...difference }] : [])),
  );
}

/** Names of rules that explain nothing. */
export function unused(compared: readonly Compared[], rules: readonly Rule[]): string[] {
  const used = new Set(compared.flatMap(({ differences }) => differences.map(({ rule }) => rule)));
  return rules.filter((rule) => !used.has(rule)).map(({ name }) => name);
}
