import type { V1NetworkPolicy, V1ObjectMeta } from '@kubernetes/client-node';
import type { BuildsConfig } from '../../config/config.ts';
import { dnsRule, everywhereBut, METADATA_SERVICES, type NetworkRule } from '../network-peers.ts';
import { copyOf } from '../values.ts';

/** What is not the internet: the services above, other pods, the API server, the site. */
const CLOSED = [
  ...METADATA_SERVICES,
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16', 'fc00::/7', 'fe80::/10'],
];

/**
 * Nothing reaches a build; a build reaches DNS, the internet, and of private networks what is allowed. It is for every
 * pod of the namespace: a build has no label to take off.
 */
export function buildEgressPolicy(
  rules: BuildsConfig['networkPolicy'],
  metadata: V1ObjectMeta,
): V1NetworkPolicy | undefined {
  if (!rules.enabled) return undefined;
  const egress: NetworkRule[] = [
    dnsRule(),
    { to: everywhereBut(CLOSED) },
    ...(rules.allowed.length === 0 ? [] : [{ to: rules.allowed.map((cidr) => ({ ipBlock: { cidr } })) }]),
    ...copyOf<NetworkRule[]>(rules.egress),
  ];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress },
  };
}
