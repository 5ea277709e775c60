import type { LabSpec } from './lab.ts';
import type { ObservedPod } from './pod.ts';
import { SERVICE_NAME } from './object-names.ts';

/** How hub and proxy reach labs. */
export interface LabAddressing {
  /** The name of the lab's Service in the cluster's DNS, the Service's own address, or the pod's. */
  readonly mode: 'serviceDns' | 'serviceIp' | 'podIp';
  readonly port: number;
  /** Domain of the cluster's DNS, such as `cluster.local`; pods find the shorter name without it. */
  readonly clusterDomain: string | undefined;
}

/**
 * The URL of a lab's server as hub and proxy reach it, with the path that the server answers under.
 *
 * @returns null while the address is not known yet
 */
export function buildInternalUrl(
  spec: LabSpec,
  pod: ObservedPod,
  { mode, port, clusterDomain }: LabAddressing,
): string | null {
  const host = {
    serviceDns: [SERVICE_NAME, spec.namespace, 'svc', clusterDomain].filter((part) => part !== undefined).join('.'),
    serviceIp: pod.serviceIp,
    podIp: pod.podIp,
  }[mode];
  if (host === null) return null;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}${spec.servicePrefix}`;
}
