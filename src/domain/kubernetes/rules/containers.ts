import type {
  V1Container,
  V1ContainerPort,
  V1EnvVar,
  V1HTTPGetAction,
  V1PodSecurityContext,
  V1Probe,
  V1ResourceRequirements,
  V1SeccompProfile,
  V1SecurityContext,
} from '@kubernetes/client-node';
import { repeated } from '../../../util/repeated.ts';
import { EXPECTED, isDnsLabel, isPort, isPortName, isPortNumber, isQualifiedName } from '../names.ts';
import { parseQuantity } from '../quantity.ts';
import { oneOf, type ReportFault, type Rule, ruleFor } from './rule.ts';

const MAX_ID = 2_147_483_647;
const STANDARD_RESOURCES = ['cpu', 'memory', 'ephemeral-storage'];

/** What runs: as in validateContainerCommon and what it calls, in pkg/apis/core/validation of Kubernetes. */
export const CONTAINERS: Readonly<Record<string, Rule>> = {
  Container: ruleFor<V1Container>(
    ({ name, image = '', imagePullPolicy, terminationMessagePolicy, ...more }, report) => {
      if (!isDnsLabel(name)) report(['name'], EXPECTED.dnsLabel);
      if (image === '' || image.trim() !== image)
        report(['image'], 'expected an image such as registry.example.com/name:tag');
      oneOf(imagePullPolicy, ['Always', 'IfNotPresent', 'Never'], report, 'imagePullPolicy');
      oneOf(terminationMessagePolicy, ['File', 'FallbackToLogsOnError'], report, 'terminationMessagePolicy');
      repeated((more.volumeMounts ?? []).map(({ mountPath }) => mountPath)).forEach((index) => {
        report(['volumeMounts', index, 'mountPath'], 'expected another path: it is already taken');
      });
      repeated((more.ports ?? []).map((port) => port.name)).forEach((index) => {
        report(['ports', index, 'name'], 'expected another name: it is already there');
      });
    },
  ),
  ContainerPort: ruleFor<V1ContainerPort>(({ name, containerPort, hostPort, protocol }, report) => {
    if (name !== undefined && name !== '' && !isPortName(name)) report(['name'], EXPECTED.portName);
    if (!isPortNumber(containerPort)) report(['containerPort'], 'expected a number from 1 to 65535');
    if (hostPort !== undefined && hostPort !== 0 && !isPortNumber(hostPort)) {
      report(['hostPort'], 'expected a number from 1 to 65535');
    }
    oneOf(protocol, ['TCP', 'UDP', 'SCTP'], report, 'protocol');
  }),
  EnvVar: ruleFor<V1EnvVar>(({ name, value = '', valueFrom }, report) => {
    if (!/^[ -<>-~]+$/.test(name)) report(['name'], 'expected the name of an environment variable');
    if (valueFrom === undefined) return;
    if (Object.keys(valueFrom).length !== 1) report(['valueFrom'], 'expected exactly one source');
    else if (value !== '') report(['valueFrom'], 'expected either value or valueFrom');
  }),
  ResourceRequirements: ruleFor<V1ResourceRequirements>(checkResources),
  SecurityContext: ruleFor<V1SecurityContext>((context, report) => {
    const { privileged, allowPrivilegeEscalation, capabilities, procMount } = context;
    checkIds(context, ['runAsUser', 'runAsGroup'], report);
    if (allowPrivilegeEscalation === false) {
      if (privileged === true) report(['allowPrivilegeEscalation'], 'expected true where privileged is true');
      if (capabilities?.add?.includes('CAP_SYS_ADMIN') === true) {
        report(['allowPrivilegeEscalation'], 'expected true where CAP_SYS_ADMIN is added');
      }
    }
    oneOf(procMount, ['Default', 'Unmasked'], report, 'procMount');
  }),
  PodSecurityContext: ruleFor<V1PodSecurityContext>((context, report) => {
    checkIds(context, ['runAsUser', 'runAsGroup', 'fsGroup'], report);
    const { supplementalGroups, fsGroupChangePolicy, sysctls } = context;
    supplementalGroups?.forEach((id, index) => {
      if (!isId(id)) report(['supplementalGroups', index], `expected a number from 0 to ${MAX_ID}`);
    });
    repeated((sysctls ?? []).map(({ name }) => name)).forEach((index) => {
      report(['sysctls', index, 'name'], 'expected another name: it is already there');
    });
    oneOf(fsGroupChangePolicy, ['Always', 'OnRootMismatch'], report, 'fsGroupChangePolicy');
  }),
  Sysctl: ruleFor<{ name: string }>(({ name }, report) => {
    if (!/^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:[./][a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*$/.test(name)) {
      report(['name'], 'expected the name of a sysctl, such as net.core.somaxconn');
    }
  }),
  SeccompProfile: ruleFor<V1SeccompProfile>(({ type, localhostProfile }, report) => {
    oneOf(type, ['RuntimeDefault', 'Unconfined', 'Localhost'], report, 'type');
    if ((type === 'Localhost') !== (localhostProfile !== undefined)) {
      report(['localhostProfile'], 'expected it where the type is Localhost, and only there');
    }
  }),
  Probe: ruleFor<V1Probe>((probe, report) => {
    exactlyOne(probe, ['exec', 'httpGet', 'tcpSocket', 'grpc'], report);
    for (const field of COUNTS) if ((probe[field] ?? 0) < 0) report([field], 'expected a number that is not negative');
    if ((probe.terminationGracePeriodSeconds ?? 1) < 1)
      report(['terminationGracePeriodSeconds'], 'expected at least 1');
  }),
  LifecycleHandler: ruleFor((handler, report) => {
    exactlyOne(handler, ['exec', 'httpGet', 'tcpSocket', 'sleep'], report);
  }),
  HTTPGetAction: ruleFor<V1HTTPGetAction>((action, report) => {
    checkPortOf(action, report);
    oneOf(action.scheme, ['HTTP', 'HTTPS'], report, 'scheme');
  }),
  TCPSocketAction: ruleFor<V1HTTPGetAction>(checkPortOf),
};

const COUNTS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const;

function checkPortOf({ port }: { port: string | number }, report: ReportFault): void {
  if (!isPort(port)) report(['port'], EXPECTED.portName);
}

function checkResources({ limits = {}, requests = {} }: V1ResourceRequirements, report: ReportFault): void {
  for (const [kind, amounts] of [
    ['limits', limits],
    ['requests', requests],
  ] as const) {
    for (const [name, amount] of Object.entries(amounts)) {
      const wrong = explainResourceName(name);
      if (wrong !== undefined) report([kind, name], wrong);
      const value = parseQuantity(amount) ?? 0;
      if (value < 0) report([kind, name], 'expected an amount that is not negative');
      if (isWholeResource(name) && !Number.isInteger(value)) report([kind, name], 'expected a whole number');
    }
  }
  for (const [name, amount] of Object.entries(requests)) {
    const [asked, limit] = [parseQuantity(amount) ?? 0, parseQuantity(limits[name])];
    if (limit === undefined && isWholeResource(name)) report(['limits', name], 'expected the same as in requests');
    else if (limit !== undefined && asked > limit) report(['requests', name], 'expected no more than the limit');
    else if (limit !== undefined && asked !== limit && isWholeResource(name)) {
      report(['requests', name], 'expected the same as the limit');
    }
  }
}

/** What is wrong with the name of a resource of a container; undefined when it can be used. */
export function explainResourceName(name: string): string | undefined {
  if (!name.includes('/')) {
    const isKnown = STANDARD_RESOURCES.includes(name) || name.startsWith('hugepages-');
    return isKnown ? undefined : `expected ${STANDARD_RESOURCES.join(', ')} or a name such as nvidia.com/gpu`;
  }
  if (!isQualifiedName(name)) return EXPECTED.qualifiedName;
  if (name.includes('kubernetes.io/')) return undefined;
  return name.startsWith('requests.') || !isQualifiedName(`requests.${name}`)
    ? 'expected the name of an extended resource, such as nvidia.com/gpu'
    : undefined;
}

/** Devices: no fractions, and the request is the limit. */
function isWholeResource(name: string): boolean {
  return name.includes('/') && !name.includes('kubernetes.io/');
}

function checkIds(context: object, fields: readonly string[], report: ReportFault): void {
  for (const field of fields) {
    const id = (context as Record<string, unknown>)[field];
    if (id !== undefined && !isId(id)) report([field], `expected a number from 0 to ${MAX_ID}`);
  }
}

function isId(id: unknown): boolean {
  return typeof id === 'number' && id >= 0 && id <= MAX_ID;
}

/** One of the ways to do it has to be chosen. */
export function exactlyOne(value: object, ways: readonly string[], report: ReportFault): void {
  const chosen = ways.filter((way) => (value as Record<string, unknown>)[way] !== undefined);
  if (chosen.length !== 1) report([], `expected exactly one of ${ways.join(', ')}`);
}
