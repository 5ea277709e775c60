import { isRecord } from '../../util/is-record.ts';
import { importCpu } from './amounts.ts';
import { nubladoInitContainers } from './nublado-init.ts';
import { compact } from './pod-pieces.ts';
import { settleFile } from './private-key.ts';
import type { Json, Source, Table } from './source.ts';

/** Keys whose values are handed on as they are, and what Nublado does without them. */
const SAME: readonly (readonly [from: string, to: readonly string[], otherwise?: Json])[] = [
  ['activityInterval', ['activityInterval'], '1h'],
  ['affinity', ['affinity']],
  ['defaultSize', ['defaultSize']],
  ['deleteTimeout', ['deleteTimeout'], '1m'],
  ['emptyDirSource', ['tmp', 'medium'], 'memory'],
  ['homedirPrefix', ['home', 'prefix'], '/home'],
  ['homedirSchema', ['home', 'schema'], 'username'],
  ['homedirSuffix', ['home', 'suffix']],
  ['labStartCommand', ['args'], ['/opt/lsst/software/jupyterlab/runlab.sh']],
  ['nodeSelector', ['nodeSelector']],
  ['runtimeMountsDir', ['runtimeMountsDir'], '/etc/nublado'],
  ['spawnTimeout', ['spawnTimeout'], '10m'],
  ['tolerations', ['tolerations']],
];
const PASSWD = [
  ['basePasswd', 'passwd'],
  ['baseGroup', 'group'],
] as const;
const IN_OUR_NAMESPACE = 'it is read from the namespace of Labwright: put it there';

/** With them Argo CD leaves alone what it finds with the label of an application and did not make. */
const LEFT_ALONE = {
  'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
  'argocd.argoproj.io/sync-options': 'Prune=false',
};

interface Beside {
  /** Image of the controller. */
  readonly image: string;
  /** Service discovery of the site. */
  readonly repertoireUrl: string;
}

/** `lab` of Nublado's controller. */
export function importNubladoLab(lab: Source, { image, repertoireUrl }: Beside): Json {
  const made: Record<string, Json> = {};
  for (const [from, [first = '', second], otherwise] of SAME) {
    const found = lab.at(from);
    found?.mapped(['lab', first, second].filter(Boolean).join('.'));
    const value = plainDuration(found?.value) ?? otherwise;
    if (value === undefined || value === '') continue;
    made[first] = second === undefined ? value : { ...(made[first] as Table | undefined), [second]: value };
  }
  for (const [from, to] of PASSWD) {
    const found = lab.at('nss', from);
    found?.mapped(`lab.${to}`);
    if (found !== undefined) made[to] = found.value;
  }
  return compact({
    sizes: importSizes(lab),
    ...importNames(lab),
    ...made,
    env: importEnv(lab, repertoireUrl),
    files: importFiles(lab),
    ...importApplication(lab),
    ...importSecrets(lab),
    ...importVolumes(lab, image),
    namespaceAnnotations: importAnnotations(lab),
    readOnlyRootFilesystem: true,
    networkPolicy: { hubNamespaces: ['nublado'] },
  });
}

/** Seconds can be written as text there. */
function plainDuration(value: Json): Json {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}

function importSizes(lab: Source): Json[] {
  return (lab.at('sizes')?.entries() ?? []).map(([, size]) => {
    const [name, limits, requests] = [
      size.at('size'),
      size.at('resources', 'limits'),
      size.at('resources', 'requests'),
    ];
    size.mapped('lab.sizes');
    return compact({
      name: name?.text(),
      cpu: importCpu(limits?.at('cpu')?.value),
      memory: limits?.at('memory')?.value,
      cpuRequest: importCpu(requests?.at('cpu')?.value),
      memoryRequest: requests?.at('memory')?.value,
    });
  });
}

function importNames(lab: Source): Table {
  const prefix = lab.at('namespacePrefix');
  prefix?.remarked(
    'lab.namespacePrefix',
    'namespaces that the controller of Nublado has made are not touched: no lab starts where one of that name is still there',
  );
  lab.at('reconcileInterval')?.remarked(undefined, 'Labwright follows the cluster at all times');
  return prefix === undefined ? {} : { namespacePrefix: prefix.value };
}

function importEnv(lab: Source, repertoireUrl: string): Json {
  const [env, directory] = [lab.at('env'), lab.at('jupyterlabConfigDir')];
  env?.mapped('lab.env');
  directory?.mapped('lab.env.JUPYTERLAB_CONFIG_DIR');
  const own = env?.entries().map(([key, { value }]) => [key, String(value)] as const) ?? [];
  return {
    REPERTOIRE_BASE_URL: repertoireUrl,
    JUPYTERLAB_CONFIG_DIR: directory?.text() ?? '/opt/lsst/software/jupyterlab',
    ...Object.fromEntries(own),
  };
}

function importFiles(lab: Source): Json {
  const files = lab.at('files');
  for (const [, file] of files?.entries() ?? []) settleFile(file, 'lab.files');
  return isRecord(files?.value) ? files.value : undefined;
}

/** By its label Argo CD knows what belongs to an application. */
function importApplication(lab: Source): Table {
  const [application, annotations] = [lab.at('application'), lab.at('extraAnnotations')];
  application?.mapped('lab.extraLabels');
  annotations?.mapped('lab.extraAnnotations');
  const own = isRecord(annotations?.value) ? annotations.value : {};
  if (application === undefined) return { extraAnnotations: own };
  return {
    extraLabels: { 'argocd.argoproj.io/instance': application.value },
    extraAnnotations: { ...LEFT_ALONE, ...own },
  };
}

function importSecrets(lab: Source): Table {
  const [secrets, pullSecret] = [lab.at('secrets'), lab.at('pullSecret')];
  if (secrets !== undefined && secrets.entries().length > 0) secrets.remarked('lab.secrets', IN_OUR_NAMESPACE);
  pullSecret?.remarked('lab.pullSecret', IN_OUR_NAMESPACE);
  return { secrets: secrets?.value, pullSecret: pullSecret?.value };
}

function importVolumes(lab: Source, image: string): Table {
  const volumes =
    lab
      .at('volumes')
      ?.entries()
      .map(([, volume]) => importVolume(volume)) ?? [];
  const mounts = importMounts(lab.at('volumeMounts'), 'lab.volumeMounts');
  const home = lab.at('homeVolumeName');
  home?.mapped('lab.volumeMounts');
  const made = nubladoInitContainers(lab, {
    image,
    importMounts,
    home: mounts.filter(({ name }) => name === (home?.text() ?? 'home')),
  });
  return {
    volumes: [...volumes, ...made.volumes],
    volumeMounts: [...mounts, ...made.mounts],
    initContainers: made.containers,
  };
}

function importVolume(volume: Source): Table {
  const name = volume.at('name')?.text() ?? '';
  const source = volume.within('source');
  const value = (...keys: string[]) => source.at(...keys)?.value;
  switch (source.at('type')?.text()) {
    case 'nfs':
      volume.mapped('lab.volumes');
      return {
        name,
        nfs: compact({ server: value('server'), path: value('serverPath'), readOnly: value('readOnly') || undefined }),
      };
    case 'hostPath':
      volume.mapped('lab.volumes');
      return { name, hostPath: { path: value('path') } };
    case 'persistentVolumeClaim':
      volume.remarked(
        'lab.volumes',
        'a claim of each lab ends with it, as with Nublado: what is behind its storage class has to be what all of them share (retain: false)',
      );
      return {
        name,
        persistentVolumeClaim: compact({
          storageClassName: value('storageClassName'),
          accessModes: value('accessModes'),
          storage: value('resources', 'requests', 'storage') ?? '1Gi',
          readOnly: value('readOnly') || undefined,
          retain: false,
        }),
      };
    default:
      volume.remarked(
        'lab.volumes',
        'its source is not one of those that Nublado takes: it is an empty directory here',
      );
      return { name, emptyDir: {} };
  }
}

function importMounts(mounts: Source | undefined, to: string): Table[] {
  mounts?.mapped(to);
  return (mounts?.entries() ?? []).map(([, mount]) =>
    compact({
      name: mount.at('volumeName')?.value,
      mountPath: mount.at('containerPath')?.value,
      subPath: mount.at('subPath')?.value,
      readOnly: mount.at('readOnly')?.value === true ? true : undefined,
    }),
  );
}

/** They are templates there, in which `{{ uid }}` and `{{ gid }}` are known. */
function importAnnotations(lab: Source): Json {
  const annotations = lab.at('namespaceAnnotations');
  annotations?.mapped('lab.namespaceAnnotations');
  if (!isRecord(annotations?.value)) return undefined;
  return Object.fromEntries(
    Object.entries(annotations.value).map(([key, value]) => [
      key,
      String(value).replaceAll(/\{\{\s*(uid|gid)\s*\}\}/g, '{$1}'),
    ]),
  );
}
