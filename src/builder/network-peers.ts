import type { V1NetworkPolicyPeer, V1NetworkPolicyPort } from '@kubernetes/client-node';

/** Where clouds hand out credentials of the node to whoever asks. */
export const METADATA_SERVICES = ['169.254.169.254/32', 'fd00:ec2::254/128'];

export const DNS_PORTS: readonly V1NetworkPolicyPort[] = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
];

/** A rule as it is sent; the client library's types call `from` by another name. */
export interface NetworkRule {
  from?: V1NetworkPolicyPeer[];
  to?: V1NetworkPolicyPeer[];
  ports?: V1NetworkPolicyPort[];
}

/** Every address but those in the blocks. */
export function everywhereBut(blocked: readonly string[]): V1NetworkPolicyPeer[] {
  return [
    { ipBlock: { cidr: '0.0.0.0/0', except: blocked.filter((block) => !block.includes(':')) } },
    { ipBlock: { cidr: '::/0', except: blocked.filter((block) => block.includes(':')) } },
  ];
}
