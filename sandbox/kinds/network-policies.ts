import { isIP } from 'node:net';
import type { JsonObject, KubeObject } from '../objects.ts';
import type { Cause } from '../resource-type.ts';
import { cause } from '../status.ts';
import { coreType, listAt, objectAt, specOf, textAt } from './common.ts';
import { checkByRules } from './kubernetes-rules.ts';

export const networkPolicies = {
  ...coreType(
    { plural: 'networkpolicies', singular: 'networkpolicy', kind: 'NetworkPolicy' },
    { defaults: withDefaults, validate: checkPeers },
  ),
  group: 'networking.k8s.io',
};

function withDefaults(object: KubeObject): KubeObject {
  const spec = specOf(object);
  const types = Array.isArray(spec['policyTypes'])
    ? spec['policyTypes']
    : ['Ingress', ...(listAt(spec, 'egress').length === 0 ? [] : ['Egress'])];
  const rules = Object.fromEntries(
    ['ingress', 'egress']
      .filter((field) => field in spec)
      .map((field) => [field, listAt(spec, field).map(withProtocol)]),
  );
  return { ...object, spec: { ...spec, ...rules, policyTypes: types } };
}

function withProtocol(rule: JsonObject): JsonObject {
  if (!('ports' in rule)) return rule;
  return { ...rule, ports: listAt(rule, 'ports').map((port) => ({ protocol: 'TCP', ...port })) };
}

/** A wrong address block in the server's own words; then everything else. */
function checkPeers(object: KubeObject): Cause[] {
  const causes = checkBlocks(object);
  return causes.length > 0 ? causes : checkRules(object);
}

function checkRules(object: KubeObject): Cause[] {
  const spec = specOf(object);
  return (['ingress', 'egress'] as const).flatMap((direction) =>
    listAt(spec, direction).flatMap((rule, index) => {
      const at = `spec.${direction}[${String(index)}]`;
      const side = direction === 'ingress' ? 'from' : 'to';
      return [
        ...listAt(rule, side).flatMap((peer, i) =>
          checkByRules('NetworkPolicyPeer', peer, `${at}.${side}[${String(i)}]`),
        ),
        ...listAt(rule, 'ports').flatMap((port, i) =>
          checkByRules('NetworkPolicyPort', port, `${at}.ports[${String(i)}]`),
        ),
      ];
    }),
  );
}

function checkBlocks(object: KubeObject): Cause[] {
  const spec = specOf(object);
  const peers = [
    ...listAt(spec, 'ingress').flatMap((rule, i) =>
      listAt(rule, 'from').map((peer, j) => ({ peer, path: `spec.ingress[${String(i)}].from[${String(j)}]` })),
    ),
    ...listAt(spec, 'egress').flatMap((rule, i) =>
      listAt(rule, 'to').map((peer, j) => ({ peer, path: `spec.egress[${String(i)}].to[${String(j)}]` })),
    ),
  ];
  return peers
    .filter(({ peer }) => 'ipBlock' in peer)
    .map(({ peer, path }) => ({ cidr: textAt(objectAt(peer, 'ipBlock'), 'cidr'), path }))
    .filter(({ cidr }) => !isCidr(cidr))
    .map(({ cidr, path }) =>
      cause.invalid(`${path}.ipBlock.cidr`, cidr, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'),
    );
}

function isCidr(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  const version = isIP(address);
  return version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}
