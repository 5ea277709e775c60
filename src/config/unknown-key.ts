import leven from 'leven';
import { configJsonSchema, type JsonSchema } from './json-schema.ts';

/** Names of Zero to JupyterHub, KubeSpawner and Nublado, and where here is what they set. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  singleuser: 'lab',
  extraEnv: 'lab.env',
  environment: 'lab.env',
  extraFiles: 'lab.files',
  extraContainers: 'lab.sidecars',
  extra_containers: 'lab.sidecars',
  extraVolumes: 'lab.volumes',
  extraVolumeMounts: 'lab.volumeMounts',
  extraTolerations: 'lab.tolerations',
  extraPodConfig: 'lab.podPatch',
  extra_pod_config: 'lab.podPatch',
  cmd: 'lab.args',
  startTimeout: 'lab.spawnTimeout',
  start_timeout: 'lab.spawnTimeout',
  storage: 'lab.volumes and lab.home',
  profileList: 'images.list and lab.sizes',
  profile_list: 'images.list and lab.sizes',
  allowedGroups: 'overlays',
  group_overrides: 'overlays',
  serviceAccountName: 'lab.serviceAccount.name',
  service_account: 'lab.serviceAccount',
  extraResource: 'extendedResources of a size',
  hub: 'the configuration of the hub itself',
  proxy: 'the configuration of the hub itself',
  cull: 'the configuration of the hub itself',
  extraImages: 'images.list',
};
const ROOM_FOR_TYPOS = 2;

/**
 * What is said of a key that is not known: the key that was probably meant, or where it belongs.
 *
 * @param path where the key is
 */
export function explainUnknownKey(path: readonly PropertyKey[], key: string): string {
  const schema = configJsonSchema();
  const known = path.reduce<readonly JsonSchema[]>(
    (nodes, part) => nodes.flatMap((node) => stepsOf(node, part)),
    [schema],
  );
  const here = known.flatMap((node) => variantsOf(node)).flatMap(({ properties = {} }) => Object.keys(properties));
  const meant = here.find((name) => plain(name) === plain(key)) ?? nearest(key, here);
  if (meant !== undefined) return `unknown key: did you mean ${meant}?`;
  if (key.includes('/') && here.includes('extendedResources')) return 'unknown key: it belongs into extendedResources';
  const place = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined;
  if (place !== undefined) return `unknown key: what it sets is ${place} here`;
  const [section, ...others] = sectionsWith(schema, key);
  return section !== undefined && others.length === 0 ? `unknown key: it belongs into ${section}` : 'unknown key';
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, '');
}

function nearest(key: string, names: readonly string[]): string | undefined {
  const distances = names.map(
    (name) => [leven(plain(key), plain(name), { maxDistance: ROOM_FOR_TYPOS + 1 }), name] as const,
  );
  const [best] = distances.sort(([left], [right]) => left - right);
  // Two letters of a short word make another word of it.
  const room = Math.min(ROOM_FOR_TYPOS, Math.floor(key.length / 3));
  return best !== undefined && best[0] <= room ? best[1] : undefined;
}

function variantsOf(node: JsonSchema): readonly JsonSchema[] {
  return [node, ...(node.anyOf ?? []), ...(node.oneOf ?? [])];
}

function stepsOf(node: JsonSchema, part: PropertyKey): readonly JsonSchema[] {
  return variantsOf(node).flatMap(({ properties = {}, additionalProperties, items }) => {
    if (typeof part === 'number') return items ?? [];
    const own = Object.hasOwn(properties, part) ? properties[String(part)] : undefined;
    return own ?? (typeof additionalProperties === 'object' ? additionalProperties : []);
  });
}

/** The sections of the configuration that have a key of this name themselves. */
function sectionsWith(whole: JsonSchema, key: string): string[] {
  return Object.entries(whole.properties ?? {}).flatMap(([name, { properties = {} }]) =>
    Object.hasOwn(properties, key) ? name : [],
  );
}
