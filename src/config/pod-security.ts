import { LAB_CONTAINER } from '../domain/lab/pod.ts';
import { isRecord } from '../util/is-record.ts';
import { mergePatch } from '../util/merge-patch.ts';
import type { Report } from './cross-check.ts';

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/ */
export type PodSecurity = 'restricted' | 'baseline' | 'privileged';

type Table = Readonly<Record<string, unknown>>;
type Path = readonly (string | number)[];

/** What of `lab` a pod's level depends on. */
export interface SecuritySettings {
  readonly volumes: readonly { readonly hostPath?: object | undefined; readonly nfs?: object | undefined }[];
  readonly initContainers: readonly {
    readonly name: string;
    readonly privileged: boolean;
    readonly runAsRoot: boolean;
  }[];
  readonly sidecars: readonly { readonly name: string }[];
  readonly podPatch: Table;
}

/** A key that asks for more than `restricted`. */
export interface Demand {
  readonly level: PodSecurity;
  /** Below `lab`. */
  readonly path: Path;
}

const LEVELS: readonly PodSecurity[] = ['restricted', 'baseline', 'privileged'];

/** What asks for more than `restricted`, key by key. */
export function securityDemands({ volumes, initContainers, sidecars, podPatch }: SecuritySettings): Demand[] {
  const found: Demand[] = [];
  volumes.forEach((volume, index) => {
    if (volume.hostPath !== undefined) found.push({ level: 'privileged', path: ['volumes', index, 'hostPath'] });
    if (volume.nfs !== undefined) found.push({ level: 'baseline', path: ['volumes', index, 'nfs'] });
  });
  initContainers.forEach(({ privileged, runAsRoot }, index) => {
    if (privileged) found.push({ level: 'privileged', path: ['initContainers', index, 'privileged'] });
    else if (runAsRoot) found.push({ level: 'baseline', path: ['initContainers', index, 'runAsRoot'] });
  });
  sidecars.forEach((sidecar, index) => {
    // Where it does not say otherwise it is confined as the lab is.
    const container = { ...sidecar, securityContext: { ...CONFINED, ...securityContextOf(sidecar) } };
    found.push({ level: levelOfContainer(container, CONFINED_POD), path: ['sidecars', index] });
  });
  const confined = [...initContainers, ...sidecars].map(({ name }) => name);
  found.push(...demandsOfPatch(podPatch, confined));
  return found.filter(({ level }) => level !== 'restricted');
}

/** The strictest level that allows what is asked for, and no stricter than `least`. */
export function strictestLevel(settings: SecuritySettings, least: PodSecurity = 'restricted'): PodSecurity {
  return strongest([least, ...securityDemands(settings).map(({ level }) => level)]);
}

export function checkPodSecurity(
  settings: SecuritySettings & { readonly podSecurity?: PodSecurity | undefined },
  report: Report,
): void {
  const { podSecurity } = settings;
  if (podSecurity === undefined) return;
  for (const { level, path } of securityDemands(settings)) {
    if (LEVELS.indexOf(level) > LEVELS.indexOf(podSecurity)) {
      report(path, `expected nothing that needs lab.podSecurity: ${level}, which is set to ${podSecurity}`);
    }
  }
}

function strongest(levels: readonly PodSecurity[]): PodSecurity {
  return LEVELS[Math.max(...levels.map((level) => LEVELS.indexOf(level)))] ?? 'privileged';
}

const CONFINED = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, runAsNonRoot: true };
const CONFINED_POD = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };

/** Volumes that `restricted` allows. */
const PLAIN_VOLUMES = new Set([
  ...['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'persistentVolumeClaim', 'projected', 'secret'],
]);

/** What a patch makes of a pod that is confined, by the keys of its specification. */
function demandsOfPatch(patch: Table, names: readonly string[]): Demand[] {
  const stub = (name: string) => ({ name, securityContext: CONFINED });
  const confined = {
    securityContext: CONFINED_POD,
    containers: [stub(LAB_CONTAINER)],
    initContainers: names.map(stub),
  };
  const pod = mergePatch(confined, patch) as Table;
  const context = isRecord(pod['securityContext']) ? pod['securityContext'] : {};
  const levels: Readonly<Record<string, PodSecurity>> = {
    ...Object.fromEntries(
      ['hostNetwork', 'hostPID', 'hostIPC'].map((key) => [key, pod[key] === true ? 'privileged' : 'restricted']),
    ),
    volumes: strongest(['restricted', ...listOf(pod['volumes']).map(levelOfVolume)]),
    securityContext: levelOfPodContext(context),
    ...Object.fromEntries(
      ['containers', 'initContainers', 'ephemeralContainers'].map((key) => [
        key,
        // What the pod as a whole asks for is told once.
        strongest(['restricted', ...listOf(pod[key]).map((each) => levelOfContainer(each, CONFINED_POD))]),
      ]),
    ),
  };
  return Object.keys(patch).flatMap((key) => {
    const level = levels[key];
    return level === undefined ? [] : [{ level, path: ['podPatch', key] }];
  });
}

function listOf(value: unknown): readonly Table[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function securityContextOf(container: Table | { readonly name: string }): Table {
  const { securityContext } = container as Table;
  return isRecord(securityContext) ? securityContext : {};
}

function levelOfVolume(volume: Table): PodSecurity {
  if (isRecord(volume['hostPath'])) return 'privileged';
  return Object.entries(volume).every(([key, value]) => key === 'name' || value === null || PLAIN_VOLUMES.has(key))
    ? 'restricted'
    : 'baseline';
}

/** Settings of the kernel that belong to the pod alone. */
const SAFE_SYSCTLS = new Set([
  ...['kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.ip_unprivileged_port_start'],
  ...['net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_local_reserved_ports'],
  ...[
    'net.ipv4.tcp_keepalive_time',
    'net.ipv4.tcp_fin_timeout',
    'net.ipv4.tcp_keepalive_intvl',
    'net.ipv4.tcp_keepalive_probes',
  ],
]);

function levelOfPodContext(context: Table): PodSecurity {
  const isUnsafe = listOf(context['sysctls']).some(({ name }) => !SAFE_SYSCTLS.has(String(name)));
  if (isUnsafe || isOpen(context)) return 'privileged';
  const isConfined =
    context['runAsNonRoot'] === true && context['runAsUser'] !== 0 && isRecord(context['seccompProfile']);
  return isConfined ? 'restricted' : 'baseline';
}

/** What containers and pods can have alike, and `baseline` forbids. */
function isOpen(context: Table): boolean {
  const typeOf = (key: string) => (isRecord(context[key]) ? context[key]['type'] : undefined);
  const selinux = isRecord(context['seLinuxOptions']) ? context['seLinuxOptions'] : {};
  const windows = isRecord(context['windowsOptions']) ? context['windowsOptions'] : {};
  return (
    typeOf('seccompProfile') === 'Unconfined' ||
    typeOf('appArmorProfile') === 'Unconfined' ||
    Boolean(selinux['user'] ?? selinux['role']) ||
    ![undefined, '', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'].includes(
      selinux['type'] as string | undefined,
    ) ||
    windows['hostProcess'] === true
  );
}

/** Capabilities that `baseline` lets a container add; `restricted` lets it add the one to bind ports below 1024. */
const BASELINE_CAPABILITIES = new Set([
  ...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE', 'SETFCAP'],
  ...['SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'],
]);

function levelOfContainer(container: Table, pod: Table): PodSecurity {
  const context = securityContextOf(container);
  const capabilities = isRecord(context['capabilities']) ? context['capabilities'] : {};
  const [added, dropped] = ['add', 'drop'].map((key) =>
    Array.isArray(capabilities[key]) ? capabilities[key].map(String) : [],
  );
  const isPrivileged =
    context['privileged'] === true ||
    isOpen(context) ||
    (added ?? []).some((name) => !BASELINE_CAPABILITIES.has(name)) ||
    listOf(container['ports']).some(({ hostPort = 0 }) => hostPort !== 0) ||
    ![undefined, null, 'Default'].includes(context['procMount'] as string | undefined);
  if (isPrivileged) return 'privileged';
  const isConfined =
    (context['runAsNonRoot'] ?? pod['runAsNonRoot']) === true &&
    context['runAsUser'] !== 0 &&
    context['allowPrivilegeEscalation'] === false &&
    (added ?? []).every((name) => name === 'NET_BIND_SERVICE') &&
    dropped?.includes('ALL') === true;
  return isConfined ? 'restricted' : 'baseline';
}
