import type { V1LimitRange, V1Namespace, V1ResourceQuota, V1Service, V1ServiceAccount } from '@kubernetes/client-node';
import {
  accountNameOf,
  isLimited,
  isShared,
  labMetadata,
  labLabels,
  spawnMetadata,
  type BuildContext,
} from './context.ts';
import { CONTROLLER_LABEL } from '../../domain/names.ts';
import { PERMANENT_ANNOTATION } from '../../domain/lab/object-names.ts';
import { formatCpu, formatMemory } from '../../util/quantities.ts';

/** The lab's namespace, without its hash. */
export function buildNamespace(context: BuildContext): V1Namespace {
  const { config, names } = context;
  const metadata = labMetadata(context, names.namespace);
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, 'pod-security.kubernetes.io/enforce': config.podSecurity },
      annotations: {
        ...config.namespaceAnnotations,
        ...metadata.annotations,
        ...(config.volumes.some((volume) => volume.persistentVolumeClaim?.retain === true)
          ? { [PERMANENT_ANNOTATION]: 'true' }
          : {}),
      },
    },
  };
}

/**
 * The lab's own service account: it has no rights and no token for the API server, and the pod need not wait for the `default`
 * one.
 */
export function buildServiceAccount(context: BuildContext): V1ServiceAccount {
  const { annotations } = context.config.serviceAccount;
  const metadata = labMetadata(context, accountNameOf(context));
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { ...metadata, annotations: { ...annotations, ...metadata.annotations } },
    automountServiceAccountToken: false,
  };
}

/** What a container gets that says nothing. It sets no bounds, so it cannot clash with a lab size, nor a limit where the lab has none. */
export function buildLimitRange(context: BuildContext): V1LimitRange {
  const { cpu, memory, cpuRequest, memoryRequest } = context.config.containerDefaults;
  const item = {
    type: 'Container',
    default: {
      ...(isLimited(context, 'cpu') ? { cpu: formatCpu(cpu) } : {}),
      ...(isLimited(context, 'memory') ? { memory: formatMemory(memory) } : {}),
    },
    defaultRequest: { cpu: formatCpu(cpuRequest), memory: formatMemory(memoryRequest) },
  };
  return {
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: labMetadata(context, context.names.limitRange),
    spec: { limits: [item] },
  };
}

/** What may run in the namespace at once; undefined when the user has no quota. */
export function buildResourceQuota(context: BuildContext): V1ResourceQuota | undefined {
  const { lab, names } = context;
  if (lab.quota === null) return undefined;
  return {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: labMetadata(context, names.resourceQuota),
    spec: { hard: { 'limits.cpu': formatCpu(lab.quota.cpu), 'limits.memory': formatMemory(lab.quota.memory) } },
  };
}

/**
 * The name and the address by which hub and proxy reach the lab. In a namespace that labs share, it ends with its spawn, as the Secrets
 * do: it says whose it is.
 */
export function buildService(context: BuildContext): V1Service {
  const { port } = context.config;
  const metadata = isShared(context) ? spawnMetadata : labMetadata;
  // Labs of another Labwright may be there, of the same users.
  const ours = isShared(context) ? { [CONTROLLER_LABEL]: context.controller } : {};
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata(context, context.names.service),
    spec: {
      type: 'ClusterIP',
      selector: { ...labLabels(context), ...ours },
      // The address is programmed on every machine while the lab's server still comes up, and not after that: a browser that is
      // sent there at once would be refused. There is one pod; where it does not listen, it refuses itself.
      publishNotReadyAddresses: true,
      ports: [{ name: 'http', port, protocol: 'TCP', targetPort: port }],
    },
  };
}
