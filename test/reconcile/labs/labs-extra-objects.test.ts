import type { KubernetesObject } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import {
  ConfigMaps,
  NetworkPolicies,
  type Resource,
  Secrets,
  Services,
} from '../../../src/storage/kubernetes/resources.ts';
import { itNeedsControllers, itNeedsRealKinds } from '../../support/cluster-needs.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster();

const SETTINGS = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'settings-{slug}' },
  data: { user: '{username}' },
};
const PORTS = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'ports-{slug}' },
  spec: { ports: [{ port: 4040 }] },
};
const KEYS = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'keys-{slug}' },
  stringData: { key: 'of {username}' },
};
const POLICY = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'policy-{slug}', labels: { of: 'labs' } },
  spec: { podSelector: {}, ingress: [{}] },
};
const ALL = [SETTINGS, PORTS, KEYS, POLICY];

const RESOURCES: readonly Resource<KubernetesObject>[] = [ConfigMaps, Services, Secrets, NetworkPolicies];

/** What is there of the objects of the configuration for a lab. */
async function extras(setting: Setting, slug = 'ada'): Promise<KubernetesObject[]> {
  const namespace = setting.namespaceOf();
  const found = await Promise.all(
    ALL.map(({ metadata }, index) =>
      setting.client.get(RESOURCES[index]!, { namespace, name: metadata.name.replace('{slug}', slug) }),
    ),
  );
  return found.filter((object) => object !== undefined);
}

const withExtras = (...extraObjects: object[]) => aConfig({ extraObjects } as Parameters<typeof aConfig>[0]);

describe.each(['perLab', 'shared'] as const)('objects of the configuration, where namespaces are %s', (namespaces) => {
  itNeedsControllers('are made with each lab, with its user in them, and go with it', async () => {
    const setting = await clusters.setting({ namespaces, config: withExtras(...ALL) });
    await setting.spawn(aLab());
    const [settings, ports, keys, policy] = await extras(setting);
    expect(settings).toMatchObject({ data: { user: 'ada' }, metadata: { labels: { 'labwright.dev/lab': 'ada' } } });
    expect(ports).toMatchObject({ spec: { ports: [{ port: 4040 }] } });
    expect(keys).toMatchObject({ data: { key: Buffer.from('of ada').toString('base64') } });
    expect(policy?.metadata?.labels).toMatchObject({ of: 'labs', 'app.kubernetes.io/managed-by': 'labwright' });
    expect(setting.state().status).toBe('running');
    await setting.labs.delete(aKey());
    await until('they are gone', async () => (await extras(setting)).length === 0);
  });

  itNeedsControllers(
    'are made again for the next spawn, also while those of the last one are still there',
    async () => {
      const setting = await clusters.setting({ namespaces, config: withExtras(SETTINGS) });
      for (let spawn = 0; spawn < 3; spawn += 1) {
        await setting.spawn(aLab());
        const [settings] = await extras(setting);
        const env = await setting.client.get(Secrets, {
          namespace: setting.namespaceOf(),
          name: setting.names().envSecret,
        });
        expect(settings?.metadata?.ownerReferences).toMatchObject([{ uid: env?.metadata?.uid }]);
        await setting.labs.delete(aKey());
      }
      await until('the last one is gone', async () => (await extras(setting)).length === 0);
    },
  );

  itNeedsControllers('go with labs that were made with another configuration, too', async () => {
    const setting = await clusters.setting({ namespaces, config: withExtras(SETTINGS) });
    await setting.spawn(aLab());
    setting.reconfigure(aConfig());
    await setting.labs.delete(aKey());
    await until('they are gone', async () => (await extras(setting)).length === 0);
  });

  it('do not take what is somebody else’s', async () => {
    const setting = await clusters.setting({ namespaces, config: withExtras(SETTINGS) });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const ref = { namespace: setting.namespaceOf(), name: 'settings-ada' };
    await until('it is gone', async () => (await setting.client.get(ConfigMaps, ref)) === undefined);
    const foreign = await setting.client.create(ConfigMaps, { metadata: ref, data: { foreign: 'yes' } });
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NameTaken' });
    expect((await setting.client.get(ConfigMaps, ref))?.metadata?.uid).toBe(foreign.metadata?.uid);
  });

  it('of a kind that the cluster does not have fail the lab, and say so', async () => {
    const odd = { apiVersion: 'example.org/v1', kind: 'Oddity', metadata: { name: 'odd-{slug}' } };
    const setting = await clusters.setting({ namespaces, config: withExtras(odd) });
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({
      reason: 'InvalidObject',
      message: expect.stringContaining('no kind Oddity (example.org/v1)') as string,
    });
    await setting.untilMarkedClean();
    expect(await setting.secretNames()).toEqual([]);
  });

  it('are made once by two replicas that both reconcile', async () => {
    const setting = await clusters.setting({ namespaces, config: withExtras(SETTINGS, POLICY) });
    await setting.addReplica({ leads: true });
    await setting.spawn(aLab());
    const [settings, policy] = await extras(setting);
    expect([settings?.kind, policy?.kind]).toEqual(['ConfigMap', 'NetworkPolicy']);
    expect(setting.state().status).toBe('running');
  });
});

it('of two labs that share a namespace are each their own', async () => {
  const setting = await clusters.setting({ namespaces: 'shared', config: withExtras(SETTINGS, PORTS) });
  await setting.spawn(aLab());
  await setting.spawn(aLab({ servername: 'gpu' }));
  await setting.labs.delete(aKey());
  expect((await extras(setting, 'ada--gpu')).map(({ kind }) => kind)).toEqual(['ConfigMap', 'Service']);
  expect(setting.state(aKey('ada', 'gpu')).status).toBe('running');
});

itNeedsRealKinds(
  'of kinds that Labwright knows nothing of are found by what the API server says of itself',
  async () => {
    const role = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'reader-{slug}' },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
    };
    const setting = await clusters.setting({ namespaces: 'perLab', config: withExtras(role) });
    await setting.spawn(aLab());
    const roles = { apiVersion: role.apiVersion, kind: 'Role', plural: 'roles', namespaced: true };
    const find = () => setting.client.get(roles, { namespace: setting.namespaceOf(), name: 'reader-ada' });
    expect(await find()).toMatchObject({ rules: role.rules });
    await setting.spawn(aLab({ servername: 'gpu' }));
    const asked = setting.proxy.requests.all.filter(({ path }) => path === '/apis/rbac.authorization.k8s.io/v1');
    expect(asked).toHaveLength(1);
    await setting.labs.delete(aKey());
    await until('it is gone', async () => (await find()) === undefined);
  },
);
