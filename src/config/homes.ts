import { showMemory } from '../util/quantities.ts';
import type { LabConfig, VolumeConfig } from './config.ts';

/** Where users write what is theirs, and what becomes of it. */
export interface Homes {
  /** The home directory in a lab, with placeholders: `/home/{username}`. */
  readonly directory: string;
  /** What it is on: `the claim "home" of each lab (10Gi)`. */
  readonly on: string;
  /** Whether it is there at the next start. */
  readonly isKept: boolean;
  /** The key that decides it. */
  readonly key: string;
}

/** Where homes are by the settings of all labs; those of overlays, sizes and images may say something else. */
export function describeHomes({ home, volumes, volumeMounts }: LabConfig): Homes {
  const name = home.schema === 'initialThenUsername' ? '{initial}/{username}' : '{username}';
  const directory = home.schema === 'image' ? home.prefix : [home.prefix, name, home.suffix].filter(Boolean).join('/');
  const covering = volumeMounts
    .map((mount, index) => ({ ...mount, index }))
    .filter(({ mountPath }) => `${directory}/`.startsWith(`${mountPath}/`))
    .sort((left, right) => right.mountPath.length - left.mountPath.length)[0];
  const key = home.volume === undefined ? covering && `lab.volumeMounts[${String(covering.index)}]` : 'lab.home.volume';
  const volume = volumes.find((each) => each.name === (home.volume ?? covering?.name));
  if (key === undefined || volume === undefined) {
    const on = home.schema === 'image' ? 'the file system of the lab' : 'an empty directory';
    return { directory, on, isKept: false, key: 'lab.home.volume, lab.volumeMounts' };
  }
  const part = home.volume === undefined ? covering?.subPath : undefined;
  return { directory, on: `${whatIs(volume)}${part === undefined ? '' : `, at ${part}`}`, isKept: isKept(volume), key };
}

function isKept({ emptyDir, persistentVolumeClaim: claim, configMap, secret }: VolumeConfig): boolean {
  return emptyDir === undefined && configMap === undefined && secret === undefined && claim?.retain !== false;
}

function whatIs(volume: VolumeConfig): string {
  const { name, nfs, hostPath, persistentVolumeClaim: claim, persistentVolume: made, emptyDir } = volume;
  if (nfs !== undefined) return `NFS ${nfs.server}:${nfs.path}`;
  if (hostPath !== undefined) return `${hostPath.path} of the machine that the lab runs on`;
  if (made?.nfs !== undefined) return `NFS ${made.nfs.server}:${made.nfs.path}`;
  if (made?.csi !== undefined) return `${made.csi.volumeHandle} of ${made.csi.driver}`;
  if (claim?.storage !== undefined) {
    const kind = [showMemory(claim.storage), claim.storageClassName].filter(Boolean).join(', ');
    const what = claim.claimName === undefined ? `the claim "${name}" of each lab` : `the claim ${claim.claimName}`;
    return `${what} (${kind})`;
  }
  if (claim?.claimName !== undefined) return `the claim ${claim.claimName} that is there`;
  return emptyDir === undefined ? `the volume "${name}"` : `the empty directory "${name}"`;
}
