import { isRecord } from '../../util/is-record.ts';
import { sizeAmounts } from './amounts.ts';
import { importInitContainers, importSidecars } from './containers.ts';
import type { ImportOptions } from './importer.ts';
import { HUB_NAMESPACE, importNetwork } from './network.ts';
import { explainAccount, importOverride } from './override.ts';
import { importPlacement } from './placement.ts';
import { compact, type Fragment, importEnv, join, type SlugScheme, withPlaceholders } from './pod-pieces.ts';
import { settleFile } from './private-key.ts';
import { importAmounts, importProfiles, movingPolicy, type ProfilesContext } from './profiles.ts';
import type { Json, Source, Table } from './source.ts';
import { importLabMounts, importVolumes, namesOf, type Claims, type Pieces } from './volumes.ts';

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

  // Without an export to mount, labs go where their claims are.
  const isShared = homes === undefined;
  const storage = importStorage(singleuser, { scheme, homes });
  const pieces: Pieces = { scheme, claims: storage.claims, volumes: storage.volumes };
  // Each may add to the patch of the pod, and to tables.
  const lab = join(
    isShared ? importPlace(singleuser, scheme) : {},
    storage.lab,
    importPieces(singleuser, pieces),
    importPlacement(root, singleuser),
    importNetwork(singleuser),
    kubespawner === undefined ? {} : importTraits(kubespawner, pieces),
  );
  const { images, sizes, profiles } = importChoices(singleuser, { ...pieces, pullPolicy: lab['imagePullPolicy'] });
  const defaults = { uid: idOf(singleuser, 'uid', 1000), gid: idOf(singleuser, 'fsGid', 100) };
  const overlays = importAdmins(root, pieces);
  explainHooks(root);
  for (const rest of singleuser.unsettled()) rest.lost('there is no setting for it');
  for (const rest of root.unsettled()) rest.hub();

  return {
    baseUrl: 'https://hub.example.org',
    auth: { serviceAccounts: { hub: [`${HUB_NAMESPACE}/hub`] } },
    users: { defaults },
    images: { list: images, ...importPrepull(root) },
    lab: { sizes, ...compact({ profiles, ...lab }) },
    ...(overlays.length === 0 ? {} : { overlays }),
  };
}

/** The chart pulls images ahead unless it is told not to; whoever says that it is to has thought of it. */
function importPrepull(root: Source): Table {
  const enabled = ['hook', 'continuous'].flatMap((key) => root.at('prePuller', key, 'enabled') ?? []);
  const isOn = enabled.some(({ value }) => value === true);
  for (const found of enabled) {
    if (isOn) {
      found.remarked(
        'images.prepull',
        'the images of the list and of profiles are pulled while Labwright runs, whenever a node lacks one; it needs the rights in deploy/kubernetes-prepull',
      );
    } else found.mapped();
  }
  root
    .at('prePuller', 'extraImages')
    ?.lost(
      'only images of labs are pulled ahead; those of init containers and sidecars come when the first lab of a node needs them',
      true,
    );
  return isOn ? { prepull: {} } : {};
}

interface Storage extends Pick<Pieces, 'claims' | 'volumes'> {
  readonly lab: Fragment;
}

/** How the values of the storage are read. */
interface StorageOptions extends Pick<Pieces, 'scheme'> {
  readonly homes: ImportOptions['homes'];
}

function importStorage(singleuser: Source, { scheme, homes }: StorageOptions): Storage {
  const storage = singleuser.at('storage');
  const directory = storage?.at('homeMountPath');
  directory?.mapped('lab.home.prefix');
  const prefix = directory?.text() ?? '/home/jovyan';
  const home = importHome(storage, { prefix, scheme, homes });
  const extraAt = storage?.at('extraVolumes');
  const claims = claimsOf(storage, homes);
  const extra = extraAt === undefined ? undefined : importVolumes(extraAt, 'lab', { claims, scheme });
  const names = new Map([...namesOf(home.volumes), ...(extra?.names ?? [])]);
  const mountsAt = storage?.at('extraVolumeMounts');
  const own = { home: { schema: 'image', prefix }, volumes: home.volumes, volumeMounts: home.mounts };
  return {
    volumes: names,
    claims,
    lab: join(
      own,
      extra?.fragment,
      mountsAt === undefined ? undefined : importLabMounts(mountsAt, 'lab', names, scheme),
    ),
  };
}

/** The claim of the homes may be mounted for something else, too. */
function claimsOf(storage: Source | undefined, homes: ImportOptions['homes']): Claims {
  if (homes === undefined) return { are: 'there' };
  const claimName = storage?.at('static', 'pvcName')?.text();
  return { are: 'elsewhere', homes: claimName === undefined ? undefined : { claimName, nfs: homes } };
}

/** All labs in the namespace of the hub, called as KubeSpawner calls them. */
function importPlace(singleuser: Source, scheme: SlugScheme): Fragment {
  const template = singleuser.at('podNameTemplate');
  template?.mapped('lab.podName');
  const podName = withPlaceholders(template?.text() ?? 'jupyter-{user_server}', scheme);
  // By this label the chart of the hub lets pods of its namespace reach the hub.
  const extraLabels = { 'hub.jupyter.org/network-access-hub': 'true' };
  return { namespaces: 'shared', namespace: HUB_NAMESPACE, podName, extraLabels };
}

interface HomeOptions extends StorageOptions {
  readonly prefix: string;
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
  const claim = fixed.at('pvcName');
  const mount = { name: HOME, mountPath: prefix, subPath: withPlaceholders(subPath?.text() ?? '{username}', scheme) };
  if (homes === undefined) {
    claim?.mapped('lab.volumes[].persistentVolumeClaim.claimName');
    const claimName = withPlaceholders(claim?.text() ?? 'say-which', scheme);
    return { volumes: [{ name: HOME, persistentVolumeClaim: { claimName } }], mounts: [mount] };
  }
  const why = 'the export is mounted itself, without the options that its volume may have (mountOptions)';
  claim?.remarked('lab.volumes[].nfs', why);
  return { volumes: [{ name: HOME, nfs: homes }], mounts: [mount] };
}

/** A claim for each home. */
function homeOfItsOwn(storage: Source, { prefix, scheme, homes }: HomeOptions): Home {
  const dynamic = storage.at('dynamic');
  const capacity = storage.at('capacity');
  const [storageClass, modes] = [dynamic?.at('storageClass'), dynamic?.at('storageAccessModes')];
  const claimKey = 'lab.volumes[].persistentVolumeClaim';
  capacity?.mapped(`${claimKey}.storage`);
  storageClass?.mapped(`${claimKey}.storageClassName`);
  modes?.mapped(`${claimKey}.accessModes`);
  const template = dynamic?.at('pvcNameTemplate');
  if (homes === undefined) template?.mapped(`${claimKey}.claimName`);
  else
    template?.remarked('lab.volumes', 'each lab has a new claim of its own: what is in the old ones has to be copied');
  dynamic?.at('volumeNameTemplate')?.mapped('lab.volumes');
  const claim = {
    // The name that KubeSpawner gives: a claim of the same user that is there is taken over.
    ...(homes === undefined ? { claimName: withPlaceholders(template?.text() ?? 'claim-{user_server}', scheme) } : {}),
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
  [['extraLabels'], 'extraLabels'],
  [['extraAnnotations'], 'extraAnnotations'],
];

function importPieces(singleuser: Source, pieces: Pieces): Fragment {
  const { scheme, volumes } = pieces;
  const lab: Fragment = {};
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
    explainAccount(account, 'lab.serviceAccount.name', pieces.claims);
    lab['serviceAccount'] = { name: account.value };
  }
  const files = singleuser.at('extraFiles');
  if (files !== undefined) lab['files'] = importFiles(files);
  const hooks = singleuser.at('lifecycleHooks');
  const patches = singleuser.at('extraPodConfig');
  for (const found of [hooks, patches]) found?.remarked('lab.podPatch', 'laid over the pod as a patch');
  singleuser.at('defaultUrl')?.hub();
  singleuser.at('allowPrivilegeEscalation')?.remarked('lab', 'no lab may gain privileges here');
  const pullSecrets = [singleuser.at('image', 'pullSecrets'), singleuser.at('image', 'pullSecret')];
  for (const found of pullSecrets)
    found?.remarked('lab.pullSecret', 'copy the Secret to the namespace of Labwright, and name it there');
  const context = { to: 'lab', scheme, volumes };
  const secrets: Table[] = [];
  const [env, init, beside] = ['extraEnv', 'initContainers', 'extraContainers'].map((key) => singleuser.at(key));
  return join(
    lab,
    env && importEnv(env, 'lab.env', scheme, secrets),
    compact({ secrets }),
    init && importInitContainers(init, context),
    beside && importSidecars(beside, context),
    compact({ podPatch: withPlaceholders(patches?.value, scheme) }),
    hooks && {
      podPatch: { containers: [{ name: 'notebook', lifecycle: withPlaceholders(hooks.value, scheme) }] },
    },
  );
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
    settleFile(file, `lab.files[${JSON.stringify(path)}]`);
    found[path] = 'text' in content && mode === undefined ? content.text : { ...content, ...octal };
  }
  return found;
}

/** Traits of KubeSpawner that hubs set themselves. */
function importTraits(kubespawner: Source, pieces: Pieces): Record<string, Json> {
  for (const key of ['http_timeout', 'start_timeout', 'default_url']) kubespawner.at(key)?.hub();
  const { lab } = importOverride(kubespawner, { to: 'lab', ...pieces });
  return lab;
}

function importChoices(
  singleuser: Source,
  context: Omit<ProfilesContext, 'amounts'>,
): { images: Json[]; sizes: Json[]; profiles: Json[] } {
  const [name, tag] = [singleuser.at('image', 'name'), singleuser.at('image', 'tag')];
  for (const found of [name, tag]) found?.mapped('images.list[].reference');
  const image = name === undefined ? undefined : `${name.text() ?? ''}:${tag?.text() ?? 'latest'}`;
  const amounts = importAmounts(singleuser);
  const list = singleuser.at('profileList');
  const reference = image ?? 'quay.io/jupyter/base-notebook:latest';
  const lab = movingPolicy(reference, context);
  return {
    images: [{ reference, ...compact({ lab }) }],
    sizes: [{ name: 'default', ...sizeAmounts(amounts) }],
    profiles: list === undefined ? [] : importProfiles(list, { ...context, amounts }),
  };
}

/** What base charts of many hubs give administrators. */
function importAdmins(root: Source, pieces: Pieces): Json[] {
  const lab = ['singleuserAdmin', 'admin']
    .map((name) => importAdmin(root.at('custom', name), pieces))
    .reduce<Fragment>((all, one) => join(all, one), {});
  return Object.keys(lab).length === 0 ? [] : [{ name: 'admins', match: { admin: true }, lab }];
}

function importAdmin(admin: Source | undefined, pieces: Pieces): Fragment {
  const { scheme, volumes: names } = pieces;
  const [env, mounts, volumes] = ['extraEnv', 'extraVolumeMounts', 'extraVolumes'].map((key) => admin?.at(key));
  const more = volumes === undefined ? undefined : importVolumes(volumes, 'overlays[].lab', pieces);
  const all = new Map([...names, ...(more?.names ?? [])]);
  return join(
    more?.fragment,
    env && importEnv(env, 'overlays[].lab.env', scheme),
    mounts && importLabMounts(mounts, 'overlays[].lab', all, scheme),
  );
}

/** Python that reaches into the pods of labs does nothing here. */
function explainHooks(root: Source): void {
  for (const key of ['extraConfig', 'extraFiles']) {
    for (const [, script] of root.at('hub', key)?.entries() ?? []) {
      const text = isRecord(script.value) ? script.at('stringData')?.text() : script.text();
      const found = [...new Set(text?.match(HOOKS))];
      if (found.length > 0) {
        script.lost(
          `Python that sets or reads ${found.join(', ')}: what it does to pods is done with overlays, lab in profiles, sizes and images, and lab.podPatch`,
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
