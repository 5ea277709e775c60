import { isRecord } from '../../util/is-record.ts';
import { mergePatch } from '../../util/merge-patch.ts';
import type { Json, Source, Table } from './source.ts';

/** How names of users are written on this hub (`KubeSpawner.slug_scheme`). */
export type SlugScheme = 'safe' | 'escape';

/** Some keys of `lab`. */
export type Fragment = Record<string, Json>;

/** One fragment of several: lists of things with a name, or a path, are merged by it. */
export function join(...fragments: readonly (Fragment | undefined)[]): Fragment {
  return fragments.reduce<Json>((all, one) => mergePatch(all, one ?? {}), {}) as Fragment;
}

/** Text with KubeSpawner's placeholders. `{username}` depends on the scheme of the hub there, and not here. */
export function withPlaceholders(value: Json, scheme: SlugScheme): Json {
  if (typeof value === 'string') {
    return scheme === 'safe' ? value : value.replaceAll(/\{(username|servername|user_server)\}/g, '{escaped_$1}');
  }
  if (Array.isArray(value)) return value.map((entry: Json) => withPlaceholders(entry, scheme));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withPlaceholders(entry, scheme)]));
}

/** Where a variable takes its value from the pod itself. */
const OF_POD = ['fieldRef', 'resourceFieldRef'];

/**
 * Variables: text as it is, what is taken from the pod as a patch of it, and what is taken from a Secret.
 *
 * @param secrets - Where entries of `lab.secrets` can be added, which are for all labs.
 */
export function importEnv(env: Source, to: string, scheme: SlugScheme, secrets?: Table[]): Fragment {
  const plain: Record<string, Json> = {};
  const ofPod: Table[] = [];
  for (const [key, entry] of env.entries()) {
    const name = Array.isArray(env.value) ? (entry.at('name')?.text() ?? key) : key;
    const value = isRecord(entry.value) ? entry.at('value')?.value : entry.value;
    const from = entry.at('valueFrom')?.value;
    if (name.startsWith('JUPYTERHUB_')) entry.lost('the hub sets it for each server: c.Spawner.environment in the hub');
    else if (isRecord(from) && OF_POD.some((kind) => from[kind] !== undefined)) {
      entry.remarked(`${to}.${name}`, 'taken from the pod: patched into it');
      ofPod.push({ name, valueFrom: from });
    } else if (value === undefined || value === null || typeof value === 'object') {
      importSecretEnv(entry, name, secrets);
    } else {
      entry.mapped(`${to}.${name}`);
      plain[name] = withPlaceholders(`${value as string | number | boolean}`, scheme);
    }
  }
  return compact({ env: plain, podPatch: ofLab({ env: ofPod }) });
}

/** A key of a Secret, which Labwright copies for each lab. No two of them can be called the same. */
function importSecretEnv(entry: Source, env: string, secrets: Table[] | undefined): void {
  const reference = entry.at('valueFrom', 'secretKeyRef');
  const [secretName, secretKey] = ['name', 'key'].map((key) => reference?.at(key)?.text());
  const isFree = secrets?.every((one) => one['secretKey'] !== secretKey) === true && secretKey !== 'token';
  if (secretName === undefined || secretKey === undefined || !isFree) {
    entry.lost(
      'values from Secrets are copied with lab.secrets (secretName, secretKey, env), each key under a name of its own',
    );
    return;
  }
  entry.remarked('lab.secrets', `copy the Secret ${secretName} to the namespace of Labwright`);
  secrets.push({ secretName, secretKey, env });
}

/** A patch of the container of the lab; undefined where there is nothing in it. */
export function ofLab(patch: Fragment): Json {
  const filled = compact(patch);
  return Object.keys(filled).length === 0 ? undefined : { containers: [{ name: 'notebook', ...filled }] };
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
