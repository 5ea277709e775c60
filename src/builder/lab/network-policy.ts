import type { V1NetworkPolicy, V1NetworkPolicyPeer } from '@kubernetes/client-node';
import { labMetadata, labLabels, type BuildContext } from './context.ts';
import { DNS_PORTS, everywhereBut, METADATA_SERVICES, type NetworkRule } from '../network-peers.ts';
import { copyOf } from '../values.ts';

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
  const ingress: NetworkRule[] = [
    { from: [...hub, ...proxy], ports: [{ protocol: 'TCP', port: config.port }] },
    ...copyOf<NetworkRule[]>(rules.ingress),
  ];
  const egress: NetworkRule[] = [
    { to: hub },
    // Some network plugins match address blocks against pods and some do not, so cluster DNS is named both ways.
    {
      to: [{ namespaceSelector: {} }, ...anywhere],
      ports: [...DNS_PORTS],
    },
    ...(rules.internet ? [{ to: everywhereBut([...METADATA_SERVICES, ...rules.blocked]) }] : []),
    ...copyOf<NetworkRule[]>(rules.egress),
  ];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: labMetadata(context, names.networkPolicy),
    spec: { podSelector: { matchLabels: labLabels(context) }, policyTypes: ['Ingress', 'Egress'], ingress, egress },
  };
}
