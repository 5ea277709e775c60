import { z } from 'zod';

/**
 * The pieces of the Kubernetes API that an administrator writes by hand, under their Kubernetes names: strict enough
 * that a misspelt key is caught at start and not by the first spawn. What a value may be beyond that is the API server's
 * business.
 */
const QUALIFIED = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/;
const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/** A name that is a DNS label, at most `length` characters long. */
export function dnsLabel(length = 63) {
  const error = `expected at most ${length} of a-z, 0-9 and -, beginning and ending with a letter or digit`;
  return z.string().max(length, { error }).regex(DNS_LABEL, { error });
}

/** The name of a Secret, ConfigMap, storage class, priority class, … */
export const objectName = z
  .string()
  .regex(DNS_SUBDOMAIN, { error: 'expected the name of a Kubernetes object: a-z, 0-9, - and .' });

/** Key of a label, an annotation, a node selector or an extended resource. */
export const qualifiedName = z
  .string()
  .regex(QUALIFIED, { error: 'expected a name such as example.com/name, of letters, digits, - _ and .' });

export const labelValue = z.string().regex(LABEL_VALUE, {
  error: 'expected at most 63 letters, digits, - _ and ., beginning and ending with a letter or digit',
});

export const labels = z.record(qualifiedName, labelValue);
export const annotations = z.record(qualifiedName, z.string());

const labelSelector = z.strictObject({
  matchLabels: labels.exactOptional(),
  matchExpressions: z
    .array(
      z.strictObject({
        key: qualifiedName,
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(labelValue).exactOptional(),
      }),
    )
    .exactOptional(),
});

const nodeRequirement = z.strictObject({
  key: z.string().min(1),
  operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt']),
  values: z.array(z.string()).exactOptional(),
});
const nodeSelectorTerm = z.strictObject({
  matchExpressions: z.array(nodeRequirement).exactOptional(),
  matchFields: z.array(nodeRequirement).exactOptional(),
});
const podAffinityTerm = z.strictObject({
  topologyKey: qualifiedName,
  labelSelector: labelSelector.exactOptional(),
  namespaces: z.array(dnsLabel()).exactOptional(),
  namespaceSelector: labelSelector.exactOptional(),
  matchLabelKeys: z.array(qualifiedName).exactOptional(),
  mismatchLabelKeys: z.array(qualifiedName).exactOptional(),
});
const weight = z.int().min(1).max(100);
const podAffinity = z.strictObject({
  requiredDuringSchedulingIgnoredDuringExecution: z.array(podAffinityTerm).exactOptional(),
  preferredDuringSchedulingIgnoredDuringExecution: z.array(z.strictObject({ weight, podAffinityTerm })).exactOptional(),
});

export const affinity = z.strictObject({
  nodeAffinity: z
    .strictObject({
      requiredDuringSchedulingIgnoredDuringExecution: z
        .strictObject({ nodeSelectorTerms: z.array(nodeSelectorTerm).min(1) })
        .exactOptional(),
      preferredDuringSchedulingIgnoredDuringExecution: z
        .array(z.strictObject({ weight, preference: nodeSelectorTerm }))
        .exactOptional(),
    })
    .exactOptional(),
  podAffinity: podAffinity.exactOptional(),
  podAntiAffinity: podAffinity.exactOptional(),
});

export const toleration = z.strictObject({
  key: qualifiedName.exactOptional(),
  operator: z.enum(['Exists', 'Equal']).exactOptional(),
  value: z.string().exactOptional(),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).exactOptional(),
  tolerationSeconds: z.int().exactOptional(),
});

export const topologySpreadConstraint = z.strictObject({
  maxSkew: z.int().min(1),
  topologyKey: qualifiedName,
  whenUnsatisfiable: z.enum(['DoNotSchedule', 'ScheduleAnyway']),
  labelSelector: labelSelector.exactOptional(),
  matchLabelKeys: z.array(qualifiedName).exactOptional(),
  minDomains: z.int().min(1).exactOptional(),
  nodeAffinityPolicy: z.enum(['Honor', 'Ignore']).exactOptional(),
  nodeTaintsPolicy: z.enum(['Honor', 'Ignore']).exactOptional(),
});

/** An address block, IPv4 or IPv6. */
export const cidr = z.union([z.cidrv4(), z.cidrv6()], {
  error: 'expected an address block such as 10.0.0.0/8 or fd00::/8',
});

/** One side of a network policy rule. */
export const networkPeer = z
  .strictObject({
    podSelector: labelSelector.exactOptional(),
    namespaceSelector: labelSelector.exactOptional(),
    ipBlock: z.strictObject({ cidr, except: z.array(cidr).exactOptional() }).exactOptional(),
  })
  .refine(
    (peer) => (peer.ipBlock === undefined) !== (peer.podSelector === undefined && peer.namespaceSelector === undefined),
    {
      error: 'expected either ipBlock or selectors of pods and namespaces',
    },
  );

/** The ports of a network policy rule. */
export const networkPort = z.strictObject({
  protocol: z.enum(['TCP', 'UDP', 'SCTP']).exactOptional(),
  port: z.union([z.int().min(1).max(65_535), z.string()]).exactOptional(),
  endPort: z.int().min(1).max(65_535).exactOptional(),
});

/** What may be reached, as a rule of a network policy. */
export const egressRule = z.strictObject({
  to: z.array(networkPeer).exactOptional().describe('To where; anywhere when absent.'),
  ports: z.array(networkPort).exactOptional().describe('To which ports; any when absent.'),
});
