import { readFile, readdir } from 'node:fs/promises';
import type { KubernetesObject, V1Job, V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import {
  Jobs,
  Namespaces,
  NetworkPolicies,
  Pods,
  Secrets,
  ServiceAccounts,
  type Resource,
} from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';

const GOLDEN = new URL('../../golden/', import.meta.url);
const files = (await readdir(GOLDEN)).filter((file) => file.startsWith('build-'));
const byKind = new Map<string, Resource<KubernetesObject>>(
  [Namespaces, ServiceAccounts, NetworkPolicies, Secrets, Jobs].map((resource) => [resource.kind, resource]),
);

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster();
  if (cluster.kind === 'apiserver') await makeClasses();
});
afterAll(async () => {
  await cluster.close();
});

describe('the API server takes every golden build', () => {
  it.each(files)('%s', async (file) => {
    const { client } = cluster;
    const text = await readFile(new URL(file, GOLDEN), 'utf8');
    const [namespace, ...inside] = parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
    const name = cluster.uniqueName('builds');
    await client.create(Namespaces, { ...namespace, metadata: { ...namespace!.metadata, name } });
    try {
      for (const object of inside) {
        const mine = { ...object, metadata: { ...object.metadata, namespace: name } };
        const resource = byKind.get(object.kind ?? '')!;
        const answer = await client.create(resource, mine, { dryRun: true });
        // Written back as it was sent: whoever compares the two finds no difference that is none.
        expect(answer).toMatchObject(mine);
        if (object.kind === 'ServiceAccount') await client.create(resource, mine);
        if (object.kind === 'Job') await admitPod(object, name);
      }
    } finally {
      await client.delete(Namespaces, { name });
    }
  });
});

/** A Job is taken whatever its pod is; what Pod Security says of the pod is seen when there is one. */
async function admitPod({ spec }: V1Job, namespace: string): Promise<void> {
  const { metadata, spec: pod } = spec!.template;
  const mine: V1Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'pod', namespace }, spec: pod! };
  const answer = await cluster.client.create(Pods, mine, { dryRun: true });
  expect({ ...answer.spec, tolerations: undefined }).toMatchObject({ ...pod, tolerations: undefined });
}

/** Classes that the build with everything names; another run may have made them already. */
async function makeClasses(): Promise<void> {
  const priority = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', plural: 'priorityclasses' };
  const runtime = { apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', plural: 'runtimeclasses' };
  const { client } = cluster;
  const value = { apiVersion: priority.apiVersion, kind: priority.kind, metadata: { name: 'builds' }, value: 0 };
  await client.apply({ ...priority, namespaced: false }, value);
  const handler = {
    apiVersion: runtime.apiVersion,
    kind: runtime.kind,
    metadata: { name: 'gvisor' },
    handler: 'runsc',
  };
  await client.apply({ ...runtime, namespaced: false }, handler);
}
