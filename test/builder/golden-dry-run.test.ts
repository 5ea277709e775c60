import { readFile, readdir } from 'node:fs/promises';
import type { KubernetesObject, V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import * as resources from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';

const GOLDEN = new URL('../golden/', import.meta.url);
const files = (await readdir(GOLDEN)).filter((file) => file.startsWith('lab-'));

const byKind = new Map<string, resources.Resource<KubernetesObject>>(
  Object.values(resources)
    .filter((value) => typeof value === 'object')
    .map((resource) => [resource.kind, resource]),
);

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster();
  if (cluster.kind === 'apiserver') await makeClasses();
});
afterAll(async () => {
  await cluster.close();
});

describe('the API server takes every golden lab', () => {
  it.each(files)('%s', async (file) => {
    const { client } = cluster;
    const objects = await readGolden(file);
    const isShared = objects.every(({ kind }) => kind !== 'Namespace');
    const [namespace, ...inside] = isShared ? [{ apiVersion: 'v1', kind: 'Namespace' }, ...objects] : objects;
    if (!isShared) await client.create(resourceOf(namespace!), namespace!, { dryRun: true });

    const name = cluster.uniqueName('golden');
    await client.create(resourceOf(namespace!), moved(namespace!, { name }));
    try {
      // The account of a lab is somebody else's there.
      if (isShared) await makeAccounts(name);
      for (const object of inside) {
        const mine = moved(object, { namespace: name });
        const answer = await client.create(resourceOf(object), mine, { dryRun: true });
        // Written back as it was sent: whoever compares the two finds no difference that is none.
        expect(withoutAdmitted(answer)).toMatchObject(withoutAdmitted(mine));
        // The pod is admitted only where what it refers to is there.
        if (object.kind !== 'Pod') await client.create(resourceOf(object), mine);
      }
    } finally {
      await client.delete(resourceOf(namespace!), { name });
    }
  });
});

it('asks for Pod Security restricted where the ten-line configuration is used, so that its lab above was admitted by it', async () => {
  const [namespace] = await readGolden('lab-default.yaml');
  expect(namespace?.metadata?.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
});

async function makeAccounts(namespace: string): Promise<void> {
  for (const name of ['default', 'notebooks']) {
    await cluster.client.apply(resources.ServiceAccounts, { metadata: { namespace, name } });
  }
}

async function readGolden(file: string): Promise<KubernetesObject[]> {
  const text = await readFile(new URL(file, GOLDEN), 'utf8');
  return parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
}

function resourceOf({ kind }: KubernetesObject): resources.Resource<KubernetesObject> {
  const resource = byKind.get(kind ?? '');
  if (resource === undefined) throw new Error(`no resource for kind ${kind ?? ''}`);
  return resource;
}

function moved(object: KubernetesObject, change: { name?: string; namespace?: string }): KubernetesObject {
  return { ...object, metadata: { ...object.metadata, ...change } };
}

/** Admission adds tolerations of its own to every pod. */
function withoutAdmitted(object: KubernetesObject): KubernetesObject {
  const { spec } = object as V1Pod;
  return object.kind === 'Pod'
    ? ({ ...object, spec: { ...spec, tolerations: undefined } } as KubernetesObject)
    : object;
}

/** Classes that the lab with everything names; another run of this file may have made them already. */
async function makeClasses(): Promise<void> {
  const priorityClasses = {
    apiVersion: 'scheduling.k8s.io/v1',
    kind: 'PriorityClass',
    plural: 'priorityclasses',
    namespaced: false,
  };
  const runtimeClasses = {
    apiVersion: 'node.k8s.io/v1',
    kind: 'RuntimeClass',
    plural: 'runtimeclasses',
    namespaced: false,
  };
  const { apiVersion, kind } = priorityClasses;
  const priorityClass = { apiVersion, kind, metadata: { name: 'labs' }, value: 0, description: 'Labs.' };
  await cluster.client.apply(priorityClasses, priorityClass);
  const runtimeClass = {
    apiVersion: runtimeClasses.apiVersion,
    kind: runtimeClasses.kind,
    metadata: { name: 'gvisor' },
    handler: 'runsc',
  };
  await cluster.client.apply(runtimeClasses, runtimeClass);
}
