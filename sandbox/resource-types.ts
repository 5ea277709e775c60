import { configMaps } from './kinds/config-maps.ts';
import { events } from './kinds/events.ts';
import { jobs } from './kinds/jobs.ts';
import { leases } from './kinds/leases.ts';
import { limitRanges } from './kinds/limit-ranges.ts';
import { namespaces } from './kinds/namespaces.ts';
import { networkPolicies } from './kinds/network-policies.ts';
import { nodes } from './kinds/nodes.ts';
import { persistentVolumeClaims } from './kinds/persistent-volume-claims.ts';
import { persistentVolumes } from './kinds/persistent-volumes.ts';
import { pods } from './kinds/pods.ts';
import { resourceQuotas } from './kinds/resource-quotas.ts';
import { secrets } from './kinds/secrets.ts';
import { serviceAccounts } from './kinds/service-accounts.ts';
import { services } from './kinds/services.ts';
import type { ResourceType } from './resource-type.ts';

/** Every kind the sandbox serves. */
export const RESOURCE_TYPES: readonly ResourceType[] = [
  configMaps,
  events,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  resourceQuotas,
  secrets,
  serviceAccounts,
  services,
  jobs,
  leases,
  networkPolicies,
];

const BY_PATH = new Map(RESOURCE_TYPES.map((type) => [`${type.group}/${type.version}/${type.plural}`, type]));

export function findResourceType(group: string, version: string, plural: string): ResourceType | undefined {
  return BY_PATH.get(`${group}/${version}/${plural}`);
}
