import { compact, type Fragment } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';

/** What the chart lets labs tolerate where the values say nothing: nodes that are for users alone. */
const USER_NODES = ['hub.jupyter.org/dedicated', 'hub.jupyter.org_dedicated'].map((key) => ({
  ...{ key, operator: 'Equal', value: 'user', effect: 'NoSchedule' },
}));
const NODE_PURPOSE = { matchExpressions: [{ key: 'hub.jupyter.org/node-purpose', operator: 'In', values: ['user'] }] };

/** Kinds of affinity, by what the chart calls them. */
const AFFINITIES = [
  ['extraNodeAffinity', 'nodeAffinity'],
  ['extraPodAffinity', 'podAffinity'],
  ['extraPodAntiAffinity', 'podAntiAffinity'],
] as const;

/** Where labs run: what the chart makes of `scheduling` and of `singleuser`, its defaults with it. */
export function importPlacement(root: Source, singleuser: Source): Fragment {
  const userPods = root.at('scheduling', 'userPods');
  const tolerations = userPods?.at('tolerations');
  const extra = singleuser.at('extraTolerations');
  for (const found of [tolerations, extra]) found?.mapped('lab.tolerations');
  root
    .at('scheduling', 'userScheduler', 'enabled')
    ?.remarked(
      'lab.schedulerName',
      "the scheduler of the cluster places labs; the chart's fills one machine after the other: where it stays on, name it (user-scheduler)",
    );
  return compact({
    tolerations: [...((tolerations?.value ?? USER_NODES) as Json[]), ...((extra?.value ?? []) as Json[])],
    affinity: importAffinity(userPods, singleuser),
  });
}

function importAffinity(userPods: Source | undefined, singleuser: Source): Fragment {
  const purpose = userPods?.at('nodeAffinity', 'matchNodePurpose');
  purpose?.mapped('lab.affinity');
  const isRequired = purpose?.text() === 'require';
  const isPreferred = (purpose?.text() ?? 'prefer') === 'prefer';
  const kinds = AFFINITIES.map(([from, to]) => {
    const terms = (key: string) => {
      const found = singleuser.at(from, key);
      found?.mapped('lab.affinity');
      return (found?.value ?? []) as Json[];
    };
    const ofNodes = to === 'nodeAffinity';
    const required = [...terms('required'), ...(ofNodes && isRequired ? [NODE_PURPOSE] : [])];
    const preferred = [
      ...terms('preferred'),
      ...(ofNodes && isPreferred ? [{ weight: 100, preference: NODE_PURPOSE }] : []),
    ];
    return [
      to,
      compact({
        requiredDuringSchedulingIgnoredDuringExecution:
          ofNodes && required.length > 0 ? { nodeSelectorTerms: required } : required,
        preferredDuringSchedulingIgnoredDuringExecution: preferred,
      }),
    ] as const;
  });
  return compact(Object.fromEntries(kinds));
}
