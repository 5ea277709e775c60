import type { V1SecretVolumeSource, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { LabConfig, VolumeConfig, VolumeMountConfig } from '../../config/config.ts';
import { TOKEN_DIRECTORY } from '../../domain/lab/lab.ts';
import { claimNameOf } from './claims.ts';
import { isShared, type BuildContext } from './context.ts';
import { hasSignedToken, TOKEN_KEY } from './environment.ts';
import { homeDirectory } from './home.ts';
import { formatMemory } from '../../util/quantities.ts';
import { fileMounts, filesVolume } from './user-files.ts';
import { copyOf, defined } from '../values.ts';

const HOME_VOLUME = 'lab-home';
const TMP_VOLUME = 'lab-tmp';
const SECRETS_VOLUME = 'lab-secrets';
const TOKEN_VOLUME = 'lab-token';
const ACCOUNT_TOKEN_VOLUME = 'lab-account-token';
const ENV_VOLUME = 'lab-env';
const RUNTIME_VOLUME = 'lab-runtime';

/** The volumes of the pod. */
export function buildVolumes(context: BuildContext): V1Volume[] {
  const { config, names, user } = context;
  const runtime = config.runtimeMountsDir !== undefined;
  return [
    ...config.volumes.map((volume) => buildVolume(volume, context)),
    ...(needsEmptyHome(config, homeDirectory(config, user)) ? [{ name: HOME_VOLUME, emptyDir: {} }] : []),
    { name: TMP_VOLUME, emptyDir: tmpSource(context) },
    filesVolume(context),
    ...(usesSecretFiles(context) ? [{ name: SECRETS_VOLUME, secret: secretFiles(context) }] : []),
    ...(hasSignedToken(context) ? [tokenVolume(names.secret)] : []),
    ...accountTokenVolumes(config),
    ...(runtime ? [{ name: ENV_VOLUME, secret: { secretName: names.envSecret, defaultMode: 0o444 } }] : []),
    ...(runtime
      ? [{ name: RUNTIME_VOLUME, downwardAPI: { defaultMode: 0o444, items: resourceFiles(names.container) } }]
      : []),
  ];
}

/**
 * What the lab sees where, or a container that sees the same beside mounts of its own. A mount of the configuration wins over one
 * that Labwright would add at the same path, and one's own over both.
 */
export function buildLabMounts(context: BuildContext, own: readonly VolumeMountConfig[] = []): V1VolumeMount[] {
  const { config } = context;
  const taken = new Set(own.map(({ mountPath }) => mountPath));
  const configured = [...own, ...config.volumeMounts.filter(({ mountPath }) => !taken.has(mountPath))];
  const secrets = config.secrets.flatMap(({ path, secretKey }) =>
    path === undefined ? [] : [{ name: SECRETS_VOLUME, mountPath: path, subPath: secretKey, readOnly: true }],
  );
  // Not by subPath: the kubelet replaces files in a directory only.
  const token = hasSignedToken(context) ? [{ name: TOKEN_VOLUME, mountPath: TOKEN_DIRECTORY, readOnly: true }] : [];
  const account = accountTokenDirectories(config).map(({ directory, name }) => ({
    ...{ name, mountPath: directory, readOnly: true },
  }));
  const added = [...fileMounts(config), ...runtimeMounts(context), ...secrets, ...token, ...account];
  return [...scratchMounts(context, configured), ...added.filter(({ mountPath }) => !taken.has(mountPath))];
}

/** Mounts of the configuration, the home directory and /tmp. */
export function scratchMounts(context: BuildContext, mounts: readonly VolumeMountConfig[]): V1VolumeMount[] {
  const { config, user } = context;
  const home = homeDirectory(config, user);
  const homeVolume = config.home.volume ?? (needsEmptyHome(config, home) ? HOME_VOLUME : undefined);
  const added = [
    ...(homeVolume === undefined ? [] : [{ name: homeVolume, mountPath: home }]),
    { name: TMP_VOLUME, mountPath: '/tmp' },
  ];
  const taken = new Set(mounts.map(({ mountPath }) => mountPath));
  return [...mounts.map(buildMount), ...added.filter(({ mountPath }) => !taken.has(mountPath))];
}

/** Whether nothing of the configuration is where the home directory is: any uid must be able to write there. */
function needsEmptyHome({ home, volumeMounts }: LabConfig, directory: string): boolean {
  if (home.volume !== undefined || home.schema === 'image') return false;
  return !volumeMounts.some(({ mountPath }) => `${directory}/`.startsWith(`${mountPath}/`));
}

function runtimeMounts(context: BuildContext): V1VolumeMount[] {
  const directory = context.config.runtimeMountsDir;
  if (directory === undefined) return [];
  return [
    ...(usesSecretFiles(context) ? [{ name: SECRETS_VOLUME, mountPath: `${directory}/secrets`, readOnly: true }] : []),
    { name: ENV_VOLUME, mountPath: `${directory}/environment`, readOnly: true },
    { name: RUNTIME_VOLUME, mountPath: `${directory}/runtime`, readOnly: true },
  ];
}

/** Whether the lab's Secret is there and somebody reads it as files. */
function usesSecretFiles({ config, secrets }: BuildContext): boolean {
  const exists = secrets.token !== null || Object.keys(secrets.data).length > 0;
  return exists && (config.runtimeMountsDir !== undefined || config.secrets.some(({ path }) => path !== undefined));
}

/**
 * Tokens of the lab's service account, for others than the API server. Each directory is a volume: the kubelet renews what is in it,
 * which it would not do for a single file.
 */
function accountTokenVolumes(config: LabConfig): V1Volume[] {
  return accountTokenDirectories(config).map(({ name, tokens }) => ({
    name,
    projected: {
      defaultMode: 0o444,
      sources: tokens.map(({ path, audience, lifetime }) => ({
        serviceAccountToken: {
          audience,
          expirationSeconds: Math.ceil(lifetime / 1000),
          path: path.slice(path.lastIndexOf('/') + 1),
        },
      })),
    },
  }));
}

function accountTokenDirectories({ serviceAccount: { tokens } }: LabConfig) {
  const byDirectory = Map.groupBy(tokens, ({ path }) => path.slice(0, path.lastIndexOf('/')));
  return [...byDirectory].map(([directory, list], index) => ({
    ...{ name: `${ACCOUNT_TOKEN_VOLUME}-${String(index)}`, directory, tokens: list },
  }));
}

/** What is secret of the lab's Secret, which holds the files, too, in a namespace that labs share. */
function secretFiles(context: BuildContext): V1SecretVolumeSource {
  const { names, secrets } = context;
  const keys = [...Object.keys(secrets.data), ...(secrets.token === null ? [] : [TOKEN_KEY])];
  const source = { secretName: names.secret, defaultMode: 0o444 };
  return isShared(context) ? { ...source, items: keys.map((key) => ({ key, path: key })) } : source;
}

/** The token alone, without the copied secrets that are in the same Secret. */
function tokenVolume(secretName: string): V1Volume {
  const items = [{ key: TOKEN_KEY, path: TOKEN_KEY }];
  return { name: TOKEN_VOLUME, secret: { secretName, defaultMode: 0o444, items } };
}

function tmpSource({ config, lab }: BuildContext) {
  const { medium, sizeLimit } = config.tmp;
  if (medium === 'disk') return defined({ sizeLimit: sizeLimit === undefined ? undefined : formatMemory(sizeLimit) });
  return { medium: 'Memory', sizeLimit: formatMemory(sizeLimit ?? Math.ceil(lab.resources.limits.memory / 4)) };
}

/** The lab's resources as files, under the names Nublado's labs read. */
function resourceFiles(containerName: string) {
  return ['limits.cpu', 'requests.cpu', 'limits.memory', 'requests.memory'].map((resource) => ({
    path: resource.replace('.', '_'),
    resourceFieldRef: { containerName, resource },
  }));
}

function buildVolume(volume: VolumeConfig, { lab }: BuildContext): V1Volume {
  const { name, hostPath, nfs, persistentVolumeClaim, persistentVolume, emptyDir, configMap, secret } = volume;
  const claimName = claimNameOf(volume, lab);
  return defined({
    name,
    hostPath: hostPath && copyOf(hostPath),
    nfs: nfs && copyOf(nfs),
    persistentVolumeClaim:
      persistentVolume === undefined
        ? persistentVolumeClaim && defined({ claimName, readOnly: persistentVolumeClaim.readOnly })
        : { claimName },
    emptyDir:
      emptyDir &&
      defined({
        medium: emptyDir.medium,
        sizeLimit: emptyDir.sizeLimit === undefined ? undefined : formatMemory(emptyDir.sizeLimit),
      }),
    configMap: configMap && copyOf(configMap),
    secret: secret && copyOf(secret),
  });
}

function buildMount({ name, mountPath, subPath, readOnly }: VolumeMountConfig): V1VolumeMount {
  return defined({ name, mountPath, subPath, readOnly: readOnly ? true : undefined });
}
