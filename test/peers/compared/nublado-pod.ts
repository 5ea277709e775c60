import { arrangeTags } from '../../../src/domain/image/tags/arrange.ts';
import type { V1Container, V1EnvVar, V1PodSpec } from '@kubernetes/client-node';
import { capitalize } from '../../../src/util/capitalize.ts';
import { type Content, numberOf, type Observed } from './facts.ts';
import { reachFacts } from './network.ts';
import { claimOf, fileKey, mountOf, mountsOf, volumesOf } from './nublado-volumes.ts';
import type { NubladoLab, Site, SiteCase } from './sites.ts';

/** What a hub and the platform give to a lab, the same for both controllers. */
export interface Given {
  readonly hubEnv: Readonly<Record<string, string>>;
  readonly token: string;
  /** Base64 by key of the Secrets of the controller. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly baseUrl: string;
  readonly repertoireUrl: string;
  /** What service discovery says of the site. */
  readonly discovery: object;
}

const CONTROLLER_IMAGE = 'ghcr.io/lsst-sqre/nublado:11.0.0';

/**
 * The lab that the controller of Nublado 11 makes for a person, with what is beside it. Nublado's builder cannot be installed from a package
 * index, so this is a translation of what it was seen to do.
 */
export function nubladoLab(site: Site, each: SiteCase, given: Given): Observed {
  const { lab } = site;
  const { username } = each.user;
  const namespace = `${lab.namespacePrefix}-${username}`;
  const files = contentsOf(lab, each, given);
  const claims = lab.volumes.flatMap((volume) => claimOf(volume, lab, username));
  const env = environment(site, each, given);
  return {
    pod: { metadata: metadataOf(lab, each), spec: specOf(site, each) },
    env: {
      [`${username}-nb-env`]: env,
      [`${username}-nb`]: Object.fromEntries(
        Object.entries(secretOf(given)).map(([key, value]) => [key, decode(value)]),
      ),
    },
    files: {
      [`${username}-nb-nss`]: files.nss,
      [`${username}-nb-files`]: files.own,
      [`${username}-nb`]: Object.fromEntries(
        Object.entries(secretOf(given)).map(([key, value]) => [key, { text: decode(value) }]),
      ),
      [`${username}-nb-env`]: Object.fromEntries(Object.entries(env).map(([key, text]) => [key, { text }])),
    },
    claims,
    groups: 'everybody',
    beside: [
      ...reachFacts([{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }], namespace, false),
      ['reached by pods app=jupyterhub of any namespace', 'port 8888'],
      ['reached by pods of its own namespace', 'port 8888'],
      ['namespace', namespace],
      ['newest images', site.newest],
      ['service', 'port 8888'],
      ...(each.quota === null
        ? []
        : [
            ['quota limits.cpu', String(each.quota.cpu)] as const,
            ['quota limits.memory', String(each.quota.memory)] as const,
          ]),
    ],
  };
}

function metadataOf(lab: NubladoLab, { user }: SiteCase) {
  return {
    labels: {
      'nublado.lsst.io/category': 'lab',
      'nublado.lsst.io/user': user.username,
      ...(lab.application === undefined ? {} : { 'argocd.argoproj.io/instance': lab.application }),
    },
    annotations: {
      'argocd.argoproj.io/compare-options': 'IgnoreExtraneous',
      'argocd.argoproj.io/sync-options': 'Prune=false',
      'nublado.lsst.io/user-groups': JSON.stringify(user.groups),
      ...(user.name === null ? {} : { 'nublado.lsst.io/user-name': user.name }),
      ...lab.extraAnnotations,
    },
  };
}

function specOf(site: Site, each: SiteCase): V1PodSpec {
  const { lab } = site;
  const { user } = each;
  return {
    affinity: lab.affinity,
    nodeSelector: lab.nodeSelector,
    tolerations: lab.tolerations,
    automountServiceAccountToken: false,
    ...(lab.pullSecret === undefined ? {} : { imagePullSecrets: [{ name: 'pull-secret' }] }),
    restartPolicy: 'OnFailure',
    securityContext: { supplementalGroups: user.groups.map(({ id }) => id) },
    initContainers: initContainers(site, each),
    containers: [notebook(site, each)],
    volumes: volumesOf(lab, user.username, numberOf(sizeOf(lab, each).limits.memory)),
  };
}

function notebook(site: Site, each: SiteCase): V1Container {
  const { lab, repository } = site;
  return {
    name: 'notebook',
    image: `${repository}:${each.tag}@${DIGEST}`,
    imagePullPolicy: 'IfNotPresent',
    args: lab.labStartCommand,
    ports: [{ containerPort: 8888, name: 'jupyterlab' }],
    workingDir: homeOf(lab, each),
    resources: resourcesOf(lab, each),
    securityContext: unprivileged(each),
    env: [...secretEnv(lab, each), ...['KUBERNETES_NODE_NAME', 'K8S_NODE_NAME'].map(nodeName)],
    envFrom: [{ configMapRef: { name: `${each.user.username}-nb-env` } }],
    volumeMounts: mountsOf(lab, true),
  };
}

/** What the registry says of each tag. */
export const DIGEST = `sha256:${'5'.repeat(64)}`;

function unprivileged({ user }: SiteCase): V1Container['securityContext'] & object {
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['all'] },
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    runAsUser: user.uid,
    runAsGroup: user.gid,
  };
}

function initContainers(site: Site, each: SiteCase): V1Container[] {
  const { lab } = site;
  const { username, uid, gid } = each.user;
  const common = {
    image: CONTROLLER_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    resources: resourcesOf(lab, each),
    envFrom: [{ configMapRef: { name: `${username}-nb-env` } }],
  };
  const env = [
    { name: 'NUBLADO_HOME', value: homeOf(lab, each) },
    { name: 'NUBLADO_UID', value: String(uid) },
    { name: 'NUBLADO_GID', value: String(gid) },
  ];
  const asUser = { ...common, securityContext: unprivileged(each), volumeMounts: mountsOf(lab, false) };
  const made: V1Container[] = [];
  if (lab.standardInithome) {
    made.push({
      ...common,
      name: 'nublado-std-inithome',
      command: ['nublado', 'inithome'],
      env,
      securityContext: { privileged: true, allowPrivilegeEscalation: true, readOnlyRootFilesystem: true, runAsUser: 0 },
      volumeMounts: lab.volumeMounts.filter(({ volumeName }) => volumeName === lab.homeVolumeName).map(mountOf),
    });
  }
  if (lab.env['RSP_SITE_TYPE'] === 'science') {
    made.push({ ...asUser, name: 'nublado-std-landingpage', command: ['nublado', 'landingpage'], env });
  }
  made.push({
    ...asUser,
    name: 'nublado-std-startup',
    command: ['nublado', 'startup'],
    env: [...env, ...secretEnv(lab, each)],
  });
  return made;
}

function secretEnv({ secrets }: NubladoLab, { user }: SiteCase): V1EnvVar[] {
  const from = (name: string, key: string) => ({
    name,
    valueFrom: { secretKeyRef: { name: `${user.username}-nb`, key } },
  });
  return [
    from('ACCESS_TOKEN', 'token'),
    from('NUBLADO_TOKEN', 'token'),
    ...secrets.flatMap(({ env, secretKey }) => (env === undefined ? [] : [from(env, secretKey)])),
  ];
}

function nodeName(name: string): V1EnvVar {
  return { name, valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } };
}

/** Python writes a float with its point, and memory in bytes. */
function sizeOf({ sizes }: NubladoLab, { size }: SiteCase) {
  const { limits, requests } = sizes.find((one) => one.size === size)!.resources;
  const python = (cpu: number) => (Number.isInteger(cpu) ? `${String(cpu)}.0` : String(cpu));
  const amounts = ({ cpu, memory }: typeof limits) => ({ cpu: python(cpu), memory: String(numberOf(memory)) });
  return {
    limits: amounts(limits),
    requests: amounts(requests),
    shown: `${python(limits.cpu)} CPU, ${limits.memory} RAM`,
  };
}

function resourcesOf(lab: NubladoLab, each: SiteCase) {
  const { limits, requests } = sizeOf(lab, each);
  return { limits, requests };
}

function homeOf({ homedirPrefix, homedirSchema, homedirSuffix }: NubladoLab, { user: { username } }: SiteCase): string {
  const parts = homedirSchema === 'username' ? [username] : [username.slice(0, 1), username];
  return [homedirPrefix, ...parts, ...(homedirSuffix === '' ? [] : [homedirSuffix])].join('/');
}

function environment({ lab, repository }: Site, each: SiteCase, given: Given): Record<string, string> {
  const { limits, requests, shown } = sizeOf(lab, each);
  const reference = `${repository}:${each.tag}@${DIGEST}`;
  return {
    ...given.hubEnv,
    ...(each.debug ? { DEBUG: 'TRUE' } : {}),
    ...(each.reset ? { RESET_USER_ENV: 'TRUE' } : {}),
    JUPYTER_IMAGE: reference,
    JUPYTER_IMAGE_SPEC: reference,
    IMAGE_DESCRIPTION: displayName(each.tag),
    IMAGE_DIGEST: DIGEST,
    CONTAINER_SIZE: `${capitalize(each.size)} (${shown})`,
    CPU_GUARANTEE: requests.cpu,
    CPU_LIMIT: limits.cpu,
    MEM_GUARANTEE: requests.memory,
    MEM_LIMIT: limits.memory,
    JUPYTERHUB_ACTIVITY_INTERVAL: String(3600 * Number(lab.activityInterval.replace('h', ''))),
    EXTERNAL_INSTANCE_URL: given.baseUrl,
    JUPYTERLAB_CONFIG_DIR: lab.jupyterlabConfigDir,
    JUPYTERLAB_START_COMMAND: lab.labStartCommand.join(' '),
    NUBLADO_RUNTIME_MOUNTS_DIR: lab.runtimeMountsDir,
    REPERTOIRE_BASE_URL: given.repertoireUrl,
    ...lab.env,
  };
}

function secretOf({ token, secrets }: Given): Record<string, string> {
  return { token: Buffer.from(token).toString('base64'), ...secrets };
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

function contentsOf(lab: NubladoLab, each: SiteCase, { discovery }: Given) {
  const { username, name, uid, gid, groups } = each.user;
  const passwd = `${username}:x:${String(uid)}:${String(gid)}:${name ?? 'None'}:${homeOf(lab, each)}:/bin/bash\n`;
  const group = groups.map(({ name: of, id }) => `${of}:x:${String(id)}:${id === gid ? '' : username}\n`).join('');
  const own = Object.entries(lab.files).map(([path, text]): [string, Content] => [fileKey(path), { text }]);
  return {
    nss: { passwd: { text: lab.nss.basePasswd + passwd }, group: { text: lab.nss.baseGroup + group } },
    own: { ...Object.fromEntries(own), 'discovery-v1-json': { data: discovery } },
  };
}

/** What Nublado calls a tag: goldens of its own are in test/domain/image/tags. */
function displayName(tag: string): string {
  const rules = {
    grammar: 'rubin',
    recommended: tag,
    aliases: [],
    pinned: [],
    kinds: {},
    include: [],
    exclude: [],
    deprecated: [],
  } as const;
  return arrangeTags([{ tag, digest: null }], rules, 0).tags[0]?.title ?? tag;
}
