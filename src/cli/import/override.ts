import { mergePatch } from '../../util/merge-patch.ts';
import { type Amounts, importCpu, importMemory, NO_LIMIT } from './amounts.ts';
import {
  compact,
  importEnv,
  importInitContainers,
  importMounts,
  importVolumes,
  type SlugScheme,
  withPlaceholders,
} from './pod-pieces.ts';
import type { Json, Source } from './source.ts';

/** What a profile or a choice sets of its own. */
export interface Override {
  /** Pieces of `lab`. */
  readonly lab: Readonly<Record<string, Json>>;
  readonly extendedResources: Readonly<Record<string, Json>>;
  readonly amounts: Amounts;
  readonly image: string | undefined;
}

interface Context {
  /** Key of the configuration that the pieces go to. */
  readonly to: string;
  readonly scheme: SlugScheme;
  /** Names of the volumes of all labs. */
  readonly volumes: ReadonlySet<string>;
}

/** Traits of KubeSpawner that are handed on as they are. */
const SAME: Readonly<Record<string, string>> = {
  image_pull_policy: 'imagePullPolicy',
  node_selector: 'nodeSelector',
  tolerations: 'tolerations',
  working_dir: 'workingDir',
  default_url: 'defaultUrl',
  cmd: 'args',
  args: 'args',
  extra_labels: 'extraLabels',
  extra_annotations: 'extraAnnotations',
  priority_class_name: 'priorityClassName',
  runtime_class_name: 'runtimeClassName',
  scheduler_name: 'schedulerName',
};
/** A `kubespawner_override`. */
export function importOverride(source: Source, context: Context): Override {
  const { to, scheme } = context;
  const made: Making = { amounts: {}, lab: {}, extendedResources: {}, image: undefined };
  const volumes = source.at('volumes');
  const extra = volumes === undefined ? undefined : importVolumes(volumes, to);
  const names = new Set([...context.volumes, ...(extra?.volumes ?? []).map(({ name }) => String(name))]);
  if (extra !== undefined) Object.assign(made.lab, { volumes: extra.volumes, podPatch: compact(extra.podPatch) });
  for (const [key, entry] of source.nulls()) {
    const limit = key === 'cpu_limit' ? 'cpu' : key === 'mem_limit' ? 'memory' : undefined;
    if (limit === undefined) continue;
    made.amounts[limit] = undefined;
    entry.remarked(besides(to, limit), limit === 'cpu' ? NO_LIMIT.cpuRemark : NO_LIMIT.memoryRemark);
  }
  for (const [key, entry] of source.entries()) {
    if (entry.isSettled || key === 'volumes') continue;
    const same = SAME[key];
    const trait = TRAITS[key];
    if (trait !== undefined) trait(entry, made, { ...context, volumes: names });
    else if (same === undefined) entry.lost('there is no setting for it');
    else {
      const value = withPlaceholders(entry.value, scheme);
      made.lab[same] = same === 'args' && typeof value === 'string' ? [value] : value;
      entry.mapped(`${to}.${same}`);
    }
  }
  return { ...made, lab: compact(made.lab), amounts: made.amounts };
}

interface Making {
  readonly amounts: Record<string, Json>;
  readonly lab: Record<string, Json>;
  readonly extendedResources: Record<string, Json>;
  image: string | undefined;
}

/** A key beside `lab`. */
function besides(to: string, key: string): string {
  return to === 'lab' ? `lab.sizes[].${key}` : to.replace(/lab$/, key);
}

type Trait = (entry: Source, made: Making, context: Context) => void;

function amount(key: keyof Amounts, read: (value: Json) => Json): Trait {
  return (entry, { amounts }, { to }) => {
    amounts[key] = read(entry.value);
    entry.mapped(besides(to, key));
  };
}

const devices: Trait = (entry, { extendedResources }, { to }) => {
  for (const [name, count] of entry.entries()) extendedResources[name] = Number(count.value);
  entry.mapped(besides(to, 'extendedResources'));
};

/** Traits of KubeSpawner that are said in another way here. */
const TRAITS: Readonly<Record<string, Trait>> = {
  cpu_limit: amount('cpu', importCpu),
  cpu_guarantee: amount('cpuRequest', importCpu),
  mem_limit: amount('memory', importMemory),
  mem_guarantee: amount('memoryRequest', importMemory),
  extra_resource_limits: devices,
  extra_resource_guarantees: devices,
  default: (entry, _, { to }) => {
    entry.remarked(
      besides(to, 'default'),
      'it does nothing inside of kubespawner_override, here as there: it belongs beside it',
    );
  },
  image: (entry, made, { to }) => {
    made.image = entry.text();
    entry.mapped(besides(to, 'image'));
  },
  environment: (entry, { lab }, { to, scheme }) => {
    lab['env'] = importEnv(entry, `${to}.env`, scheme);
  },
  init_containers: (entry, { lab }, { to, scheme, volumes }) => {
    lab['initContainers'] = importInitContainers(entry, `${to}.initContainers`, volumes, scheme);
  },
  volume_mounts: (entry, { lab }, { to, scheme, volumes }) => {
    lab['volumeMounts'] = importMounts(entry, `${to}.volumeMounts`, volumes, scheme);
  },
  extra_containers: (entry, { lab }, { to, scheme }) => {
    lab['sidecars'] = entry.entries().map(([, container]) => withPlaceholders(container.value, scheme));
    entry.mapped(`${to}.sidecars`);
  },
  extra_pod_config: (entry, { lab }, { to, scheme }) => {
    lab['podPatch'] = mergePatch(lab['podPatch'], withPlaceholders(entry.value, scheme));
    entry.remarked(`${to}.podPatch`, 'laid over the pod as a patch');
  },
};
