import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { LabUser } from '../../src/domain/user.ts';
import { LabController } from '../../src/reconcile/lab-controller.ts';
import type { CreateLab } from '../../src/reconcile/lab-service.ts';
import { KubeClient } from '../../src/storage/kube-client.ts';
import { Namespaces, Secrets } from '../../src/storage/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import type { KubeRequest } from '../support/cluster-requests.ts';
import { aLabInput, aUser, configWithLab } from './cases.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

const key = { username: 'rachel', servername: '' };
const deadline = { timeout: 30_000, interval: 10 };
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A lab that has one of everything that can be made for a lab. */
function fullConfig(prefix: string) {
  return configWithLab(`
namespacePrefix: ${prefix}
namespaceRetention: 1h
internalUrl: serviceIp
secrets: [{ secretName: source, secretKey: key, env: KEY }]
pullSecret: registry
volumes:
  - { name: kept, persistentVolumeClaim: { storage: 1Gi, retain: true } }
  - { name: lost, persistentVolumeClaim: { storage: 1Gi } }
`);
}

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster.close();
});

describe('the rights in deploy/kubernetes/rbac.yaml', () => {
  it('cover every call of two spawns and two deletes of a lab that has everything', async () => {
    const controller = cluster.uniqueName('controller');
    await makeSources(controller);
    await spawnAndDeleteTwice(controller);
    const everywhere = await rulesOf('ClusterRole');
    const atHome = await rulesOf('Role');
    const refused = cluster.requests.all.filter(
      (request) =>
        request.resource !== '' &&
        !isCovered(request, everywhere) &&
        !(request.namespace === controller && isCovered(request, atHome)),
    );
    expect([...new Set(refused.map(({ verb, resource }) => `${verb} ${resource}`))]).toEqual([]);
  });
});

async function makeSources(namespace: string): Promise<void> {
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  await cluster.client.create(Secrets, { metadata: { name: 'source', namespace }, data: { key: base64('value') } });
  const data = { '.dockerconfigjson': base64('{"auths":{}}') };
  const type = 'kubernetes.io/dockerconfigjson';
  await cluster.client.create(Secrets, { metadata: { name: 'registry', namespace }, type, data });
}

async function spawnAndDeleteTwice(controller: string): Promise<void> {
  const prefix = cluster.uniqueName('rights');
  const kubelet = await cluster.startKubelet({ namespacePrefix: prefix });
  const config = fullConfig(prefix);
  const client = new KubeClient({ connection: cluster.connection() });
  const { labs, run } = startController(client, config, controller);
  await labs.ready();
  // The second user has another name for people, so that what was kept from the first spawn has to be made anew.
  for (const user of [aUser(), aUser({ name: 'R. Carson' })]) {
    await labs.create(request(config, user));
    await vi.waitFor(() => expect(labs.get(key)?.status).toBe('running'), deadline);
    await labs.delete(key);
    await vi.waitFor(() => expect(labs.get(key)).toBeUndefined(), deadline);
  }
  await run.stop();
  await kubelet.close();
  await client.close();
}

function startController(client: KubeClient, config: ReturnType<typeof fullConfig>, controller: string) {
  const halt = new AbortController();
  const it = new LabController({ client, config, controller, logger: pino({ level: 'silent' }) });
  const ended = it.run(halt.signal);
  const stop = async () => {
    halt.abort();
    await ended;
  };
  return { labs: it.labs, run: { stop } };
}

function request(config: ReturnType<typeof fullConfig>, user: LabUser): CreateLab {
  const { lab, secrets } = aLabInput(config, { user });
  const { options, image, resources, extendedResources, servicePrefix } = lab;
  const quota = { cpu: 4, memory: 2 ** 34, spawn: true };
  return { key, user, options, image, resources, extendedResources, quota, secrets, servicePrefix };
}

function isCovered({ path, resource, subresource, verb }: KubeRequest, rules: readonly Rule[]): boolean {
  const group = path.startsWith('/apis/') ? (path.split('/')[2] ?? '') : '';
  const named = subresource === '' ? resource : `${resource}/${subresource}`;
  return rules.some(
    ({ apiGroups, resources, verbs }) => apiGroups.includes(group) && resources.includes(named) && verbs.includes(verb),
  );
}

async function rulesOf(kind: string): Promise<readonly Rule[]> {
  const text = await readFile(new URL('../../deploy/kubernetes/rbac.yaml', import.meta.url), 'utf8');
  const documents = parseAllDocuments(text).map((document) => document.toJS() as { kind: string; rules?: Rule[] });
  return documents.find((document) => document.kind === kind)?.rules ?? [];
}
