import type { V1NetworkPolicy, V1NetworkPolicyPeer, V1ObjectMeta } from '@kubernetes/client-node';
import type { LabConfig } from '../../config/config.ts';
import { LAB_KIND, SHARED_NETWORK_POLICY_NAME } from '../../domain/lab/object-names.ts';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { labMetadata, labLabels, type BuildContext } from './context.ts';
import { dnsRule, everywhereBut, METADATA_SERVICES, type NetworkRule } from '../network-peers.ts';
import { copyOf } from '../values.ts';

/**
 * The policy of all labs in a namespace that they share: what `buildNetworkPolicy` makes for one. Undefined when network policies are off.
 *
 * @param controller namespace of Labwright: what its labs are labelled with
 */
export function buildSharedNetworkPolicy(config: LabConfig, controller: string): V1NetworkPolicy | undefined {
  const own = { [MANAGED_BY_LABEL]: MANAGED_BY, [CONTROLLER_LABEL]: controller };
  const metadata = { name: SHARED_NETWORK_POLICY_NAME, namespace: config.namespace ?? controller, labels: own };
  const labs = { [KIND_LABEL]: LAB_KIND, [CONTROLLER_LABEL]: controller };
  return buildPolicy(config, controller, { metadata, labs });
}

/**
 * Who may reach the lab (hub and proxy, on its port) and what it may reach: always the hub and DNS, never the metadata
 * service of a cloud, everything else if `internet` is on. Undefined when network policies are off.
 */
export function buildNetworkPolicy(context: BuildContext): V1NetworkPolicy | undefined {
  const { config, names, controller } = context;
  return buildPolicy(config, controller, {
    metadata: labMetadata(context, names.networkPolicy),
    labs: labLabels(context),
  });
}

function buildPolicy(
  config: LabConfig,
  controller: string,
  { metadata, labs }: { readonly metadata: V1ObjectMeta; readonly labs: Record<string, string> },
): V1NetworkPolicy | undefined {
  const rules = config.networkPolicy;
  if (!rules.enabled) return undefined;
  const { hub, proxy } = findPeers(rules, controller);
  const ingress: NetworkRule[] = [
    { from: [...hub, ...proxy], ports: [{ protocol: 'TCP', port: config.port }] },
    ...copyOf<NetworkRule[]>(rules.ingress),
  ];
  const egress: NetworkRule[] = [
    { to: hub },
    dnsRule(),
    ...(rules.internet ? [{ to: everywhereBut([...METADATA_SERVICES, ...rules.blocked]) }] : []),
    ...copyOf<NetworkRule[]>(rules.egress),
  ];
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: { podSelector: { matchLabels: labs }, policyTypes: ['Ingress', 'Egress'], ingress, egress },
  };
}

/**
 * Where hub and proxy are: as configured, else the pods with the labels of Zero to JupyterHub in the hub's namespaces. In any
 * namespace, whoever may label a pod could call itself the hub.
 *
 * @param controller namespace of Labwright
 */
function findPeers(
  { hub, proxy, hubNamespaces }: LabConfig['networkPolicy'],
  controller: string,
): Record<'hub' | 'proxy', V1NetworkPolicyPeer[]> {
  const labelled = (component: string) =>
    (hubNamespaces ?? [controller]).map((namespace) => ({
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
      podSelector: { matchLabels: { app: 'jupyterhub', component } },
    }));
  return {
    hub: hub === undefined ? labelled('hub') : copyOf<V1NetworkPolicyPeer[]>(hub),
    proxy: proxy === undefined ? labelled('proxy') : copyOf<V1NetworkPolicyPeer[]>(proxy),
  };
}
