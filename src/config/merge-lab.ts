import { extraObjectKey } from './extra-objects.ts';
import { composePatches } from '../util/merge-patch.ts';
import type { ParsedLab } from './lab.ts';
import type { LabOverlay } from './lab-overlay.ts';
import { strictestLevel } from './pod-security.ts';

/** `lab` with other settings laid over it. Pod Security becomes what they ask for. */
export function mergeLab<Lab extends ParsedLab>(lab: Lab, over: LabOverlay): Lab {
  const merged = {
    ...lab,
    ...over,
    env: { ...lab.env, ...over.env },
    files: { ...lab.files, ...over.files },
    nodeSelector: { ...lab.nodeSelector, ...over.nodeSelector },
    extraLabels: { ...lab.extraLabels, ...over.extraLabels },
    extraAnnotations: { ...lab.extraAnnotations, ...over.extraAnnotations },
    namespaceAnnotations: { ...lab.namespaceAnnotations, ...over.namespaceAnnotations },
    volumes: mergeList(lab.volumes, over.volumes, ({ name }) => name),
    volumeMounts: mergeList(lab.volumeMounts, over.volumeMounts, ({ mountPath }) => mountPath),
    initContainers: mergeList(lab.initContainers, over.initContainers, ({ name }) => name),
    sidecars: mergeList(lab.sidecars, over.sidecars, ({ name }) => name),
    extraObjects: mergeList(lab.extraObjects, over.extraObjects, extraObjectKey),
    podPatch: composePatches(lab.podPatch, over.podPatch ?? {}) as ParsedLab['podPatch'],
    tolerations: [...lab.tolerations, ...(over.tolerations ?? [])],
    topologySpreadConstraints: [...lab.topologySpreadConstraints, ...(over.topologySpreadConstraints ?? [])],
  };
  return { ...merged, podSecurity: strictestLevel(merged, lab.podSecurity) };
}

/** `lab` with what each of these has of its own, each over those before it. */
export function mergeLabs<Lab extends ParsedLab>(
  lab: Lab,
  over: readonly { readonly lab?: LabOverlay | undefined }[],
): Lab {
  return over.reduce((all, { lab: own }) => (own === undefined ? all : mergeLab(all, own)), lab);
}

/** Entries of the same key take the place of those before; others follow. */
function mergeList<T>(list: readonly T[], over: readonly T[] | undefined, keyOf: (entry: T) => string): readonly T[] {
  if (over === undefined) return list;
  const byKey = new Map([...list, ...over].map((entry) => [keyOf(entry), entry]));
  return [...byKey.values()];
}
