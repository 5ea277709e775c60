import { isRecord } from '../../util/is-record.ts';
import { compact, type Fragment, ofLab, type SlugScheme, withPlaceholders } from './pod-pieces.ts';
import type { Source, Table } from './source.ts';

/** Volumes that there are by name, and whether each is one of `lab.volumes` or patched into the pod. */
export type VolumeNames = ReadonlyMap<string, 'setting' | 'patch'>;

/**
 * What becomes of claims that the values name: where labs are in the namespace of the hub, they are there; elsewhere the export that the claim of
 * homes stands for is mounted, and no other.
 */
export type Claims = { readonly are: 'there' } | { readonly are: 'elsewhere'; readonly homes?: HomesClaim | undefined };

/** Which export a claim of the hub stands for. */
export interface HomesClaim {
  readonly claimName: string;
  readonly nfs: Table;
}

/** How volumes and what mounts them are read. */
export interface Pieces {
  readonly scheme: SlugScheme;
  readonly claims: Claims;
  /** Names of the volumes of all labs. */
  readonly volumes: VolumeNames;
}

const VOLUME_SOURCES = ['emptyDir', 'nfs', 'hostPath', 'configMap', 'secret'];
const CLAIM =
  'claims of the namespace of the hub cannot be mounted from the namespace of a lab: mount what is behind it (lab.volumes[].nfs), or give each ' +
  'lab a claim of its own (lab.volumes[].persistentVolumeClaim)';
const KNOWN_FIELDS: Readonly<Record<string, readonly string[]>> = {
  emptyDir: ['medium', 'sizeLimit'],
  nfs: ['server', 'path', 'readOnly'],
  hostPath: ['path', 'type'],
  configMap: ['name', 'optional'],
  secret: ['secretName', 'optional'],
};

/** Volumes, as a list or by any key. What there is no setting for goes into the patch of the pod. */
export function importVolumes(
  source: Source,
  to: string,
  { claims, scheme }: Pick<Pieces, 'claims' | 'scheme'>,
): { fragment: Fragment; names: VolumeNames } {
  const volumes: Table[] = [];
  const patched: Table[] = [];
  for (const [, entry] of source.entries()) {
    const volume = withPlaceholders(entry.value, scheme);
    if (!isRecord(volume)) continue;
    const claim = entry.at('persistentVolumeClaim');
    const readOnly = claim?.at('readOnly')?.value === true ? { readOnly: true } : {};
    const homes = claims.are === 'elsewhere' ? claims.homes : undefined;
    if (claim !== undefined && claims.are === 'there') {
      entry.mapped(`${to}.volumes`);
      const claimName = withPlaceholders(claim.at('claimName')?.value ?? null, scheme);
      volumes.push({ name: volume['name'], persistentVolumeClaim: { claimName, ...readOnly } });
    } else if (claim !== undefined && homes !== undefined && homes.claimName === claim.at('claimName')?.text()) {
      entry.remarked(`${to}.volumes`, 'the claim of the homes: the export that it stands for is mounted itself');
      volumes.push({ name: volume['name'], nfs: { ...homes.nfs, ...readOnly } });
    } else if (claim !== undefined) entry.lost(CLAIM);
    else if (VOLUME_SOURCES.some((name) => isPlain(volume, name))) {
      entry.mapped(`${to}.volumes`);
      volumes.push(volume);
    } else {
      entry.remarked(`${to}.podPatch.volumes`, 'there is no setting for it: it is patched into the pod');
      patched.push(volume);
    }
  }
  return {
    fragment: compact({ volumes, podPatch: compact({ volumes: patched }) }),
    names: namesOf(volumes, patched),
  };
}

export function namesOf(volumes: readonly Table[], patched: readonly Table[] = []): VolumeNames {
  return new Map([
    ...volumes.map(({ name }) => [String(name), 'setting'] as const),
    ...patched.map(({ name }) => [String(name), 'patch'] as const),
  ]);
}

function isPlain(volume: Table, name: string): boolean {
  const inside = volume[name];
  return isRecord(inside) && Object.keys(inside).every((key) => KNOWN_FIELDS[name]?.includes(key) === true);
}

/** Mounts of volumes that are there: those that are settings, and what has to be patched into the container. */
export interface Mounts {
  readonly mounts: Table[];
  readonly patch: Table[];
}

/** Mounts, as a list or by any key. */
export function importMounts(source: Source, to: string, names: VolumeNames, scheme: SlugScheme): Mounts {
  const found: Mounts = { mounts: [], patch: [] };
  for (const [, entry] of source.entries()) {
    const { name, mountPath, subPath, readOnly, ...more } = isRecord(entry.value) ? entry.value : {};
    const kind = typeof name === 'string' ? names.get(name) : undefined;
    if (kind === undefined) {
      entry.lost('its volume is not there');
      continue;
    }
    const path = withPlaceholders(
      typeof mountPath === 'string' ? mountPath.replace(/(?<=.)\/+$/, '') : mountPath,
      scheme,
    );
    const mount = {
      ...{ name, mountPath: path },
      ...(subPath === undefined || subPath === '' ? {} : { subPath: withPlaceholders(subPath, scheme) }),
      ...(readOnly === true ? { readOnly } : {}),
    };
    const extra = withPlaceholders(more, scheme) as Table;
    const others = Object.keys(more);
    if (kind === 'patch') {
      entry.remarked(`${to.replace(/\.volumeMounts$/, '')}.podPatch`, 'as its volume, it is patched into the pod');
      found.patch.push({ ...mount, ...extra });
      continue;
    }
    found.mounts.push(mount);
    if (others.length === 0) entry.mapped(to);
    else {
      entry.remarked(to, `${others.join(', ')}: patched into the pod`);
      found.patch.push({ name, mountPath: path, ...extra });
    }
  }
  return found;
}

/** Mounts of a container that is written as in Kubernetes: only those of patched volumes have to be patched into it. */
export function sidecarMounts(source: Source, to: string, names: VolumeNames, scheme: SlugScheme): Mounts {
  const { mounts, patch } = importMounts(source, to, names, scheme);
  const isSetting = ({ name }: Table) => names.get(String(name)) === 'setting';
  const whole = mounts.map((mount) => ({
    ...mount,
    ...patch.find(({ mountPath }) => mountPath === mount['mountPath']),
  }));
  return { mounts: whole, patch: patch.filter((mount) => !isSetting(mount)) };
}

/** The mounts of the lab itself. */
export function importLabMounts(source: Source, to: string, names: VolumeNames, scheme: SlugScheme): Fragment {
  const { mounts, patch } = importMounts(source, `${to}.volumeMounts`, names, scheme);
  return compact({ volumeMounts: mounts, podPatch: ofLab({ volumeMounts: patch }) });
}
