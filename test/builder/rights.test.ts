import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { LabUser } from '../../src/domain/user/user.ts';
import { KeyService } from '../../src/auth/keys/service.ts';
import { labTokens, type LabTokens } from '../../src/auth/keys/lab-tokens.ts';
import type { Config } from '../../src/config/index.ts';
import { createLabs } from '../../src/app/labs.ts';
import { Manager } from '../../src/reconcile/manager.ts';
import { runKeys } from '../support/run-keys.ts';
import type { CreateLab } from '../../src/reconcile/labs/lab-service.ts';
import { KeyStore } from '../../src/storage/kubernetes/key-store.ts';
import { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import type { KubeRequest } from '../support/cluster-requests.ts';
import { PullProblem } from '../../sandbox/index.ts';
import { images, PrepullSetting } from '../reconcile/images/setting.ts';
import { aLabInput, aUser, configWithLab } from './cases.ts';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

const key = { username: 'rachel', servername: '' };
const deadline = { timeout: 30_000, interval: 10 };
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A lab that has one of everything that can be made for a lab. */
function fullConfig(prefix: string, namespaces: 'perLab' | 'shared' = 'perLab') {
  const shared = `namespaces: shared\nnamespace: ${prefix}-shared`;
  return configWithLab(`
${namespaces === 'shared' ? shared : `namespacePrefix: ${prefix}`}
namespaceRetention: 1h
internalUrl: serviceIp
secrets: [{ secretName: source, secretKey: key, env: KEY }]
pullSecret: registry
volumes:
  - { name: kept, persistentVolumeClaim: { storage: 1Gi, retain: true } }
  - { name: lost, persistentVolumeClaim: { storage: 1Gi } }
${namespaces === 'shared' ? '' : '  - { name: homes, persistentVolume: { nfs: { server: nfs.example.org, path: /homes } } }'}
${namespaces === 'shared' ? '' : 'extraObjects: [{ apiVersion: v1, kind: ConfigMap, metadata: { name: settings } }]'}
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
  it('cover every call of a lab that has everything: spawned, deleted, and cleaned up after its pod was lost', async () => {
    const controller = cluster.uniqueName('controller');
    await makeSources(controller);
    await liveAndDie(controller);
    const everywhere = [
      ...(await rulesOf('ClusterRole')),
      ...(await rulesOf('ClusterRole', '../kubernetes-volumes/rbac.yaml')),
    ];
    const atHome = await rulesOf('Role');
    const refused = () =>
      cluster.requests.all.filter(
        (request) =>
          request.resource !== '' &&
          !isCovered(request, everywhere) &&
          !(request.namespace === controller && isCovered(request, atHome)),
      );
    const names = () => [...new Set(refused().map(({ verb, resource }) => `${verb} ${resource}`))];
    expect(names()).toEqual([]);
    await renewAToken(controller);
    expect(names()).toEqual([]);
  });
});

describe('the rights in deploy/kubernetes-shared', () => {
  it('cover the same where labs share a namespace, in that namespace alone', async () => {
    const controller = cluster.uniqueName('controller');
    await makeSources(controller);
    const since = performance.now();
    cluster.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'list' && resource === 'namespaces' ? { status: 403, reason: 'Forbidden' } : 'pass';
    const shared = await liveAndDie(controller, 'shared');
    cluster.proxy.onCall = () => 'pass';
    const there = await rulesOf('Role', '../kubernetes-shared/rbac.yaml');
    const atHome = await rulesOf('Role');
    const refused = cluster.requests
      .calls(since)
      .filter((request) => request.resource !== '')
      // Whether there is a right to see namespaces is found out.
      .filter(({ verb, resource }) => !(verb === 'list' && resource === 'namespaces'))
      .filter((request) => !(request.namespace === controller && isCovered(request, atHome)))
      .filter((request) => !(request.namespace === shared && isCovered(request, there)));
    expect(refused.map(({ verb, resource, namespace }) => `${verb} ${resource} in ${namespace}`)).toEqual([]);
  });
});

describe('the rights in deploy/kubernetes-prepull', () => {
  it('cover every call of images that are pulled ahead, with one that fails, and of switching that off', async () => {
    const wanted = images(7);
    const [broken] = wanted;
    const pull = (image: string) =>
      image === broken?.reference ? Promise.reject(new PullProblem('not found')) : Promise.resolve();
    const setting = await PrepullSetting.create(cluster, { nodes: 1, wanted, world: { pull }, podName: 'labwright-0' });
    setting.start();
    const failed = () => setting.view.of(broken?.digest ?? '')?.failure?.reason;
    await vi.waitFor(() => expect(failed()).toBe('ErrImagePull'), deadline);
    await vi.waitFor(() => expect(setting.view.of(wanted[6]?.digest ?? '')?.missing).toEqual([]), deadline);
    await setting.untilNoPods();
    await setting.stop();
    setting.start({ off: true });
    await vi.waitFor(async () => expect(await setting.record()).toBeUndefined(), deadline);
    const calls = setting.proxy.requests.all.map((request) => ({ ...request, name: nameOf(request) }));
    await setting.close();
    const everywhere = await rulesOf('ClusterRole', '../kubernetes-prepull/rbac.yaml');
    const atHome = await rulesOf('Role', '../kubernetes-prepull/rbac.yaml');
    const refused = calls.filter(
      (request) =>
        !isCovered(request, everywhere) && !(request.namespace === setting.namespace && isCovered(request, atHome)),
    );
    expect(refused.map(({ verb, resource, name }) => `${verb} ${resource} ${name}`)).toEqual([]);
    expect(calls.map(({ verb }) => verb)).toEqual(
      expect.arrayContaining(['create', 'delete', 'deletecollection', 'update']),
    );
  });
});

async function makeSources(namespace: string): Promise<void> {
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  await cluster.client.create(Secrets, { metadata: { name: 'source', namespace }, data: { key: base64('value') } });
  const data = { '.dockerconfigjson': base64('{"auths":{}}') };
  const type = 'kubernetes.io/dockerconfigjson';
  await cluster.client.create(Secrets, { metadata: { name: 'registry', namespace }, type, data });
}

async function liveAndDie(controller: string, namespaces: 'perLab' | 'shared' = 'perLab'): Promise<string> {
  const prefix = cluster.uniqueName('rights');
  if (namespaces === 'shared') await cluster.client.create(Namespaces, { metadata: { name: `${prefix}-shared` } });
  const kubelet = await cluster.startKubelet({ namespacePrefix: prefix });
  const config = fullConfig(prefix, namespaces);
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
  await labs.create(request(config, aUser()));
  await vi.waitFor(() => expect(labs.get(key)?.status).toBe('running'), deadline);
  const { namespace = '', objectName: name = 'lab' } = labs.get(key)?.spec ?? {};
  await kubelet.remove({ namespace, name });
  await vi.waitFor(() => expect(labs.get(key)?.status).toBe('failed'), deadline);
  await labs.delete(key);
  await run.stop();
  await kubelet.close();
  await client.close();
  return namespace;
}

/** A lab whose token is signed with keys in the cluster, until that has been renewed. */
async function renewAToken(controller: string): Promise<void> {
  const prefix = cluster.uniqueName('rights');
  const kubelet = await cluster.startKubelet({ namespacePrefix: prefix });
  const full = fullConfig(prefix);
  const config = { ...full, lab: { ...full.lab, token: { source: 'signed', lifetime: 1_000 } as const } };
  const client = new KubeClient({ connection: cluster.connection() });
  const store = new KeyStore(client, controller);
  const lifetimes = { signing: 1_000, sealing: 1_000 };
  const keys = new KeyService({ store, logger: pino({ level: 'silent' }), lifetimes });
  const halt = new AbortController();
  const keeping = runKeys(keys, halt.signal);
  const { labs, run } = startController(client, config, controller, labTokens(config, keys));
  await labs.ready();
  await labs.create(request(config, aUser()));
  const isNoted = ({ verb, resource, namespace }: KubeRequest) =>
    verb === 'patch' && resource === 'secrets' && namespace === controller;
  const since = performance.now();
  await vi.waitFor(() => expect(cluster.requests.calls(since, isNoted)).not.toEqual([]), deadline);
  await labs.delete(key);
  await run.stop();
  halt.abort();
  await keeping;
  await kubelet.close();
  await client.close();
}

function startController(client: KubeClient, config: Config, controller: string, tokens?: LabTokens) {
  const halt = new AbortController();
  const logger = pino({ level: 'silent' });
  const it = createLabs({ client, config, controller, tokens, logger });
  const manager = new Manager({ logger }).addCache(...it.caches).addController(...it.controllers);
  const ended = manager.run(halt.signal);
  const stop = async () => {
    halt.abort();
    await ended;
  };
  return { labs: it.labs, run: { stop } };
}

function request(config: Config, user: LabUser): CreateLab {
  const { lab, secrets } = aLabInput(config, { user });
  const { options, image, resources, extendedResources, servicePrefix } = lab;
  const quota = { cpu: 4, memory: 2 ** 34, spawn: true };
  return { key, user, options, image, resources, extendedResources, quota, secrets, servicePrefix };
}

/** A list of the one object that a field selector names is authorized as that object. */
function nameOf({ name, url }: KubeRequest): string {
  const fields = new URL(url, 'http://cluster').searchParams.get('fieldSelector') ?? '';
  return name || (/^metadata\.name=([^,]+)$/.exec(fields)?.[1] ?? '');
}

function isCovered({ path, resource, name, subresource, verb }: KubeRequest, rules: readonly Rule[]): boolean {
  const group = path.startsWith('/apis/') ? (path.split('/')[2] ?? '') : '';
  const named = subresource === '' ? resource : `${resource}/${subresource}`;
  return rules.some(
    ({ apiGroups, resources, resourceNames, verbs }) =>
      apiGroups.includes(group) &&
      resources.includes(named) &&
      verbs.includes(verb) &&
      (resourceNames?.includes(name) ?? true),
  );
}

async function rulesOf(kind: string, file = 'rbac.yaml'): Promise<readonly Rule[]> {
  const text = await readFile(new URL(`../../deploy/kubernetes/${file}`, import.meta.url), 'utf8');
  const documents = parseAllDocuments(text).map((document) => document.toJS() as { kind: string; rules?: Rule[] });
  return documents.find((document) => document.kind === kind)?.rules ?? [];
}
