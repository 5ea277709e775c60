import type {
  CoreV1Event,
  KubernetesObject,
  V1ConfigMap,
  V1Job,
  V1LimitRange,
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1Pod,
  V1ResourceQuota,
  V1Secret,
  V1Service,
  V1ServiceAccount,
} from '@kubernetes/client-node';

/** One Kubernetes resource: where it lives in the API and, as a type only, what its objects look like. */
export interface Resource<T extends KubernetesObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never set: it ties the object type to the resource for the compiler. */
  readonly object?: T;
}

/** Which object of a resource. `namespace` is absent for cluster-wide resources. */
export interface Ref {
  readonly namespace?: string | undefined;
  readonly name: string;
}

function core<T extends KubernetesObject>(kind: string, plural: string, namespaced = true): Resource<T> {
  return { apiVersion: 'v1', kind, plural, namespaced };
}

export const Namespaces = core<V1Namespace>('Namespace', 'namespaces', false);
export const Nodes = core<V1Node>('Node', 'nodes', false);
export const Pods = core<V1Pod>('Pod', 'pods');
export const Secrets = core<V1Secret>('Secret', 'secrets');
export const ConfigMaps = core<V1ConfigMap>('ConfigMap', 'configmaps');
export const Services = core<V1Service>('Service', 'services');
export const ServiceAccounts = core<V1ServiceAccount>('ServiceAccount', 'serviceaccounts');
export const LimitRanges = core<V1LimitRange>('LimitRange', 'limitranges');
export const ResourceQuotas = core<V1ResourceQuota>('ResourceQuota', 'resourcequotas');
export const PersistentVolumes = core<V1PersistentVolume>('PersistentVolume', 'persistentvolumes', false);
export const PersistentVolumeClaims = core<V1PersistentVolumeClaim>('PersistentVolumeClaim', 'persistentvolumeclaims');
export const Events = core<CoreV1Event>('Event', 'events');
export const NetworkPolicies: Resource<V1NetworkPolicy> = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  namespaced: true,
};

/** A Lease as JSON has it: client-node's type holds its times as objects. */
export interface Lease extends KubernetesObject {
  readonly spec?: {
    readonly holderIdentity?: string | undefined;
    readonly leaseDurationSeconds?: number | undefined;
    /** RFC 3339 with microseconds. */
    readonly acquireTime?: string | undefined;
    readonly renewTime?: string | undefined;
    readonly leaseTransitions?: number | undefined;
  };
}

export const Leases: Resource<Lease> = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

export const Jobs: Resource<V1Job> = { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced: true };

/** The URL path of a collection, or of one object when `name` is given. */
export function pathOf(
  resource: Resource<KubernetesObject>,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  const group = resource.apiVersion.includes('/') ? `/apis/${resource.apiVersion}` : `/api/${resource.apiVersion}`;
  const scope = resource.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${group}${scope}/${resource.plural}${object}${subresource === undefined ? '' : `/${subresource}`}`;
}
