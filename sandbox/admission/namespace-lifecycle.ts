import { namespaces } from '../kinds/namespaces.ts';
import type { KubeObject } from '../objects.ts';
import type { ResourceType } from '../resource-type.ts';
import { forbidden, notFound } from '../status.ts';
import type { Store } from '../store.ts';

/** Nothing is made in a namespace that is missing (404) or ending (403). */
export function checkNamespace(store: Store, type: ResourceType, object: KubeObject): void {
  if (!type.namespaced) return;
  const namespace = object.metadata.namespace ?? '';
  const found = store.get(namespaces, '', namespace);
  if (found === undefined) throw notFound(namespaces, namespace);
  if (found.metadata.deletionTimestamp === undefined) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  throw forbidden(type, object.metadata.name, why, [
    {
      reason: 'NamespaceTerminating',
      message: `namespace ${namespace} is being terminated`,
      field: 'metadata.namespace',
    },
  ]);
}
