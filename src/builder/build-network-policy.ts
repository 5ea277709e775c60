import type { V1NetworkPolicy, V1NetworkPolicyPeer, V1NetworkPolicyPort, V1ObjectMeta } from '@kubernetes/client-node';
import type { BuildsConfig } from '../config/config.ts';
import { copyOf } from './values.ts';

/** A rule as it is sent. */
interface Rule {
  to?: V1NetworkPolicyPeer[];
  ports?: V1NetworkPolicyPort[];
}

/** Where clouds hand out the node's credentials, and what is not the internet: other pods, the API server, the site. */
const CLOSED = {
  v4: ['169.254.169.254/32', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  v6: ['fd00:ec2::254/128', 'fc00::/7', 'fe80::/10'],
};
const DNS: V1NetworkPolicyPort[] = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
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
  const egress: Rule[] = [
    // Cluster DNS is a pod for some network plugins and an address for others; none of them is the metadata service.
    { to: [{ namespaceSelector: {} }, ...everywhereBut(['169.254.169.254/32'], ['fd00:ec2::254/128'])], ports: DNS },
    { to: everywhereBut(CLOSED.v4, CLOSED.v6) },
    ...(rules.allowed.length === 0 ? [] : [{ to: rules.allowed.map((cidr) => ({ ipBlock: { cidr } })) }]),
    ...copyOf<Rule[]>(rules.egress),
  ];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'], egress },
  };
}

function everywhereBut(v4: readonly string[], v6: readonly string[]): V1NetworkPolicyPeer[] {
  return [{ ipBlock: { cidr: '0.0.0.0/0', except: [...v4] } }, { ipBlock: { cidr: '::/0', except: [...v6] } }];
}
