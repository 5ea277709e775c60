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
  profileList: 'lab.profiles',
  profile_list: 'lab.profiles',
  profile_options: 'options of a profile',
  unlisted_choice: 'writeIn of an option',
  dynamic_image_building: 'repository of an option',
  kubespawner_override: 'image, size, cpu, memory and lab',
  display_name: 'title',
  slug: 'name',
  allowed_groups: 'groups',
  validation_regex: 'pattern',
  validation_message: 'message',
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
/** The same, where it depends on what is known beside: a key that is known there, the one that is not, and what is said. */
const BESIDE: readonly (readonly [known: string, key: string, said: string])[] = [
  ['cpuRequest', 'size', 'what it sets is name here'],
  ['cpuRequest', 'resources', 'limits are cpu and memory here, requests cpuRequest and memoryRequest'],
  ['cpuRequest', 'limits', 'limits are cpu and memory here'],
  ['cpuRequest', 'requests', 'requests are cpuRequest and memoryRequest here'],
  ['cpuRequest', 'cpu_limit', 'what it sets is cpu here'],
  ['cpuRequest', 'mem_limit', 'what it sets is memory here'],
  ['cpuRequest', 'cpu_guarantee', 'what it sets is cpuRequest here'],
  ['cpuRequest', 'mem_guarantee', 'what it sets is memoryRequest here'],
  ['retain', 'resources', 'the size of a claim is storage here, without resources and requests'],
  ['server', 'serverPath', 'what it sets is path here'],
  ['mountPath', 'containerPath', 'what it sets is mountPath here'],
  ['mountPath', 'volumeName', 'what it sets is name here'],
  ['sha256', 'token', 'only its SHA-256 is written: sha256'],
  ['reference', 'image', 'what it sets is reference here'],
  ['runAsRoot', 'securityContext', 'what can be said of it is runAsRoot or privileged'],
];
const ROOM_FOR_TYPOS = 2;

/**
 * What is said of a key that is not known: the key that was probably meant, or where it belongs.
 *
 * @param path where the key is
 */
export function explainUnknownKey(path: readonly PropertyKey[], key: string): string {
  const schema = configJsonSchema();
  const here = knownKeys(path);
  const beside = BESIDE.find(([known, unknown]) => unknown === key && here.includes(known));
  if (beside !== undefined) return `unknown key: ${beside[2]}`;
  const meant = here.find((name) => plain(name) === plain(key)) ?? nearest(key, here);
  if (meant !== undefined) return `unknown key: did you mean ${meant}?`;
  if (key.includes('/') && here.includes('extendedResources')) return 'unknown key: it belongs into extendedResources';
  const place = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined;
  if (place !== undefined) return `unknown key: what it sets is ${place} here`;
  const [section, ...others] = sectionsWith(schema, key);
  if (section === undefined || others.length > 0) return 'unknown key';
  const isInside = path.includes(section) && path[0] !== section;
  return `unknown key: it belongs into ${section}${isInside ? ' at the top of the file, for everybody' : ''}`;
}

/** The keys that are known at a place of the configuration. */
export function knownKeys(path: readonly PropertyKey[]): string[] {
  const nodes = path.reduce<readonly JsonSchema[]>(
    (found, part) => found.flatMap((node) => stepsOf(node, part)),
    [configJsonSchema()],
  );
  return nodes.flatMap((node) => variantsOf(node)).flatMap(({ properties = {} }) => Object.keys(properties));
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
