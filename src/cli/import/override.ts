import { type Amounts, importCpu, importMemory } from './amounts.ts';
import { importInitContainers, importSidecars } from './containers.ts';
import { compact, type Fragment, importEnv, join, withPlaceholders } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';
import { type Claims, importLabMounts, importVolumes, type Pieces } from './volumes.ts';

/** What a profile or a choice sets of its own. */
export interface Override {
  /** Pieces of `lab`. */
  readonly lab: Readonly<Record<string, Json>>;
  readonly extendedResources: Readonly<Record<string, Json>>;
  readonly amounts: Amounts;
  readonly image: string | undefined;
}

interface Context extends Pieces {
  /** Key of the configuration that the pieces go to. */
  readonly to: string;
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

/** What has to be known of the service account of labs. */
const ACCOUNT =
  'it is made in the namespace of each lab: give it the annotations, or the tokens, by which your cloud knows it';

/** An account of the namespace of the hub is there for labs in that namespace only. */
export function explainAccount(account: Source, to: string, claims: Claims): void {
  if (claims.are === 'there') account.mapped(to);
  else account.remarked(to, ACCOUNT);
}

/** A `kubespawner_override`. */
export function importOverride(source: Source, context: Context): Override {
  const { to, scheme } = context;
  const made: Making = { amounts: {}, lab: {}, extendedResources: {}, image: undefined };
  const volumes = source.at('volumes');
  const extra = volumes === undefined ? undefined : importVolumes(volumes, to, context);
  const names = new Map([...context.volumes, ...(extra?.names ?? [])]);
  add(made, extra?.fragment);
  for (const [key, entry] of source.nulls()) {
    const limit = key === 'cpu_limit' ? 'cpu' : key === 'mem_limit' ? 'memory' : undefined;
    if (limit === undefined) continue;
    made.amounts[limit] = undefined;
    entry.mapped(besides(to, limit));
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
  lab: Fragment;
  readonly extendedResources: Record<string, Json>;
  image: string | undefined;
}

function add(made: Making, fragment: Fragment | undefined): void {
  made.lab = join(made.lab, fragment);
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
  environment: (entry, made, { to, scheme }) => {
    add(made, importEnv(entry, `${to}.env`, scheme));
  },
  init_containers: (entry, made, context) => {
    add(made, importInitContainers(entry, context));
  },
  volume_mounts: (entry, made, { to, scheme, volumes }) => {
    add(made, importLabMounts(entry, to, volumes, scheme));
  },
  extra_containers: (entry, made, context) => {
    add(made, importSidecars(entry, context));
  },
  lifecycle_hooks: (entry, made, { to, scheme }) => {
    const lifecycle = withPlaceholders(entry.value, scheme);
    add(made, { podPatch: { containers: [{ name: 'notebook', lifecycle }] } });
    entry.remarked(`${to}.podPatch`, 'laid over the pod as a patch');
  },
  extra_pod_config: (entry, made, { to, scheme }) => {
    add(made, { podPatch: withPlaceholders(entry.value, scheme) });
    entry.remarked(`${to}.podPatch`, 'laid over the pod as a patch');
  },
  extra_container_config: (entry, made, { to, scheme }) => {
    add(made, {
      podPatch: { containers: [{ name: 'notebook', ...(withPlaceholders(entry.value, scheme) as Fragment) }] },
    });
    entry.remarked(`${to}.podPatch`, 'laid over the container of the lab as a patch');
  },
  service_account: (entry, made, { to, scheme, claims }) => {
    add(made, { serviceAccount: { name: withPlaceholders(entry.value, scheme) } });
    explainAccount(entry, `${to}.serviceAccount.name`, claims);
  },
};
