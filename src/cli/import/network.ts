import { isRecord } from '../../util/is-record.ts';
import { compact, type Fragment } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
const METADATA = '169.254.169.254/32';
/** Where the hub is: the namespace that the imported configuration names for it. */
export const HUB_NAMESPACE = 'jupyterhub';

/** What labs may reach, and who may reach them: what the chart makes of `networkPolicy` and `cloudMetadata`, its defaults with them. */
export function importNetwork(singleuser: Source): Fragment {
  const policy = singleuser.at('networkPolicy');
  const allowed = policy?.at('egressAllowRules');
  const isAllowed = (key: string, otherwise: boolean) => {
    const value = allowed?.at(key)?.value;
    return typeof value === 'boolean' ? value : otherwise;
  };
  allowed?.mapped('lab.networkPolicy');
  const metadata = singleuser.at('cloudMetadata', 'blockWithIptables');
  metadata?.mapped('lab.networkPolicy');
  const isOpen = metadata?.value === false;
  const [internet, internal] = [isAllowed('nonPrivateIPs', true), isAllowed('privateIPs', false)];

  const own = importRules(policy?.at('egress'), 'egress', isOpen);
  const ingress = importRules(policy?.at('ingress'), 'ingress', true);
  const reached = [
    ...(isOpen || isAllowed('cloudMetadataServer', false) ? [METADATA] : []),
    ...(internal && !internet ? PRIVATE : []),
  ];
  const enabled = policy?.at('enabled');
  enabled?.mapped('lab.networkPolicy.enabled');
  return {
    networkPolicy: compact({
      enabled: enabled?.value === false ? false : undefined,
      internet: internet ? undefined : false,
      blocked: internet && !internal ? PRIVATE : [],
      ingress,
      egress: [...own, ...(reached.length === 0 ? [] : [{ to: reached.map((cidr) => ({ ipBlock: { cidr } })) }])],
    }),
  };
}

function importRules(source: Source | undefined, key: 'egress' | 'ingress', isOpen: boolean): Json[] {
  const peers = key === 'egress' ? 'to' : 'from';
  return (source?.entries() ?? []).map(([, entry]) => {
    const rule = entry.value;
    const to = `lab.networkPolicy.${key}`;
    if (!isRecord(rule) || !Array.isArray(rule[peers])) {
      entry.mapped(to);
      return rule;
    }
    const before: readonly Json[] = rule[peers];
    const after = before.map((peer) => (isRecord(peer) ? peerOf(peer, isOpen) : peer));
    if (after.every((peer, index) => peer === before[index])) entry.mapped(to);
    else {
      const why = `pods are those of the namespace of the hub (${HUB_NAMESPACE}); the metadata service of the cloud stays blocked`;
      entry.remarked(to, why);
    }
    return { ...rule, [peers]: after };
  });
}

/** Pods without a namespace are those beside the hub there, and beside the lab here. A privileged container blocked the metadata service. */
function peerOf(peer: Table, isOpen: boolean): Table {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (podSelector !== undefined && namespaceSelector === undefined && ipBlock === undefined) {
    return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': HUB_NAMESPACE } }, podSelector };
  }
  if (!isOpen && isRecord(ipBlock) && /^(?:0\.0\.0\.0\/0|169\.254\.)/.test(String(ipBlock['cidr']))) {
    const except = Array.isArray(ipBlock['except']) ? (ipBlock['except'] as Json[]) : [];
    if (!except.includes(METADATA)) return { ...peer, ipBlock: { ...ipBlock, except: [...except, METADATA] } };
  }
  return peer;
}
