import { isRecord } from '../../util/is-record.ts';
import type { Json, Source, Table } from './source.ts';

/** How names of users are written on this hub (`KubeSpawner.slug_scheme`). */
export type SlugScheme = 'safe' | 'escape';

/** Text with KubeSpawner's placeholders. `{username}` depends on the scheme of the hub there, and not here. */
export function withPlaceholders(value: Json, scheme: SlugScheme): Json {
  if (typeof value === 'string') {
    return scheme === 'safe' ? value : value.replaceAll(/\{(username|servername|user_server)\}/g, '{escaped_$1}');
  }
  if (Array.isArray(value)) return value.map((entry: Json) => withPlaceholders(entry, scheme));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withPlaceholders(entry, scheme)]));
}

/** Variables by name: text as it is, and what is taken from elsewhere as far as it can be. */
export function importEnv(env: Source, to: string, scheme: SlugScheme): Record<string, Json> {
  const found: Record<string, Json> = {};
  for (const [key, entry] of env.entries()) {
    const name = Array.isArray(env.value) ? (entry.at('name')?.text() ?? key) : key;
    const value = isRecord(entry.value) ? entry.at('value')?.value : entry.value;
    if (name.startsWith('JUPYTERHUB_')) entry.lost('the hub sets it for each server: c.Spawner.environment in the hub');
    else if (value === undefined || value === null || typeof value === 'object') {
      entry.lost('values from Secrets are copied with lab.secrets (secretName, secretKey, env)');
    } else {
      entry.mapped(`${to}.${name}`);
      found[name] = withPlaceholders(`${value as string | number | boolean}`, scheme);
    }
  }
  return found;
}

const VOLUME_SOURCES = ['emptyDir', 'nfs', 'hostPath', 'configMap', 'secret'];
const CLAIM =
  'claims of the namespace of the hub cannot be mounted from the namespace of a lab: mount what is behind it (lab.volumes[].nfs), or give each ' +
  'lab a claim of its own (lab.volumes[].persistentVolumeClaim)';

export interface Volumes {
  readonly volumes: Table[];
  readonly podPatch: { volumes: Table[] };
}

/** Volumes, as a list or by any key. What there is no setting for goes into the patch of the pod. */
export function importVolumes(source: Source, to: string): Volumes {
  const found: Volumes = { volumes: [], podPatch: { volumes: [] } };
  for (const [, entry] of source.entries()) {
    const volume = entry.value;
    if (!isRecord(volume)) continue;
    if (volume['persistentVolumeClaim'] !== undefined) entry.lost(CLAIM);
    else if (VOLUME_SOURCES.some((name) => isPlain(volume, name))) {
      entry.mapped(`${to}.volumes`);
      found.volumes.push(volume);
    } else {
      entry.remarked(`${to}.podPatch.volumes`, 'there is no setting for it: it is patched into the pod');
      found.podPatch.volumes.push(volume);
    }
  }
  return found;
}

const KNOWN_FIELDS: Readonly<Record<string, readonly string[]>> = {
  emptyDir: ['medium', 'sizeLimit'],
  nfs: ['server', 'path', 'readOnly'],
  hostPath: ['path', 'type'],
  configMap: ['name', 'optional'],
  secret: ['secretName', 'optional'],
};

function isPlain(volume: Table, name: string): boolean {
  const inside = volume[name];
  return isRecord(inside) && Object.keys(inside).every((key) => KNOWN_FIELDS[name]?.includes(key) === true);
}

/** Mounts, as a list or by any key, of volumes that are there. */
export function importMounts(source: Source, to: string, names: ReadonlySet<string>, scheme: SlugScheme): Table[] {
  const found: Table[] = [];
  for (const [, entry] of source.entries()) {
    const { name, mountPath, subPath, readOnly, ...more } = isRecord(entry.value) ? entry.value : {};
    if (typeof name !== 'string' || !names.has(name)) {
      entry.lost('its volume is not there');
      continue;
    }
    const mount = {
      name,
      mountPath: withPlaceholders(mountPath, scheme),
      ...(subPath === undefined ? {} : { subPath: withPlaceholders(subPath, scheme) }),
      ...(readOnly === true ? { readOnly } : {}),
    };
    const other = Object.keys(more);
    if (other.length === 0) entry.mapped(to);
    else entry.remarked(to, `without ${other.join(', ')}, for which there is no setting`);
    found.push(mount);
  }
  return found;
}

const INIT_FIELDS = [
  'name',
  'image',
  'command',
  'args',
  'imagePullPolicy',
  'env',
  'volumeMounts',
  'securityContext',
  'resources',
];

/** Containers that run before the lab. They run as the user, or as root. */
export function importInitContainers(
  source: Source,
  to: string,
  names: ReadonlySet<string>,
  scheme: SlugScheme,
): Table[] {
  return source.entries().flatMap(([, entry]) => {
    if (!isRecord(entry.value)) return [];
    const { name, image, command, args, imagePullPolicy, securityContext = {} } = entry.value;
    const env = entry.at('env');
    const mounts = entry.at('volumeMounts');
    const { runAsUser, privileged, ...more } = isRecord(securityContext) ? securityContext : {};
    const dropped = [
      ...Object.keys(more).map((key) => `securityContext.${key}`),
      ...Object.keys(entry.value).filter((key) => !INIT_FIELDS.includes(key)),
      ...(entry.value['resources'] === undefined ? [] : ['resources']),
    ];
    const container = compact({
      name,
      image,
      command: withPlaceholders(command, scheme),
      args: withPlaceholders(args, scheme),
      imagePullPolicy,
      env: env && importEnv(env, `${to}[].env`, scheme),
      volumeMounts: mounts && importMounts(mounts, `${to}[].volumeMounts`, names, scheme),
      privileged: privileged === true ? true : undefined,
      runAsRoot: runAsUser === 0 && privileged !== true ? true : undefined,
    });
    if (dropped.length === 0) entry.mapped(to);
    else entry.remarked(to, `without ${dropped.join(', ')}: it has what the lab has`);
    return [container];
  });
}

/** A table without what is undefined, or empty. */
export function compact(table: Table): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(table).filter(([, value]) => {
      if (Array.isArray(value)) return value.length > 0;
      return value !== undefined && !(isRecord(value) && Object.keys(value).length === 0);
    }),
  );
}
