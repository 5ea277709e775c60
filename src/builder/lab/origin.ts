import type { KubernetesObject } from '@kubernetes/client-node';
import type { LabConfig } from '../../config/config.ts';
import { EXTRA_LABEL } from '../../domain/lab/object-names.ts';

type Part = string | number;
type Path = readonly Part[];

/** Fields of a pod that are handed on from the key of `lab` of the same name. */
const PLACEMENT = new Set([
  ...['tolerations', 'affinity', 'topologySpreadConstraints', 'nodeSelector', 'priorityClassName', 'runtimeClassName'],
  ...['schedulerName', 'hostUsers'],
]);

/** Kinds that come from one key as a whole. */
const BY_KIND: Readonly<Record<string, string>> = {
  Namespace: 'lab.namespacePrefix',
  ConfigMap: 'lab.files',
  LimitRange: 'lab.containerDefaults',
  ResourceQuota: 'quotas',
  Service: 'lab.port',
  Secret: 'lab.env',
};

/**
 * The key of the configuration that a field of a lab's object comes from, for whoever has to mend it.
 *
 * @param path the field in the object, such as `['spec', 'tolerations', 0, 'effect']`; empty for the object as a whole
 * @param size name of the lab's size
 */
export function originOf(config: LabConfig, object: KubernetesObject, path: Path, size: string): string {
  const [top, field, ...rest] = path;
  if (object.metadata?.labels?.[EXTRA_LABEL] !== undefined) return extraOrigin(config, object, path);
  if (top === 'metadata' && field === 'labels') return 'lab.extraLabels';
  if (top === 'metadata' && field === 'annotations') return 'lab.extraAnnotations';
  switch (object.kind) {
    case 'Pod':
      return podOrigin(config, field, rest, size);
    case 'NetworkPolicy':
      return policyOrigin(config.networkPolicy, field, rest);
    case 'PersistentVolumeClaim': {
      const index = config.volumes.findIndex(({ name }) => object.metadata?.name?.endsWith(`-${name}`));
      return write(['lab', 'volumes', index, 'persistentVolumeClaim']);
    }
    default:
      return BY_KIND[object.kind ?? ''] ?? 'lab';
  }
}

/** An entry by its kind, where there is one of that kind: in its name there may be a user. */
function extraOrigin({ extraObjects }: LabConfig, { kind }: KubernetesObject, path: Path): string {
  const isOfKind = extraObjects.map((each) => each.kind === kind);
  const isClear = isOfKind.filter(Boolean).length === 1;
  return write(['lab', 'extraObjects', ...(isClear ? [isOfKind.indexOf(true), ...path] : [])]);
}

/** The field of an object as the API server writes it: `spec.containers[0].resources.limits[nvidia.com/gpu]`. */
export function parseField(field: string): Part[] {
  return [...field.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([part, inside]) => {
    const text = inside ?? part;
    return /^\d+$/.test(text) ? Number(text) : text;
  });
}

function podOrigin(config: LabConfig, field: Part | undefined, rest: Path, size: string): string {
  const [index = 0, inner, ...more] = rest;
  if (field === undefined) return 'lab';
  if (typeof field === 'string' && PLACEMENT.has(field)) return write(['lab', field, ...rest]);
  if (field === 'volumes') return listed(config.volumes, ['lab', 'volumes'], index, rest.slice(1));
  if (field !== 'containers' && field !== 'initContainers') return 'lab';
  if (inner === 'resources') return write(['lab', 'sizes', config.sizes.findIndex(({ name }) => name === size)]);
  if (field === 'initContainers') return write(['lab', 'initContainers', ...rest]);
  if (inner === 'volumeMounts')
    return listed(config.volumeMounts, ['lab', 'volumeMounts'], more[0] ?? 0, more.slice(1));
  return typeof inner === 'string' ? (NOTEBOOK[inner] ?? 'lab') : 'lab';
}

const NOTEBOOK: Readonly<Record<string, string>> = {
  image: 'images.list',
  command: 'lab.command',
  args: 'lab.args',
  ports: 'lab.port',
  env: 'lab.secrets',
  startupProbe: 'lab.spawnTimeout',
};

/** The rules of a lab's policy, in the order in which they are built. */
function policyOrigin(rules: LabConfig['networkPolicy'], direction: Part | undefined, rest: Path): string {
  const [rule, side, peer, ...more] = rest;
  const key = ['lab', 'networkPolicy'];
  if (typeof rule !== 'number') return write(key);
  if (direction === 'ingress') {
    if (rule > 0) return write([...key, 'ingress', rule - 1, ...rest.slice(1)]);
    if (side !== 'from' || typeof peer !== 'number') return write(key);
    const hubs = rules.hub?.length ?? rules.hubNamespaces?.length ?? 1;
    return peer < hubs ? hubOrigin(rules, 'hub', peer, more) : hubOrigin(rules, 'proxy', peer - hubs, more);
  }
  const own = rules.internet ? 3 : 2;
  if (rule >= own) return write([...key, 'egress', rule - own, ...rest.slice(1)]);
  if (rule === 0 && typeof peer === 'number') return hubOrigin(rules, 'hub', peer, more);
  return write(rule === 2 ? [...key, 'blocked'] : key);
}

function hubOrigin(rules: LabConfig['networkPolicy'], who: 'hub' | 'proxy', peer: number, rest: Path): string {
  const key = ['lab', 'networkPolicy'];
  return rules[who] === undefined ? write([...key, 'hubNamespaces']) : write([...key, who, peer, ...rest]);
}

/** An entry of a list that begins with the entries of the configuration; the others are Labwright's own. */
function listed(entries: readonly unknown[], key: Path, index: Part, rest: Path): string {
  return typeof index === 'number' && index < entries.length ? write([...key, index, ...rest]) : 'lab';
}

function write(path: Path): string {
  return path.map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`)).join('');
}
