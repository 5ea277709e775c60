import { listAt, objectAt, specOf, textAt } from '../kinds/common.ts';
import { namespaces } from '../kinds/namespaces.ts';
import { pods } from '../kinds/pods.ts';
import type { JsonObject, KubeObject } from '../objects.ts';
import { forbidden } from '../status.ts';
import type { Store } from '../store.ts';

const ENFORCE = 'pod-security.kubernetes.io/enforce';
const VERSION = 'pod-security.kubernetes.io/enforce-version';

/**
 * The Pod Security standards, as far as pods of labs can meet them.
 *
 * @throws ApiError 403 naming everything that the namespace's level does not allow
 */
export function checkPodSecurity(store: Store, pod: KubeObject): void {
  const labels = store.get(namespaces, '', pod.metadata.namespace ?? '')?.metadata.labels ?? {};
  const level = labels[ENFORCE] ?? 'privileged';
  if (level === 'privileged') return;
  const subject = readSubject(pod);
  const checks = level === 'restricted' ? RESTRICTED : BASELINE;
  const violations = checks.map((check) => check(subject)).filter((violation) => violation !== '');
  if (violations.length === 0) return;
  const policy = `${level}:${labels[VERSION] ?? 'latest'}`;
  throw forbidden(pods, pod.metadata.name, `violates PodSecurity "${policy}": ${violations.join(', ')}`);
}

interface Subject {
  readonly spec: JsonObject;
  readonly podContext: JsonObject;
  readonly containers: readonly { readonly name: string; readonly spec: JsonObject; readonly context: JsonObject }[];
}

type Check = (subject: Subject) => string;

function readSubject(pod: KubeObject): Subject {
  const spec = specOf(pod);
  const containers = ['initContainers', 'containers'].flatMap((field) => listAt(spec, field));
  return {
    spec,
    podContext: objectAt(spec, 'securityContext'),
    containers: containers.map((container) => ({
      name: textAt(container, 'name'),
      spec: container,
      context: objectAt(container, 'securityContext'),
    })),
  };
}

function quoted(word: string, names: readonly string[]): string {
  return `${word}${names.length === 1 ? '' : 's'} ${names.map((name) => JSON.stringify(name)).join(', ')}`;
}

const namesWhere = ({ containers }: Subject, wrong: (context: JsonObject, spec: JsonObject) => boolean) =>
  containers.filter(({ context, spec }) => wrong(context, spec)).map(({ name }) => name);

const hostNamespaces: Check = ({ spec }) => {
  const used = ['hostNetwork', 'hostPID', 'hostIPC'].filter((field) => spec[field] === true);
  return used.length === 0 ? '' : `host namespaces (${used.map((field) => `${field}=true`).join(', ')})`;
};

const hostPorts: Check = (subject) => {
  const ports = (spec: JsonObject) =>
    listAt(spec, 'ports')
      .map((port) => port['hostPort'])
      .filter((port) => Number(port) > 0);
  const names = namesWhere(subject, (_context, spec) => ports(spec).length > 0);
  if (names.length === 0) return '';
  const all = subject.containers.flatMap(({ spec }) => ports(spec)).map(String);
  return `hostPort (${quoted('container', names)} uses hostPort${all.length === 1 ? '' : 's'} ${all.join(', ')})`;
};

const privileged: Check = (subject) => {
  const names = namesWhere(subject, (context) => context['privileged'] === true);
  return names.length === 0
    ? ''
    : `privileged (${quoted('container', names)} must not set securityContext.privileged=true)`;
};

const escalation: Check = (subject) => {
  const names = namesWhere(subject, (context) => context['allowPrivilegeEscalation'] !== false);
  const rule = 'must set securityContext.allowPrivilegeEscalation=false';
  return names.length === 0 ? '' : `allowPrivilegeEscalation != false (${quoted('container', names)} ${rule})`;
};

const capabilityList = (context: JsonObject, field: 'add' | 'drop'): string[] => {
  const list = objectAt(context, 'capabilities')[field];
  return Array.isArray(list) ? list.map(String) : [];
};

const DEFAULT_CAPABILITIES = new Set([
  ...['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE'],
  ...['SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'],
]);

function addedOutside(subject: Subject, allowed: ReadonlySet<string>): string {
  const extra = (context: JsonObject) => capabilityList(context, 'add').filter((name) => !allowed.has(name));
  const names = namesWhere(subject, (context) => extra(context).length > 0);
  if (names.length === 0) return '';
  const added = [...new Set(subject.containers.flatMap(({ context }) => extra(context)))].sort();
  const list = added.map((name) => JSON.stringify(name)).join(', ');
  return `${quoted('container', names)} must not include ${list} in securityContext.capabilities.add`;
}

const addedCapabilities: Check = (subject) => {
  const added = addedOutside(subject, DEFAULT_CAPABILITIES);
  return added === '' ? '' : `non-default capabilities (${added})`;
};

const capabilities: Check = (subject) => {
  const keeping = namesWhere(subject, (context) => !capabilityList(context, 'drop').includes('ALL'));
  const parts = [
    ...(keeping.length === 0
      ? []
      : [`${quoted('container', keeping)} must set securityContext.capabilities.drop=["ALL"]`]),
    addedOutside(subject, new Set(['NET_BIND_SERVICE'])),
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `unrestricted capabilities (${parts.join('; ')})`;
};

const hostPaths: Check = ({ spec }) => {
  const names = listAt(spec, 'volumes')
    .filter((volume) => 'hostPath' in volume)
    .map((volume) => textAt(volume, 'name'));
  return names.length === 0 ? '' : `hostPath volumes (${quoted('volume', names)})`;
};

const VOLUME_TYPES = new Set([
  ...['name', 'configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'image', 'persistentVolumeClaim'],
  ...['projected', 'secret'],
]);

const volumeTypes: Check = ({ spec }) => {
  const kindOf = (volume: JsonObject) => Object.keys(volume).filter((key) => !VOLUME_TYPES.has(key));
  const bad = listAt(spec, 'volumes').filter((volume) => kindOf(volume).length > 0);
  if (bad.length === 0) return '';
  const names = bad.map((volume) => textAt(volume, 'name'));
  const kinds = [...new Set(bad.flatMap(kindOf))].sort();
  const verb = names.length === 1 ? 'uses' : 'use';
  return `restricted volume types (${quoted('volume', names)} ${verb} ${quoted('restricted volume type', kinds)})`;
};

/** Says of a value that pod or container must set: where it is wrong, or by whom it is missing. */
function podOrContainers(
  subject: Subject,
  read: (context: JsonObject) => unknown,
  isGood: (value: unknown) => boolean,
): { podBad: boolean; bad: string[]; missing: string[] } {
  const podValue = read(subject.podContext);
  const podBad = podValue !== undefined && !isGood(podValue);
  const bad = namesWhere(subject, (context) => read(context) !== undefined && !isGood(read(context)));
  const missing = podValue === undefined ? namesWhere(subject, (context) => read(context) === undefined) : [];
  return { podBad, bad, missing };
}

function offenders(podBad: boolean, names: readonly string[]): string {
  return [...(podBad ? ['pod'] : []), ...(names.length > 0 ? [quoted('container', names)] : [])].join(' and ');
}

const nonRoot: Check = (subject) => {
  const { podBad, bad, missing } = podOrContainers(
    subject,
    (c) => c['runAsNonRoot'],
    (value) => value === true,
  );
  if (podBad || bad.length > 0) {
    return `runAsNonRoot != true (${offenders(podBad, bad)} must not set securityContext.runAsNonRoot=false)`;
  }
  const rule = 'must set securityContext.runAsNonRoot=true';
  return missing.length === 0 ? '' : `runAsNonRoot != true (pod or ${quoted('container', missing)} ${rule})`;
};

const rootUser: Check = (subject) => {
  const { podBad, bad } = podOrContainers(
    subject,
    (context) => context['runAsUser'],
    (value) => value !== 0,
  );
  return podBad || bad.length > 0 ? `runAsUser=0 (${offenders(podBad, bad)} must not set runAsUser=0)` : '';
};

const readProfile = (context: JsonObject) => objectAt(context, 'seccompProfile')['type'];

const seccompBaseline: Check = (subject) => {
  const { podBad, bad } = podOrContainers(subject, readProfile, (value) => value !== 'Unconfined');
  if (!podBad && bad.length === 0) return '';
  return `seccompProfile (${offenders(podBad, bad)} must not set securityContext.seccompProfile.type to "Unconfined")`;
};

const seccomp: Check = (subject) => {
  const wrong = seccompBaseline(subject);
  if (wrong !== '') return wrong;
  const { missing } = podOrContainers(subject, readProfile, () => true);
  const rule = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"';
  return missing.length === 0 ? '' : `seccompProfile (pod or ${quoted('container', missing)} ${rule})`;
};

// In the order in which the server names them.
const BASELINE: readonly Check[] = [
  addedCapabilities,
  hostNamespaces,
  hostPaths,
  hostPorts,
  privileged,
  seccompBaseline,
];
const RESTRICTED: readonly Check[] = [
  ...[hostNamespaces, hostPorts, privileged, escalation, capabilities, volumeTypes],
  ...[nonRoot, rootUser, seccomp],
];
