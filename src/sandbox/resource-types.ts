import { configMaps } from './kinds/config-maps.ts';
import { events } from './kinds/events.ts';
import { limitRanges } from './kinds/limit-ranges.ts';
import { namespaces } from './kinds/namespaces.ts';
import { networkPolicies } from './kinds/network-policies.ts';
import { nodes } from './kinds/nodes.ts';
import { persistentVolumeClaims } from './kinds/persistent-volume-claims.ts';
import { pods } from './kinds/pods.ts';
import { resourceQuotas } from './kinds/resource-quotas.ts';
import { secrets } from './kinds/secrets.ts';
import { serviceAccounts } from './kinds/service-accounts.ts';
import { services } from './kinds/services.ts';
import type { KubeObject } from './objects.ts';
import type { Cause } from './status.ts';

/** What one kind adds to the rules that hold for all of them. Every function is pure. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Whether `status` is written through a subresource only. */
  readonly hasStatus: boolean;
  /** Whether a delete answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  readonly names: 'label' | 'label1035' | 'subdomain';
  /** Field selectors beyond `metadata.name` and `metadata.namespace`. */
  readonly fields: readonly string[];
  /** Fills in what the caller left out. */
  readonly defaults: (object: KubeObject) => KubeObject;
  /** Status and other fields that a new object has, whatever its creator sent. */
  readonly initial?: (object: KubeObject) => KubeObject;
  readonly validate: (object: KubeObject) => Cause[];
  readonly validateUpdate: (object: KubeObject, old: KubeObject) => Cause[];
}

/** Every kind the sandbox serves. */
export const RESOURCE_TYPES: readonly ResourceType[] = [
  configMaps,
  events,
  limitRanges,
  namespaces,
  nodes,
  persistentVolumeClaims,
  pods,
  resourceQuotas,
  secrets,
  serviceAccounts,
  services,
  networkPolicies,
];

const BY_PATH = new Map(RESOURCE_TYPES.map((type) => [`${type.group}/${type.version}/${type.plural}`, type]));

export function findResourceType(group: string, version: string, plural: string): ResourceType | undefined {
  return BY_PATH.get(`${group}/${version}/${plural}`);
}

export function apiVersionOf(type: ResourceType): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}
