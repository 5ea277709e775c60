import type { V1NetworkPolicy, V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';
import { labMetadata, labSelector, type BuildContext } from './context.ts';
import { copyOf } from './values.ts';

/** Where clouds hand out credentials of the node to whoever asks. */
const METADATA_SERVICES = ['169.254.169.254/32', 'fd00:ec2::254/128'];

/** A rule as it is sent; the client library's types call `from` by another name. */
interface Rule {
  from?: V1NetworkPolicyPeer[];
  to?: V1NetworkPolicyPeer[];
  ports?: V1NetworkPolicyPort[];
}

/**
 * Who may reach the lab (hub and proxy, on its port) and what it may reach: always the hub and DNS, never the metadata
 * service of a cloud, everything else if `internet` is on. Undefined when network policies are off.
 */
export function buildNetworkPolicy(context: BuildContext): V1NetworkPolicy | undefined {
  const { config, names } = context;
  const rules = config.networkPolicy;
  if (!rules.enabled) return undefined;
  const hub = copyOf<V1NetworkPolicyPeer[]>(rules.hub);
  const proxy = copyOf<V1NetworkPolicyPeer[]>(rules.proxy);
  const anywhere = everywhereBut(METADATA_SERVICES);
  const ingress: Rule[] = [
    { from: [...hub, ...proxy], ports: [{ protocol: 'TCP', port: config.port }] },
    ...copyOf<Rule[]>(rules.ingress),
  ];
  const egress: Rule[] = [
    { to: hub },
    // Some network plugins match address blocks against pods and some do not, so cluster DNS is named both ways.
    {
      to: [{ namespaceSelector: {} }, ...anywhere],
      ports: [
        { protocol: 'UDP', port: 53 },
        { protocol: 'TCP', port: 53 },
      ],
    },
    ...(rules.internet ? [{ to: everywhereBut([...METADATA_SERVICES, ...rules.blocked]) }] : []),
    ...copyOf<Rule[]>(rules.egress),
  ];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: labMetadata(context, names.networkPolicy),
    spec: { podSelector: { matchLabels: labSelector(context) }, policyTypes: ['Ingress', 'Egress'], ingress, egress },
  };
}

function everywhereBut(blocked: readonly string[]): V1NetworkPolicyPeer[] {
  return [
    { ipBlock: { cidr: '0.0.0.0/0', except: blocked.filter((block) => !block.includes(':')) } },
    { ipBlock: { cidr: '::/0', except: blocked.filter((block) => block.includes(':')) } },
  ];
}
