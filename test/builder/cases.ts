import { readFile } from 'node:fs/promises';
import { placeOf } from '../../src/builder/lab/place.ts';
import { LabBuilder, type LabInput, type LabObjects } from '../../src/builder/lab/lab-builder.ts';
import {
  layCompute,
  parseConfig,
  profileLayers,
  repositoryOf,
  resolveQuota,
  sizeResources,
  type Config,
} from '../../src/config/index.ts';
import type { ChosenProfile } from '../../src/domain/lab/lab.ts';
import type { LabUser } from '../../src/domain/user/user.ts';

const EXAMPLES = new URL('../../deploy/examples/', import.meta.url);

/** A configuration that is shipped as an example. */
export async function exampleConfig(name: 'minimal' | 'full'): Promise<Config> {
  return parseConfig(await readFile(new URL(`${name}.yaml`, EXAMPLES), 'utf8'), name);
}

/** The ten-line configuration with another `lab`, given as YAML of its keys. */
export function configWithLab(lab: string): Config {
  const sizes = 'sizes: [{ name: small, cpu: 1, memory: 3Gi, cpuRequest: 250m, memoryRequest: 1Gi }]';
  const settings = /^sizes:/m.test(lab) ? lab : `${sizes}\n${lab}`;
  return parseConfig(`
baseUrl: https://hub.example.org
auth: { proxyHeaders: { trustedAddresses: [127.0.0.1/32] } }
images: { list: [{ reference: "example.org/lab:1" }] }
lab:
${settings.trim().replaceAll(/^/gm, '  ')}
`);
}

export function aUser(changes: Partial<LabUser> = {}): LabUser {
  return {
    username: 'rachel',
    name: 'Rachel Carson',
    uid: 1101,
    gid: 1101,
    groups: [
      { name: 'rachel', id: 1101 },
      { name: 'lunatics', id: 2028 },
    ],
    ...changes,
  };
}

export interface LabChanges {
  readonly user?: Partial<LabUser>;
  readonly servername?: string;
  readonly size?: string;
  readonly overlays?: readonly string[];
  readonly profile?: ChosenProfile;
  /** Reference of the image, which need not be listed; the first when absent. */
  readonly image?: string;
  readonly debug?: boolean;
  readonly reset?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly token?: string | null;
  readonly data?: Readonly<Record<string, string>>;
  readonly pullSecret?: LabInput['pullSecret'];
}

/** What a spawn hands to the builder, as the REST API would have resolved it. */
export function aLabInput(config: Config, changes: LabChanges = {}): LabInput {
  const user = aUser(changes.user);
  const servername = changes.servername ?? '';
  const servicePrefix = `/user/${encodeURIComponent(user.username)}/${servername === '' ? '' : `${encodeURIComponent(servername)}/`}`;
  const size = config.lab.sizes.find(({ name }) => name === (changes.size ?? config.lab.defaultSize))!;
  const [source] = config.images.sources;
  const first = config.images.list[0] ?? {
    reference: `${repositoryOf(source!)}:${source!.tags.recommended}`,
    name: undefined,
  };
  const { reference, name } =
    config.images.list.find((image) => image.reference === changes.image) ??
    (changes.image === undefined ? first : { reference: changes.image, name: undefined });
  const isListed = config.images.list.some((image) => image.reference === reference);
  const origin = isListed || source === undefined ? {} : { origin: source.name };
  const image = { reference, name: name ?? reference, digest: '', ...origin };
  const lab: LabInput['lab'] = {
    spawnId: '0f6a1c52d3b84e97',
    user,
    servername,
    ...placeOf(config.lab, 'labwright', { user, servername }),
    options: {
      size: size.name,
      enable_debug: changes.debug ?? false,
      reset_user_env: changes.reset ?? false,
      image: reference,
    },
    image,
    ...(changes.overlays === undefined ? {} : { overlays: changes.overlays }),
    ...(changes.profile === undefined ? {} : { profile: changes.profile }),
    ...layCompute(
      { resources: sizeResources(size), extendedResources: size.extendedResources },
      profileLayers(config.lab.profiles, changes.profile),
    ),
    quota: resolveQuota(config, user),
    servicePrefix,
    createdAt: 1_795_000_000_000,
    deadline: 1_795_000_600_000,
  };
  const env = {
    JUPYTERHUB_API_TOKEN: 'a-placeholder',
    JUPYTERHUB_SERVICE_PREFIX: servicePrefix,
    JUPYTERHUB_SERVICE_URL: `http://0.0.0.0:8888${servicePrefix}`,
  };
  return {
    user,
    lab,
    image,
    secrets: {
      env: { ...env, ...changes.env },
      token: changes.token === undefined ? 'token-of-rachel' : changes.token,
      data: changes.data ?? {},
    },
    pullSecret: changes.pullSecret ?? null,
  };
}

export function buildWith(config: Config, changes: LabChanges = {}): LabObjects {
  const builder = new LabBuilder(config, 'labwright');
  return builder.buildLab(aLabInput(config, changes));
}

/** The configuration that is shipped for labs in one namespace. */
async function sharedConfig(): Promise<Config> {
  const file = new URL('../kubernetes-shared/config.yaml', EXAMPLES);
  return parseConfig(await readFile(file, 'utf8'), 'kubernetes-shared');
}

/** Every lab that has a golden file, by the name of the file. */
export async function goldenLabs(): Promise<Record<string, LabObjects>> {
  const minimal = await exampleConfig('minimal');
  const full = await exampleConfig('full');
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const gpu = configWithLab(`
sizes: [{ name: gpu, cpu: 8, memory: 64G, cpuRequest: 1500m, extendedResources: { nvidia.com/gpu: 2 } }]
nodeSelector: { example.org/gpu: large }
tolerations: [{ key: nvidia.com/gpu, operator: Exists, effect: NoSchedule }]
`);
  const hostile = (username: string) => buildWith(minimal, { user: { username, name: null } });
  return {
    default: buildWith(minimal),
    everything: buildWith(full, {
      user: { groups: [...aUser().groups, { name: 'analysts', id: 5001 }] },
      debug: true,
      reset: true,
      env: {
        EXTERNAL_INSTANCE_URL: 'https://overridden.example.org',
        NO_ACTIVITY_TIMEOUT: 'overridden',
        LC_ALL: 'C.UTF-8',
      },
      data: { 'postgres.pass': base64('postgres-placeholder'), 's3-key': base64('s3-placeholder') },
      pullSecret: { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': base64('{"auths":{}}') } },
    }),
    'without-token': buildWith(minimal, { token: null }),
    'signed-token': buildWith(
      configWithLab(`
token: { source: signed }
runtimeMountsDir: /etc/nublado
secrets: [{ secretName: lab-credentials, secretKey: key, path: /etc/labs/key }]
`),
      { token: 'signed-token-placeholder', data: { key: base64('key-placeholder') } },
    ),
    'shared-namespace': buildWith(await sharedConfig(), { servername: 'gpu' }),
    'shared-claim': buildWith(
      configWithLab(`
namespaces: shared
namespace: hub
files: { /etc/motd: { text: Hello, mode: "0600" } }
runtimeMountsDir: /etc/nublado
secrets: [{ secretName: lab-credentials, secretKey: key, path: /etc/labs/key, env: KEY }]
serviceAccount: { name: notebooks }
volumes: [{ name: homes, persistentVolumeClaim: { claimName: home-nfs } }]
volumeMounts: [{ name: homes, mountPath: /home/rachel, subPath: "{escaped_username}" }]
`),
      { data: { key: base64('key-placeholder') } },
    ),
    'extra-objects': buildWith(
      configWithLab(`
namespaces: shared
namespace: hub
serviceAccount: { name: "notebook-{slug}" }
extraObjects:
  - { apiVersion: v1, kind: ServiceAccount, metadata: { name: "notebook-{slug}", annotations: { example.org/role: "{username}" } } }
  - { apiVersion: v1, kind: Secret, metadata: { name: "settings-{slug}" }, data: { plain: dGV4dA== } }
  - { apiVersion: v1, kind: ConfigMap, metadata: { name: "hello-{slug}" }, data: { text: "Hello {unescaped_username}" } }
`),
    ),
    'hostile-unicode': hostile('Ünï çødé/../☃:💥\n'),
    'hostile-long': hostile('x'.repeat(200)),
    'hostile-double-dash': hostile('a--b'),
    'hostile-single-dash': hostile('a-b'),
    'hostile-at-site': hostile('user@site'),
    'hostile-upper-case': hostile('Rachel'),
    'display-name': buildWith(minimal, {
      user: { name: 'Rachel: "Silent\nSpring"\r\u0000\u2028 Carson', groups: [{ name: 'sea: around,us', id: 2029 }] },
    }),
    'retained-home': buildWith(
      configWithLab(`
volumes: [{ name: home, persistentVolumeClaim: { storage: 10Gi, retain: true } }]
home: { volume: home }
`),
    ),
    'named-server': buildWith(minimal, { servername: 'gpu Work' }),
    'gpu-size': buildWith(gpu, { size: 'gpu' }),
  };
}
