import type { KubernetesObject } from '@kubernetes/client-node';
import { Document, isMap, isScalar, type YAMLMap } from 'yaml';
import type { LabObjects } from './lab/lab-builder.ts';

/** The objects of a lab, in the order in which they can be made. */
export function listObjects(objects: LabObjects): KubernetesObject[] {
  const {
    namespace,
    serviceAccount,
    envSecret,
    secret,
    pullSecret,
    files,
    persistentVolumes = [],
    volumeClaims,
  } = objects;
  const { limitRange, resourceQuota, networkPolicy, service, extraObjects = [], pod } = objects;
  const later = [limitRange, resourceQuota, networkPolicy, service, ...extraObjects, pod];
  const first = [namespace, serviceAccount, envSecret, secret, pullSecret, files];
  return [...first, ...persistentVolumes, ...volumeClaims, ...later].filter((object) => object !== undefined);
}

/** Objects as YAML documents. What a Secret holds is written beside each value, where a person can read it. */
export function writeManifest(objects: readonly KubernetesObject[]): string {
  return objects.map(writeObject).join('---\n');
}

function writeObject(object: KubernetesObject): string {
  const document = new Document(object, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  const data = object.kind === 'Secret' ? document.get('data') : undefined;
  if (isMap(data)) explain(data);
  return document.toString({ lineWidth: 0 });
}

function explain(data: YAMLMap): void {
  for (const { value } of data.items) {
    if (isScalar<string>(value))
      value.comment = ` ${JSON.stringify(Buffer.from(value.value, 'base64').toString('utf8'))}`;
  }
}
