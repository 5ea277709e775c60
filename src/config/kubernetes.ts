import type {
  V1Affinity,
  V1NetworkPolicyPeer,
  V1NetworkPolicyPort,
  V1Toleration,
  V1TopologySpreadConstraint,
} from '@kubernetes/client-node';
import { z } from 'zod';
import { checkKubernetes, type KubernetesType } from '../domain/kubernetes/check.ts';
import { EXPECTED, isDnsLabel, isLabelValue, isObjectName, isQualifiedName } from '../domain/kubernetes/names.ts';

/** A name that is a DNS label, at most `length` characters long. */
export function dnsLabel(length = 63) {
  const error = EXPECTED.dnsLabel.replace('63', String(length));
  return z.string().max(length, { error }).refine(isDnsLabel, { error });
}

/** The name of a Secret, ConfigMap, storage class, priority class, … */
export const objectName = z.string().refine(isObjectName, { error: EXPECTED.objectName });

/** Key of a label, an annotation, a node selector or an extended resource. */
export const qualifiedName = z.string().refine(isQualifiedName, { error: EXPECTED.qualifiedName });

export const labelValue = z.string().refine(isLabelValue, { error: EXPECTED.labelValue });

/** A key of a label or an annotation of a lab's objects that the configuration may set. */
export function ownKey(key: typeof qualifiedName) {
  return key.refine(
    (name) =>
      !/^(?:[a-z0-9.-]*\.)?(?:labwright\.dev|pod-security\.kubernetes\.io)\/|^app\.kubernetes\.io\/managed-by$/.test(
        name,
      ),
    {
      error: 'expected a key that Labwright does not set itself',
    },
  );
}

export const labels = z.record(qualifiedName, labelValue);
export const annotations = z.record(qualifiedName, z.string());

/**
 * A piece of the Kubernetes API that is handed on as it is written, under its Kubernetes names. What the API server would refuse is
 * refused here, where a person sees it, and not by each spawn.
 */
export function asInKubernetes<T extends object>(type: KubernetesType) {
  return z
    .custom<T>()
    .superRefine((value, context) => {
      for (const { path, message } of checkKubernetes(type, value)) {
        context.addIssue({ code: 'custom', path: [...path], message });
      }
    })
    .meta({ title: 'as in Kubernetes', type: 'object' });
}

export const affinity = asInKubernetes<V1Affinity>('Affinity');
export const toleration = asInKubernetes<V1Toleration>('Toleration');
export const topologySpreadConstraint = asInKubernetes<V1TopologySpreadConstraint>('TopologySpreadConstraint');
/** One side of a network policy rule. */
export const networkPeer = asInKubernetes<V1NetworkPolicyPeer>('NetworkPolicyPeer');
/** The ports of a network policy rule. */
export const networkPort = asInKubernetes<V1NetworkPolicyPort>('NetworkPolicyPort');

/** An address block, IPv4 or IPv6. */
export const cidr = z.union([z.cidrv4(), z.cidrv6()], {
  error: 'expected an address block such as 10.0.0.0/8 or fd00::/8, or one address as 10.0.0.1/32',
});

/** What may be reached, as a rule of a network policy. */
export const egressRule = z.strictObject({
  to: z.array(networkPeer).exactOptional().describe('To where; anywhere when absent.'),
  ports: z.array(networkPort).exactOptional().describe('To which ports; any when absent.'),
});
