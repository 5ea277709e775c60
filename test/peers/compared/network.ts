import type { V1NetworkPolicyPeer } from '@kubernetes/client-node';
import type { NetworkRule } from '../../../src/builder/network-peers.ts';
import type { Table } from '../../../src/cli/import/source.ts';

/** Addresses that stand for what labs may or may not reach. */
const PLACES = [
  ['the metadata service of the cloud', '169.254.169.254', 80],
  ['a private address', '10.1.2.3', 443],
  ['the internet, port 443', '198.51.100.7', 443],
  ['the internet, port 22', '198.51.100.7', 22],
  ['name servers', '10.96.0.10', 53],
] as const;

/** What may be reached, by what is reached; pods by their labels and their namespace. */
export function reachFacts(
  egress: readonly NetworkRule[] | undefined,
  own: string,
  isBlocked: boolean,
): [string, string][] {
  if (egress === undefined) return [['reaches everything', 'yes']];
  const places = PLACES.map(([name, address, port]): [string, string] => {
    const isReached = egress.some(
      (rule) => hasPort(rule, port) && (rule.to ?? []).some((peer) => holds(peer, address)),
    );
    const isKeptAway = isBlocked && name === PLACES[0][0];
    return [`reaches ${name}`, isReached && !isKeptAway ? 'yes' : 'no'];
  });
  const pods = egress.flatMap((rule) =>
    (rule.to ?? []).flatMap((peer): [string, string][] =>
      peer.ipBlock === undefined && peer.podSelector !== undefined
        ? [[`reaches pods ${labels(peer.podSelector)} of ${namespaceOf(peer, own)}`, 'yes']]
        : [],
    ),
  );
  return [...places, ...pods];
}

/** Who may reach it, where no rule names addresses. */
export function reachedFacts(ingress: readonly NetworkRule[], own: string): [string, string][] {
  return ingress.flatMap(({ from = [], ports = [] }) =>
    from.map((peer): [string, string] => [
      `reached by pods ${labels(peer.podSelector ?? {})} of ${namespaceOf(peer, own)}`,
      `port ${ports.map(({ port }) => String(port)).join(', ')}`,
    ]),
  );
}

function hasPort({ ports = [] }: NetworkRule, port: number): boolean {
  return ports.length === 0 || ports.some((each) => each.port === undefined || Number(each.port) === port);
}

function holds({ ipBlock }: V1NetworkPolicyPeer, address: string): boolean {
  return (
    ipBlock !== undefined &&
    isIn(address, ipBlock.cidr) &&
    !(ipBlock.except ?? []).some((block) => isIn(address, block))
  );
}

function isIn(address: string, block: string): boolean {
  const [base = '', bits = '32'] = block.split('/');
  if (base.includes(':')) return false;
  const size = 2 ** (32 - Number(bits));
  return Math.floor(numberOf(address) / size) === Math.floor(numberOf(base) / size);
}

function numberOf(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

function labels(selector: object): string {
  return Object.entries((selector as { matchLabels?: Record<string, string> }).matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',');
}

function namespaceOf({ namespaceSelector }: V1NetworkPolicyPeer, own: string): string {
  if (namespaceSelector === undefined) return own;
  return labels(namespaceSelector).replace('kubernetes.io/metadata.name=', '');
}

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
const METADATA = '169.254.169.254/32';

/** The rules that the chart makes for what labs reach; undefined where it makes none. */
export function chartRules({ singleuser }: Table): { egress: NetworkRule[] | undefined; isBlocked: boolean } {
  const { networkPolicy: policy, cloudMetadata } = singleuser as {
    networkPolicy: { enabled: boolean; egress: NetworkRule[]; egressAllowRules: Record<string, boolean> };
    cloudMetadata: { blockWithIptables: boolean };
  };
  const isBlocked = cloudMetadata.blockWithIptables;
  if (!policy.enabled) return { egress: undefined, isBlocked };
  const allowed = policy.egressAllowRules;
  const to = (cidrs: readonly string[], except: readonly string[] = []) =>
    cidrs.map((cidr) => ({ ipBlock: { cidr, ...(except.length === 0 ? {} : { except: [...except] }) } }));
  const dns = [
    { protocol: 'UDP', port: 53 },
    { protocol: 'TCP', port: 53 },
  ];
  const ofHub = (component: string) => ({ podSelector: { matchLabels: { app: 'jupyterhub', component } } });
  const egress: NetworkRule[] = [
    { to: [ofHub('hub')] },
    ...(allowed['cloudMetadataServer'] ? [{ to: to([METADATA]) }] : []),
    ...(allowed['dnsPortsCloudMetadataServer'] ? [{ to: to([METADATA]), ports: dns }] : []),
    ...(allowed['dnsPortsPrivateIPs'] ? [{ to: to(PRIVATE), ports: dns }] : []),
    ...(allowed['nonPrivateIPs'] ? [{ to: to(['0.0.0.0/0'], [...PRIVATE, METADATA]) }] : []),
    ...(allowed['privateIPs'] ? [{ to: to(PRIVATE) }] : []),
    ...policy.egress,
  ];
  return { egress, isBlocked };
}
