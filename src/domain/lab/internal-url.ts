import type { LabSpec } from './lab.ts';
import type { ObservedPod } from './pod.ts';
import { podNameOf } from './object-names.ts';
import { parseAnnotation } from '../annotation.ts';

const MODES = ['serviceDns', 'serviceIp', 'podIp'] as const;

/** How hub and proxy reach labs. */
export interface LabAddressing {
  /** The name of the lab's Service in the cluster's DNS, the Service's own address, or the pod's. */
  readonly mode: (typeof MODES)[number];
  readonly port: number;
  /** Domain of the cluster's DNS, such as `cluster.local`; pods find the shorter name without it. */
  readonly clusterDomain: string | undefined;
}

/** The addressing as an annotation of a pod: a lab that runs keeps the address it was made with, whatever the configuration says by then. */
export function writeAddressing({ mode, port, clusterDomain }: LabAddressing): string {
  return JSON.stringify({ mode, port, clusterDomain });
}

/** What the annotation says; what is missing or damaged is left out. */
export function parseAddressing(annotation: string | undefined): Partial<LabAddressing> {
  const { mode, port, clusterDomain } =
    parseAnnotation<{ [Key in keyof LabAddressing]?: unknown } | null>(annotation) ?? {};
  const known = MODES.find((each) => each === mode);
  return {
    ...(known === undefined ? {} : { mode: known }),
    ...(typeof port === 'number' ? { port } : {}),
    ...(typeof clusterDomain === 'string' ? { clusterDomain } : {}),
  };
}

/**
 * The URL of a lab's server as hub and proxy reach it, with the path that the server answers under: by the addressing that its
 * pod was made with, and for what that does not say by the present one.
 *
 * @returns null while the address is not known yet
 */
export function buildInternalUrl(spec: LabSpec, pod: ObservedPod, present: LabAddressing): string | null {
  const { mode, port, clusterDomain } = { ...present, ...pod.addressing };
  const host = {
    serviceDns: [podNameOf(spec), spec.namespace, 'svc', clusterDomain].filter((part) => part !== undefined).join('.'),
    serviceIp: pod.serviceIp,
    podIp: pod.podIp,
  }[mode];
  if (host === null) return null;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}${spec.servicePrefix}`;
}
