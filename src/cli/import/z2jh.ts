import { isRecord } from '../../util/is-record.ts';
import { mergePatch } from '../../util/merge-patch.ts';
import { NO_LIMIT, sizeAmounts } from './amounts.ts';
import { importOverride } from './override.ts';
import {
  compact,
  importEnv,
  importInitContainers,
  importMounts,
  importVolumes,
  type SlugScheme,
  withPlaceholders,
} from './pod-pieces.ts';
import { importAmounts, importProfiles, type Profiles } from './profiles.ts';
import type { ImportOptions } from './importer.ts';
import type { Json, Source, Table } from './source.ts';

/** Stands where the values do not say where homes are. Nobody can mount it. */
const NOWHERE = { server: 'say-where.invalid', path: '/' };
const HOME = 'home';
const HOOKS =
  /modify_pod_hook|pre_spawn_hook|post_stop_hook|options_form|profile_list|auth_state_hook|KubeSpawner|spawner_class/g;

/** Where the values of the chart are: also below `jupyterhub`, as those of a chart that it is a part of. */
export function hubChart(root: Source): Source {
  const isChart = root.at('singleuser') !== undefined || root.at('hub') !== undefined;
  return isChart ? root : (root.at('jupyterhub') ?? root);
}

/**
 * The values of Zero to JupyterHub as a configuration of Labwright.
 *
 * @param root - The values of the chart, also as those of a chart that it is a part of.
 */
export function importZ2jh(root: Source, { homes }: ImportOptions): Record<string, Json> {
  const singleuser = root.within('singleuser');
  const kubespawner = root.at('hub', 'config', 'KubeSpawner');
  const schemeAt = kubespawner?.at('slug_scheme');
  schemeAt?.mapped('the placeholders');
  const scheme: SlugScheme = schemeAt?.value === 'escape' ? 'escape' : 'safe';

  const storage = importStorage(singleuser, { scheme, homes });
  // Each may add to the patch of the pod, and to tables.
  const lab = [
    importPieces(singleuser, scheme, storage.names),
    importNetwork(singleuser),
    kubespawner === undefined ? {} : importTraits(kubespawner, scheme, storage.names),
  ].reduce<Json>(mergePatch, storage.lab) as Record<string, Json>;
  const { images, profiles } = importChoices(singleuser, scheme, storage.names);
  const defaults = { uid: idOf(singleuser, 'uid', 1000), gid: idOf(singleuser, 'fsGid', 100) };
  const overlays = importAdmins(root, scheme, storage.names);
  explainHooks(root);
  for (const rest of singleuser.unsettled()) rest.lost('there is no setting for it');
  for (const rest of root.unsettled()) rest.hub();

  return {
    baseUrl: 'https://hub.example.org',
    auth: { serviceAccounts: { hub: ['jupyterhub/hub'] } },
    users: { defaults },
    images: { list: images, ...(profiles.allowOther ? { allowOther: true } : {}) },
    lab: { sizes: profiles.sizes, ...compact({ defaultSize: profiles.defaultSize, ...lab }) },
    ...(overlays.length === 0 ? {} : { overlays }),
  };
}

interface Storage {
  readonly lab: Record<string, Json>;
  /** Names of the volumes that there are. */
  readonly names: ReadonlySet<string>;
}

function importStorage(
  singleuser: Source,
  { scheme, homes }: { scheme: SlugScheme; homes: ImportOptions['homes'] },
): Storage {
  const storage = singleuser.at('storage');
  const directory = storage?.at('homeMountPath');
  directory?.mapped('lab.home.prefix');
  const prefix = directory?.text() ?? '/home/jovyan';
  const home = importHome(storage, { prefix, scheme, homes });
  const extraAt = storage?.at('extraVolumes');
  const extra = extraAt === undefined ? { volumes: [], podPatch: { volumes: [] } } : importVolumes(extraAt, 'lab');
  const volumes = [...home.volumes, ...extra.volumes];
  const names = new Set(volumes.map(({ name }) => String(name)));
  const mountsAt = storage?.at('extraVolumeMounts');
  const mounts = mountsAt === undefined ? [] : importMounts(mountsAt, 'lab.volumeMounts', names, scheme);
  return {
    names,
    lab: {
      home: { schema: 'image', prefix },
      volumes,
      volumeMounts: [...home.mounts, ...mounts],
      podPatch: compact(extra.podPatch),
    },
  };
}

interface HomeOptions {
  readonly prefix: string;
  readonly scheme: SlugScheme;
  readonly homes: ImportOptions['homes'];
}

interface Home {
  readonly volumes: Table[];
  readonly mounts: Table[];
}

function importHome(storage: Source | undefined, options: HomeOptions): Home {
  const type = storage?.at('type');
  type?.mapped('lab.volumes');
  const [fixed, dynamic] = [storage?.at('static'), storage?.at('dynamic')];
  switch (type?.text() ?? 'dynamic') {
    case 'static':
      dynamic?.hub();
      return fixed === undefined ? { volumes: [], mounts: [] } : homeOfClaim(fixed, options);
    case 'dynamic':
      fixed?.hub();
      return storage === undefined ? { volumes: [], mounts: [] } : homeOfItsOwn(storage, options);
    default:
      fixed?.hub();
      dynamic?.hub();
      return { volumes: [], mounts: [] };
  }
}

/** One claim for all homes. */
function homeOfClaim(fixed: Source, { prefix, scheme, homes }: HomeOptions): Home {
  const subPath = fixed.at('subPath');
  subPath?.mapped('lab.volumeMounts[].subPath');
  const why =
    homes === undefined
      ? 'a claim is not mounted from another namespace: say which export it stands for (--homes SERVER:/PATH)'
      : 'the export is mounted itself, without the options that its volume may have (mountOptions)';
  fixed.at('pvcName')?.remarked('lab.volumes[].nfs', why);
  const mount = { name: HOME, mountPath: prefix, subPath: withPlaceholders(subPath?.text() ?? '{username}', scheme) };
  return { volumes: [{ name: HOME, nfs: homes ?? NOWHERE }], mounts: [mount] };
}

/** A claim for each home. */
function homeOfItsOwn(storage: Source, { prefix }: HomeOptions): Home {
  const dynamic = storage.at('dynamic');
  const capacity = storage.at('capacity');
  const [storageClass, modes] = [dynamic?.at('storageClass'), dynamic?.at('storageAccessModes')];
  const claimKey = 'lab.volumes[].persistentVolumeClaim';
  capacity?.mapped(`${claimKey}.storage`);
  storageClass?.mapped(`${claimKey}.storageClassName`);
  modes?.mapped(`${claimKey}.accessModes`);
  const why = 'each lab has a new claim of its own: what is in the old ones has to be copied';
  dynamic?.at('pvcNameTemplate')?.remarked('lab.volumes', why);
  dynamic?.at('volumeNameTemplate')?.mapped('lab.volumes');
  const claim = {
    storage: capacity?.text() ?? '10Gi',
    ...(storageClass === undefined ? {} : { storageClassName: storageClass.value }),
    ...(modes === undefined ? {} : { accessModes: modes.value }),
  };
  return { volumes: [{ name: HOME, persistentVolumeClaim: claim }], mounts: [{ name: HOME, mountPath: prefix }] };
}

/** What is handed on as it is: the value of Zero to JupyterHub, and the key here. */
const SAME: readonly (readonly [from: readonly string[], to: string])[] = [
  [['image', 'pullPolicy'], 'imagePullPolicy'],
  [['nodeSelector'], 'nodeSelector'],
  [['extraTolerations'], 'tolerations'],
  [['extraLabels'], 'extraLabels'],
  [['extraAnnotations'], 'extraAnnotations'],
];

function importPieces(singleuser: Source, scheme: SlugScheme, names: ReadonlySet<string>): Record<string, Json> {
  const lab: Record<string, Json> = {};
  for (const [from, to] of SAME) {
    const found = singleuser.at(...from);
    if (found === undefined) continue;
    found.mapped(`lab.${to}`);
    lab[to] = withPlaceholders(found.value, scheme);
  }
  const cmd = singleuser.at('cmd');
  if (cmd !== undefined) {
    cmd.mapped('lab.args');
    lab['args'] = typeof cmd.value === 'string' ? [cmd.value] : cmd.value;
  }
  const timeout = singleuser.at('startTimeout');
  if (timeout !== undefined) {
    timeout.remarked('lab.spawnTimeout', 'the hub has its own, as before (c.LabwrightSpawner.start_timeout)');
    lab['spawnTimeout'] = `${timeout.text() ?? '600'}s`;
  }
  const account = singleuser.at('serviceAccountName');
  if (account !== undefined) {
    const why =
      'it is made in the namespace of each lab: give it the annotations, or the tokens, by which your cloud knows it';
    account.remarked('lab.serviceAccount.name', why);
    lab['serviceAccount'] = { name: account.value };
  }
  const env = singleuser.at('extraEnv');
  if (env !== undefined) lab['env'] = importEnv(env, 'lab.env', scheme);
  const files = singleuser.at('extraFiles');
  if (files !== undefined) lab['files'] = importFiles(files);
  const init = singleuser.at('initContainers');
  if (init !== undefined) lab['initContainers'] = importInitContainers(init, 'lab.initContainers', names, scheme);
  const beside = singleuser.at('extraContainers');
  if (beside !== undefined) {
    lab['sidecars'] = beside.entries().map(([, container]) => importSidecar(container, names, scheme));
  }
  const hooks = singleuser.at('lifecycleHooks');
  if (hooks !== undefined) {
    hooks.remarked('lab.podPatch', 'laid over the pod as a patch');
    lab['podPatch'] = { containers: [{ name: 'notebook', lifecycle: withPlaceholders(hooks.value, scheme) }] };
  }
  singleuser.at('defaultUrl')?.hub();
  singleuser.at('allowPrivilegeEscalation')?.remarked('lab', 'no lab may gain privileges here');
  const secrets = [singleuser.at('image', 'pullSecrets'), singleuser.at('image', 'pullSecret')];
  for (const found of secrets)
    found?.remarked('lab.pullSecret', 'copy the Secret to the namespace of Labwright, and name it there');
  return lab;
}

/** A container beside the lab, with the mounts of volumes that are there. */
function importSidecar(container: Source, names: ReadonlySet<string>, scheme: SlugScheme): Json {
  const filled = withPlaceholders(container.value, scheme);
  const mounts = container.at('volumeMounts');
  if (mounts === undefined || !isRecord(filled)) {
    container.mapped('lab.sidecars');
    return filled;
  }
  const there = mounts.entries().filter(([, mount]) => names.has(mount.at('name')?.text() ?? ''));
  if (there.length === mounts.entries().length) container.mapped('lab.sidecars');
  else container.remarked('lab.sidecars', 'without the mounts of volumes that are not there');
  return { ...filled, volumeMounts: there.map(([, mount]) => withPlaceholders(mount.value, scheme)) };
}

function importFiles(files: Source): Record<string, Json> {
  const found: Record<string, Json> = {};
  for (const [, file] of files.entries()) {
    const path = file.at('mountPath')?.text();
    if (path === undefined) continue;
    const [data, text, bytes, mode] = ['data', 'stringData', 'binaryData', 'mode'].map((key) => file.at(key));
    const content =
      data === undefined
        ? bytes === undefined
          ? { text: text?.value ?? '' }
          : { base64: bytes.value }
        : { [/\.ya?ml$/.test(path) ? 'yaml' : 'json']: data.value };
    const octal = mode === undefined ? {} : { mode: `0${Number(mode.value).toString(8)}` };
    file.mapped(`lab.files[${JSON.stringify(path)}]`);
    found[path] = 'text' in content && mode === undefined ? content.text : { ...content, ...octal };
  }
  return found;
}

function importNetwork(singleuser: Source): Record<string, Json> {
  const policy = singleuser.at('networkPolicy');
  const metadata = singleuser.at('cloudMetadata', 'blockWithIptables');
  const rules: Record<string, Json> = {};
  const egress: Json[] = [];
  const own = policy?.at('egress');
  if (own !== undefined) {
    own.mapped('lab.networkPolicy.egress');
    egress.push(...own.entries().map(([, rule]) => rule.value));
  }
  if (metadata !== undefined) {
    metadata.mapped('lab.networkPolicy');
    if (metadata.value === false) egress.push({ to: [{ ipBlock: { cidr: '169.254.169.254/32' } }] });
  }
  const ingress = policy?.at('ingress');
  if (ingress !== undefined) {
    ingress.mapped('lab.networkPolicy.ingress');
    rules['ingress'] = ingress.value;
  }
  const enabled = policy?.at('enabled');
  enabled?.mapped('lab.networkPolicy.enabled');
  if (enabled?.value === false) rules['enabled'] = false;
  policy
    ?.at('egressAllowRules')
    ?.remarked('lab.networkPolicy', 'labs reach the internet and no private address but what egress says');
  if (egress.length > 0) rules['egress'] = egress;
  return { networkPolicy: rules };
}

/** Traits of KubeSpawner that hubs set themselves. */
function importTraits(kubespawner: Source, scheme: SlugScheme, volumes: ReadonlySet<string>): Record<string, Json> {
  for (const key of ['http_timeout', 'start_timeout', 'default_url']) kubespawner.at(key)?.hub();
  const { lab } = importOverride(kubespawner, { to: 'lab', scheme, volumes });
  return lab;
}

function importChoices(
  singleuser: Source,
  scheme: SlugScheme,
  volumes: ReadonlySet<string>,
): { images: Json[]; profiles: Profiles } {
  const [name, tag] = [singleuser.at('image', 'name'), singleuser.at('image', 'tag')];
  for (const found of [name, tag]) found?.mapped('images.list[].reference');
  const image = name === undefined ? undefined : `${name.text() ?? ''}:${tag?.text() ?? 'latest'}`;
  const amounts = importAmounts(singleuser);
  const list = singleuser.at('profileList');
  if (amounts.cpu === undefined) {
    (singleuser.at('cpu', 'guarantee') ?? singleuser.at('image', 'name'))?.remarked(
      'lab.sizes[].cpu',
      NO_LIMIT.cpuRemark,
    );
  }
  const found = list === undefined ? undefined : importProfiles(list, { scheme, amounts, image, volumes });
  const sizes =
    found === undefined || found.sizes.length === 0 ? [{ name: 'default', ...sizeAmounts(amounts) }] : found.sizes;
  const images =
    found === undefined || found.images.length === 0
      ? [{ reference: image ?? 'quay.io/jupyter/base-notebook:latest' }]
      : found.images;
  const nothing = { images: [], allowOther: false, defaultSize: undefined };
  return { images, profiles: { ...nothing, ...found, sizes } };
}

/** What base charts of many hubs give administrators. */
function importAdmins(root: Source, scheme: SlugScheme, names: ReadonlySet<string>): Json[] {
  const lab = ['singleuserAdmin', 'admin']
    .map((name) => importAdmin(root.at('custom', name), scheme, names))
    .reduce<Json>(mergePatch, {}) as Table;
  return Object.keys(lab).length === 0 ? [] : [{ name: 'admins', match: { admin: true }, lab }];
}

function importAdmin(admin: Source | undefined, scheme: SlugScheme, names: ReadonlySet<string>): Record<string, Json> {
  const [env, mounts, volumes] = ['extraEnv', 'extraVolumeMounts', 'extraVolumes'].map((key) => admin?.at(key));
  const more = volumes === undefined ? undefined : importVolumes(volumes, 'overlays[].lab');
  const all = new Set([...names, ...(more?.volumes ?? []).map(({ name }) => String(name))]);
  return compact({
    env: env && importEnv(env, 'overlays[].lab.env', scheme),
    volumes: more?.volumes,
    volumeMounts: mounts && importMounts(mounts, 'overlays[].lab.volumeMounts', all, scheme),
    podPatch: more && compact(more.podPatch),
  });
}

/** Python that reaches into the pods of labs does nothing here. */
function explainHooks(root: Source): void {
  for (const key of ['extraConfig', 'extraFiles']) {
    for (const [, script] of root.at('hub', key)?.entries() ?? []) {
      const text = isRecord(script.value) ? script.at('stringData')?.text() : script.text();
      const found = [...new Set(text?.match(HOOKS))];
      if (found.length > 0) {
        script.lost(
          `Python that sets or reads ${found.join(', ')}: what it does to pods is done with overlays, lab in sizes and images, and lab.podPatch`,
          true,
        );
      }
    }
  }
}

function idOf(singleuser: Source, key: string, otherwise: number): number {
  const found = singleuser.at(key);
  found?.mapped('users.defaults');
  const id = Number(found?.value);
  return Number.isInteger(id) && id > 0 ? id : otherwise;
}
