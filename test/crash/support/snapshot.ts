import type { KubernetesObject, V1ObjectMeta } from '@kubernetes/client-node';
import { MANAGED_BY, MANAGED_BY_LABEL } from '../../../src/domain/names.ts';
import type { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import * as resources from '../../../src/storage/kubernetes/resources.ts';

const KINDS: readonly resources.Resource<KubernetesObject>[] = [
  resources.ServiceAccounts,
  resources.Secrets,
  resources.ConfigMaps,
  resources.LimitRanges,
  resources.ResourceQuotas,
  resources.NetworkPolicies,
  resources.Services,
  resources.PersistentVolumeClaims,
  resources.Pods,
];

/** What differs between two labs or two moments and means nothing. */
const VOLATILE_METADATA = new Set(['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generation']);
/**
 * When and by which spawn the namespace was last left, and whether all in it was known to be complete by then: a delete that was cut short
 * does not know, and leaves it to the next spawn to look at every object.
 */
const VOLATILE_ANNOTATIONS = new Set([
  'labwright.dev/kept-since',
  'labwright.dev/ended-spawn',
  'labwright.dev/spec-hash',
]);
const VOLATILE_FIELDS = new Set(['status', 'clusterIP', 'clusterIPs']);
/** In the specification, which is JSON inside of JSON. */
const TIME = /(\\"(?:createdAt|deadline)\\":)\d+/g;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export interface WhatIsLeft {
  /** Kind and name of everything that Labwright has made for the lab, the intent included. */
  readonly names: string[];
  /** Their content without what is volatile, the user's name replaced. */
  readonly content: Record<string, string>;
}

/** Everything that is in the cluster of one lab, in a form that can be compared with that of another lab. */
export async function snapshot(
  client: KubeClient,
  { namespace, controller, username }: { namespace: string; controller: string; username: string },
): Promise<WhatIsLeft> {
  const content: Record<string, string> = {};
  const add = (kind: string, object: KubernetesObject | undefined): void => {
    if (object === undefined || object.metadata?.labels?.[MANAGED_BY_LABEL] !== MANAGED_BY) return;
    const text = JSON.stringify(essence(object), undefined, 1);
    content[`${kind} ${object.metadata.name}`.replaceAll(username, 'USER')] = text
      .replaceAll(username, 'USER')
      .replaceAll(UUID, 'UUID')
      .replaceAll(TIME, '$1TIME');
  };
  const lists = await Promise.all(KINDS.map((kind) => client.list(kind, { namespace })));
  lists.forEach(({ items }, index) => items.forEach((item) => add(KINDS[index]?.kind ?? '', item)));
  add('Namespace', await client.get(resources.Namespaces, { name: namespace }));
  add('Intent', await client.get(resources.Secrets, { namespace: controller, name: `lab-${username}` }));
  return { names: Object.keys(content).sort(), content };
}

function essence(object: KubernetesObject): unknown {
  const { metadata = {}, ...rest } = object;
  return sorted({ ...rest, metadata: essentialMetadata(metadata) });
}

function essentialMetadata(metadata: V1ObjectMeta): unknown {
  const kept = Object.entries(metadata).filter(([field]) => !VOLATILE_METADATA.has(field));
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => !VOLATILE_ANNOTATIONS.has(name));
  return { ...Object.fromEntries(kept), annotations: Object.fromEntries(annotations) };
}

/** Keys in order; data of Secrets readable, so that the user's name in it can be replaced. */
function sorted(value: unknown, within = ''): unknown {
  if (Array.isArray(value)) return value.map((each) => sorted(each));
  if (typeof value === 'string' && within === 'data') return decode(value);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([field]) => !VOLATILE_FIELDS.has(field));
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([field, each]) => [field, sorted(each, within === 'data' ? within : field)]));
}

function decode(text: string): string {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes.toString('utf8') : text;
}
