import type { V1PersistentVolumeClaim, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { NubladoLab, NubladoMount, NubladoVolume } from './sites.ts';

const STARTUP = '/etc/nublado/startup';

/** Key of a file in the ConfigMap with all of them. */
export function fileKey(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).replaceAll(/[_.]/g, '-');
}

/**
 * The volumes of the pod.
 *
 * @param memory limit of the lab, in bytes
 */
export function volumesOf(lab: NubladoLab, username: string, memory: number): V1Volume[] {
  const nss = (key: string) => ({
    name: key,
    configMap: { name: `${username}-nb-nss`, items: [{ key, path: key, mode: 0o644 }] },
  });
  const file = (key: string, path: string) => ({
    name: key,
    configMap: { name: `${username}-nb-files`, items: [{ key, path, mode: 0o644 }] },
  });
  const resources = ['limits.cpu', 'requests.cpu', 'limits.memory', 'requests.memory'];
  return [
    ...lab.volumes.map((volume) => volumeOf(volume, username)),
    nss('passwd'),
    nss('group'),
    ...Object.keys(lab.files).map((path) => file(fileKey(path), path.slice(path.lastIndexOf('/') + 1))),
    file('discovery-v1-json', 'v1.json'),
    { name: 'secrets', secret: { secretName: `${username}-nb` } },
    { name: 'env', configMap: { name: `${username}-nb-env` } },
    {
      name: 'tmp',
      emptyDir: {
        ...(lab.emptyDirSource === 'disk' ? {} : { medium: 'Memory' }),
        sizeLimit: String(Math.floor(memory / 4)),
      },
    },
    {
      name: 'runtime',
      downwardAPI: {
        items: resources.map((resource) => ({
          path: resource.replace('.', '_'),
          resourceFieldRef: { containerName: 'notebook', resource },
        })),
      },
    },
    { name: 'lab-startup', emptyDir: { medium: 'Memory', sizeLimit: '655360' } },
  ];
}

function volumeOf({ name, source }: NubladoVolume, username: string): V1Volume {
  switch (source.type) {
    case 'hostPath':
      return { name, hostPath: { path: source.path } };
    case 'nfs':
      return { name, nfs: { server: source.server, path: source.serverPath, readOnly: source.readOnly === true } };
    case 'persistentVolumeClaim':
      return {
        name,
        persistentVolumeClaim: { claimName: `${username}-nb-pvc-${name}`, readOnly: source.readOnly === true },
      };
  }
}

/** Claims are made for what the lab itself mounts. */
export function claimOf(
  { name, source }: NubladoVolume,
  { volumeMounts }: NubladoLab,
  username: string,
): V1PersistentVolumeClaim[] {
  if (source.type !== 'persistentVolumeClaim' || !volumeMounts.some(({ volumeName }) => volumeName === name)) return [];
  const { storageClassName, accessModes, resources } = source;
  return [{ metadata: { name: `${username}-nb-pvc-${name}` }, spec: { storageClassName, accessModes, resources } }];
}

export function mountOf({ containerPath, volumeName, subPath, readOnly }: NubladoMount): V1VolumeMount {
  return {
    mountPath: containerPath,
    name: volumeName,
    ...(subPath === undefined ? {} : { subPath }),
    readOnly: readOnly === true,
  };
}

/** @param isLab only what runs before the lab writes into the directory of the start-up */
export function mountsOf(lab: NubladoLab, isLab: boolean): V1VolumeMount[] {
  const readOnly = true;
  const runtime = lab.runtimeMountsDir;
  return [
    ...lab.volumeMounts.map(mountOf),
    ...['passwd', 'group'].map((name) => ({ name, mountPath: `/etc/${name}`, subPath: name, readOnly })),
    ...Object.keys(lab.files).map((path) => ({
      ...{ name: fileKey(path), mountPath: path, subPath: path.slice(path.lastIndexOf('/') + 1), readOnly },
    })),
    { name: 'discovery-v1-json', mountPath: '/etc/nublado/discovery/v1.json', subPath: 'v1.json', readOnly },
    { name: 'secrets', mountPath: `${runtime}/secrets`, readOnly },
    { name: 'env', mountPath: `${runtime}/environment`, readOnly },
    { name: 'tmp', mountPath: '/tmp', readOnly: false },
    { name: 'runtime', mountPath: `${runtime}/runtime`, readOnly },
    { name: 'lab-startup', mountPath: STARTUP, readOnly: isLab },
    ...lab.secrets.flatMap(({ path, secretKey }) =>
      path === undefined ? [] : [{ name: 'secrets', mountPath: path, subPath: secretKey, readOnly }],
    ),
  ];
}
