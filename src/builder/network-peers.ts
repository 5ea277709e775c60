import type { V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';

/** Where clouds hand out credentials of the node to whoever asks. */
export const METADATA_SERVICES = ['169.254.169.254/32', 'fd00:ec2::254/128'];

const DNS_PORTS: readonly V1NetworkPolicyPort[] = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
];

/** A rule as it is sent; the client library's types call `from` by another name. */
export interface NetworkRule {
  from?: V1NetworkPolicyPeer[];
  to?: V1NetworkPolicyPeer[];
  ports?: V1NetworkPolicyPort[];
}

/**
 * Name resolution, wherever it is. Cluster DNS is a pod for some network plugins and an address for others, so it is named both ways; it
 * is also at link-local addresses (NodeLocal DNSCache), and GKE's Cloud DNS is at the very address of the metadata service, whose own
 * port this does not open.
 */
export function dnsRule(): NetworkRule {
  return {
    to: [{ namespaceSelector: {} }, { ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }],
    ports: [...DNS_PORTS],
  };
}

/** Every address but those in the blocks. */
export function everywhereBut(blocked: readonly string[]): V1NetworkPolicyPeer[] {
  return [
    { ipBlock: { cidr: '0.0.0.0/0', except: blocked.filter((block) => !block.includes(':')) } },
    { ipBlock: { cidr: '::/0', except: blocked.filter((block) => block.includes(':')) } },
  ];
}
