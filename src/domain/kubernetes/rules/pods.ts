import type {
  V1Container,
  V1EmptyDirVolumeSource,
  V1HostPathVolumeSource,
  V1KeyToPath,
  V1NFSVolumeSource,
  V1PodSpec,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import { repeated } from '../../../util/repeated.ts';
import { EXPECTED, isDnsLabel, isLabelValue, isQualifiedName } from '../names.ts';
import { parseQuantity } from '../quantity.ts';
import { oneOf, type ReportFault, type Rule, ruleFor } from './rule.ts';

const MODE = 'expected a mode from 0 to 0777';
const HOST_PATH_TYPES = [
  ...['', 'DirectoryOrCreate', 'Directory', 'FileOrCreate', 'File', 'Socket', 'CharDevice', 'BlockDevice'],
];

/** Volumes, and what holds between the parts of a pod: as in ValidatePodSpec of Kubernetes. */
export const PODS: Readonly<Record<string, Rule>> = {
  Volume: ruleFor<V1Volume>(({ name, ...sources }, report) => {
    if (!isDnsLabel(name)) report(['name'], EXPECTED.dnsLabel);
    if (Object.keys(sources).length > 1) report([], 'expected one source only');
  }),
  HostPathVolumeSource: ruleFor<V1HostPathVolumeSource>(({ path, type }, report) => {
    if (path === '' || hasBackstep(path)) report(['path'], 'expected a path without ..');
    oneOf(type, HOST_PATH_TYPES, report, 'type');
  }),
  NFSVolumeSource: ruleFor<V1NFSVolumeSource>(({ server, path }, report) => {
    if (server === '') report(['server'], 'expected a host');
    if (!path.startsWith('/')) report(['path'], 'expected an absolute path');
  }),
  EmptyDirVolumeSource: ruleFor<V1EmptyDirVolumeSource>(({ sizeLimit }, report) => {
    if ((parseQuantity(sizeLimit) ?? 0) < 0) report(['sizeLimit'], EXPECTED.quantity);
  }),
  KeyToPath: ruleFor<V1KeyToPath>(({ key, path, mode }, report) => {
    if (key === '') report(['key'], 'missing');
    if (path === '' || path.startsWith('..') || isAbsolute(path) || hasBackstep(path)) report(['path'], RELATIVE);
    if (!isMode(mode)) report(['mode'], MODE);
  }),
  SecretVolumeSource: ruleFor<{ secretName?: string; defaultMode?: number }>(
    ({ secretName = '', defaultMode }, report) => {
      if (secretName === '') report(['secretName'], 'missing');
      if (!isMode(defaultMode)) report(['defaultMode'], MODE);
    },
  ),
  ConfigMapVolumeSource: ruleFor<{ name?: string; defaultMode?: number }>(({ name = '', defaultMode }, report) => {
    if (name === '') report(['name'], 'missing');
    if (!isMode(defaultMode)) report(['defaultMode'], MODE);
  }),
  PersistentVolumeClaimVolumeSource: ruleFor<{ claimName: string }>(({ claimName }, report) => {
    if (claimName === '') report(['claimName'], 'missing');
  }),
  VolumeMount: ruleFor<V1VolumeMount>(({ name, mountPath, subPath = '', subPathExpr = '' }, report) => {
    if (name === '') report(['name'], 'missing');
    if (mountPath === '') report(['mountPath'], 'missing');
    if (subPath !== '' && (isAbsolute(subPath) || hasBackstep(subPath))) report(['subPath'], RELATIVE);
    if (subPathExpr !== '' && (isAbsolute(subPathExpr) || hasBackstep(subPathExpr))) report(['subPathExpr'], RELATIVE);
    if (subPath !== '' && subPathExpr !== '') report(['subPathExpr'], 'expected either subPath or subPathExpr');
  }),
  PodSpec: ruleFor<V1PodSpec>(checkPodSpec),
};

const RELATIVE = 'expected a relative path without ..';

function checkPodSpec(spec: V1PodSpec, report: ReportFault): void {
  const { containers, initContainers = [], volumes = [], nodeSelector = {}, topologySpreadConstraints = [] } = spec;
  if (containers.length === 0) report(['containers'], 'expected at least one entry');
  repeated(volumes.map(({ name }) => name)).forEach((index) => {
    report(['volumes', index, 'name'], 'expected another name: it is already there');
  });
  // The lab comes first: what is named as it is has to change.
  const named = [
    ...containers.map(({ name }, index) => ({ name, path: ['containers', index] as const })),
    ...initContainers.map(({ name }, index) => ({ name, path: ['initContainers', index] as const })),
  ];
  repeated(named.map(({ name }) => name)).forEach((index) => {
    report([...(named[index]?.path ?? []), 'name'], 'expected another name: it is already there');
  });
  const known = new Set(volumes.map(({ name }) => name));
  for (const [field, list] of [
    ['containers', containers],
    ['initContainers', initContainers],
  ] as const) {
    checkMounts(list, field, known, report);
    list.forEach(({ securityContext }, index) => {
      if (securityContext?.procMount === 'Unmasked' && spec.hostUsers !== false) {
        report([field, index, 'securityContext', 'procMount'], 'expected Default unless hostUsers is false');
      }
    });
  }
  for (const [key, value] of Object.entries(nodeSelector)) {
    if (!isQualifiedName(key)) report(['nodeSelector', key], EXPECTED.qualifiedName);
    if (!isLabelValue(value)) report(['nodeSelector', key], EXPECTED.labelValue);
  }
  repeated(topologySpreadConstraints.map((each) => `${each.topologyKey} ${each.whenUnsatisfiable}`)).forEach(
    (index) => {
      report(
        ['topologySpreadConstraints', index],
        'expected another topologyKey or whenUnsatisfiable: both are already there',
      );
    },
  );
}

function checkMounts(
  containers: readonly V1Container[],
  field: string,
  known: ReadonlySet<string>,
  report: ReportFault,
): void {
  containers.forEach(({ volumeMounts = [] }, container) => {
    volumeMounts.forEach(({ name }, index) => {
      if (!known.has(name)) report([field, container, 'volumeMounts', index, 'name'], 'expected the name of a volume');
    });
  });
}

function hasBackstep(path: string): boolean {
  return path.split('/').includes('..');
}

function isAbsolute(path: string): boolean {
  return path.startsWith('/');
}

function isMode(mode: number | undefined): boolean {
  return mode === undefined || (mode >= 0 && mode <= 0o777);
}
