import type { KubernetesObject } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { LAB_LABEL } from '../../../src/domain/names.ts';
import {
  Namespaces,
  NetworkPolicies,
  PersistentVolumeClaims,
  Pods,
  type Resource,
  Secrets,
  Services,
} from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true, namespaces: 'shared' });

/** Everything that there is of labs in the namespace that they share. */
async function everything({ client, config }: Setting): Promise<string[]> {
  const namespace = config.lab.namespace ?? '';
  const kinds: readonly Resource<KubernetesObject>[] = [Pods, Services, Secrets];
  const lists = await Promise.all(kinds.map((kind) => client.list(kind, { namespace, labelSelector: LAB_LABEL })));
  return lists.flatMap(({ items }, at) => items.map(({ metadata }) => `${kinds[at]?.kind} ${metadata?.name}`)).sort();
}

const withHome = (claim: { readonly storage?: string; readonly claimName?: string }) =>
  aConfig({
    namespaces: 'shared',
    volumes: [{ name: 'home', persistentVolumeClaim: { storageClassName: 'none', ...claim } }],
    volumeMounts: [{ name: 'home', mountPath: '/data' }],
  });

const claimOf = (setting: Setting, name: string) =>
  setting.client.get(PersistentVolumeClaims, { namespace: setting.namespaceOf(), name });

/** Answers as an API server does whose rights end with the namespace that labs share. */
const onlyThere =
  ({ controller, config }: Setting) =>
  (_n: number, { namespace }: KubeRequest) =>
    [controller, config.lab.namespace].includes(namespace) ? 'pass' : ({ status: 403, reason: 'Forbidden' } as const);

describe.concurrent('a lab in a namespace that labs share', () => {
  it('is its pod, its Service and its Secrets, and nothing of it stays when it ends', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.spawn(aLab({ servername: 'gpu' }));
    expect(await everything(setting)).toEqual(
      ['lab-ada', 'lab-ada--gpu']
        .flatMap((name) => [`Pod ${name}`, `Secret ${name}-env`, `Secret ${name}-secrets`])
        .concat(['Service lab-ada', 'Service lab-ada--gpu'])
        .sort(),
    );
    await setting.labs.delete(aKey());
    expect(await everything(setting)).toEqual(
      expect.not.arrayContaining(['Pod lab-ada', 'Service lab-ada', 'Secret lab-ada-env', 'Secret lab-ada-secrets']),
    );
    expect(setting.state(aKey('ada', 'gpu')).status).toBe('running');
    await setting.labs.delete(aKey('ada', 'gpu'));
    expect(await everything(setting)).toEqual([]);
    const own = await setting.client.get(Namespaces, { name: `${setting.prefix}-ada` });
    expect(own).toBeUndefined();
  });

  it('has the name that the configuration says, and a safe one where that would be too long', async () => {
    const setting = await clusters.setting({
      config: aConfig({ namespaces: 'shared', podName: 'jupyter-{user_server}' }),
    });
    await setting.spawn(aLab({ servername: 'gpu' }));
    expect(setting.state(aKey('ada', 'gpu')).spec.objectName).toBe('jupyter-ada--gpu');
    const long = clusters.uniqueName('labs');
    await setting.restart({ config: aConfig({ namespaces: 'shared', podName: `${long}-${'x'.repeat(45)}-{slug}` }) });
    expect((await setting.spawn(aLab({ username: 'grace' }))).spec.objectName).toBe('lab-grace');
  });

  it('goes on when its intent is lost, and is none when only its pod is left', async () => {
    const setting = await clusters.setting({ leftoverGrace: 500 });
    const { spec } = await setting.spawn(aLab());
    await setting.client.delete(Secrets, setting.intentRef());
    await until('its intent is there again', () => setting.client.get(Secrets, setting.intentRef()));
    expect((await setting.untilPhase('running')).spec.spawnId).toBe(spec.spawnId);
    await setting.stop();
    // As one that was made by a controller which did not know yet that the spawn had ended.
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.client.delete(Services, setting.podRef());
    await setting.start();
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    expect(setting.labs.get(aKey())).toBeUndefined();
  });

  it('leaves nothing when its pod and its intent were removed by hand', async () => {
    const setting = await clusters.setting({ leftoverGrace: 500 });
    await setting.spawn(aLab());
    await setting.stop();
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    await setting.start();
    await until('nothing is left', async () => (await everything(setting)).length === 0);
  });

  it('fails where something foreign has its name, and that stays', async () => {
    const setting = await clusters.setting();
    const foreign = { metadata: setting.podRef(), spec: { ports: [{ port: 1234 }] } };
    const { metadata } = await setting.client.create(Services, foreign);
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NameTaken' });
    await setting.untilMarkedClean();
    expect((await setting.client.get(Services, setting.podRef()))?.metadata?.uid).toBe(metadata?.uid);
  });

  it('takes the place of a Service that an earlier spawn has left', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const labels = { ...(await setting.client.get(Services, setting.podRef()))?.metadata?.labels };
    await setting.labs.delete(aKey());
    await setting.client.create(Services, {
      metadata: { ...setting.podRef(), labels: { ...labels, 'labwright.dev/spawn': 'earlier' } },
      spec: { ports: [{ port: 1234 }] },
    });
    const { spec } = await setting.spawn(aLab());
    const service = await setting.client.get(Services, setting.podRef());
    expect(service?.metadata?.labels?.['labwright.dev/spawn']).toBe(spec.spawnId);
    expect(service?.spec?.ports?.[0]?.port).toBe(8888);
  });

  it('is not made before the policy that isolates all of them', async () => {
    const setting = await clusters.setting({ start: false });
    setting.proxy.onCall = (_n, { resource }) => (resource === 'networkpolicies' ? { status: 500 } : 'pass');
    await setting.start();
    await setting.labs.create(aLab());
    await until(
      'it is tried',
      () => setting.proxy.requests.calls(0, ({ resource }) => resource === 'networkpolicies').length > 2,
    );
    expect(await setting.pod()).toBeUndefined();
    setting.proxy.onCall = () => 'pass';
    await setting.untilPhase('running');
    const ref = { namespace: setting.namespaceOf(), name: 'labwright-labs' };
    expect((await setting.client.get(NetworkPolicies, ref))?.spec?.podSelector?.matchLabels).toEqual({
      'labwright.dev/kind': 'lab',
      'labwright.dev/controller': setting.controller,
    });
  });
});

describe.concurrent('the claim of a lab in a namespace that labs share', () => {
  it('is named by the lab, and found again', async () => {
    const setting = await clusters.setting({ config: withHome({ storage: '1Gi' }) });
    await setting.spawn(aLab());
    const before = await claimOf(setting, 'lab-ada-home');
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    expect((await claimOf(setting, 'lab-ada-home'))?.metadata?.uid).toBe(before?.metadata?.uid);
    await setting.spawn(aLab({ servername: 'gpu' }));
    expect(await claimOf(setting, 'lab-ada--gpu-home')).toBeDefined();
  });

  it('may be one for all servers of a user', async () => {
    const setting = await clusters.setting({ config: withHome({ storage: '1Gi', claimName: 'claim-{username}' }) });
    await setting.spawn(aLab());
    await setting.spawn(aLab({ servername: 'gpu' }));
    const { items } = await setting.client.list(PersistentVolumeClaims, { namespace: setting.namespaceOf() });
    expect(items.map(({ metadata }) => metadata?.name)).toEqual(['claim-ada']);
  });

  it.each([
    ['is used when KubeSpawner has made it for the same user', 'ada', 'running'],
    ['is not used when KubeSpawner has made it for another user', 'grace', 'failed'],
  ] as const)('%s', async (_what, owner, phase) => {
    const setting = await clusters.setting({ config: withHome({ storage: '1Gi', claimName: 'claim-{username}' }) });
    await setting.client.create(PersistentVolumeClaims, {
      metadata: {
        namespace: setting.namespaceOf(),
        name: 'claim-ada',
        annotations: { 'hub.jupyter.org/username': owner },
      },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, storageClassName: 'none' },
    });
    await setting.labs.create(aLab());
    await setting.untilPhase(phase);
  });

  it('that is to be kept from now on stays, also where it was made before', async () => {
    const volumes = (retain: boolean) => [
      { name: 'home', persistentVolumeClaim: { storage: '1Gi', storageClassName: 'none', retain } },
      { name: 'scratch', persistentVolumeClaim: { storage: '1Gi', storageClassName: 'none', retain: false } },
    ];
    const setting = await clusters.setting({ config: aConfig({ namespaces: 'shared', volumes: volumes(false) }) });
    await setting.spawn(aLab());
    await setting.restart({ config: aConfig({ namespaces: 'shared', volumes: volumes(true) }) });
    await setting.labs.delete(aKey());
    expect((await claimOf(setting, 'lab-ada-home'))?.metadata).not.toHaveProperty('deletionTimestamp');
    expect(await claimOf(setting, 'lab-ada-home')).toBeDefined();
  });

  it('that is there is used by all, and never made or removed', async () => {
    const setting = await clusters.setting({ config: withHome({ claimName: 'homes' }) });
    await setting.client.create(PersistentVolumeClaims, {
      metadata: { namespace: setting.namespaceOf(), name: 'homes' },
      spec: { accessModes: ['ReadWriteMany'], resources: { requests: { storage: '1Gi' } }, storageClassName: 'none' },
    });
    for (const username of ['ada', 'grace']) {
      await setting.spawn(aLab({ username }));
      const pod = await setting.pod(aKey(username));
      expect(pod?.spec?.volumes).toContainEqual({ name: 'home', persistentVolumeClaim: { claimName: 'homes' } });
      await setting.labs.delete(aKey(username));
    }
    expect((await claimOf(setting, 'homes'))?.metadata).not.toHaveProperty('deletionTimestamp');
  });
});

describe.concurrent('a controller that was told to make labs the other way', () => {
  it.each([
    ['perLab', 'shared'],
    ['shared', 'perLab'],
  ] as const)('leaves labs made %s as they are until they are stopped', async (before, after) => {
    const setting = await clusters.setting({ namespaces: before });
    const old = await setting.spawn(aLab());
    if (after === 'shared') await setting.client.create(Namespaces, { metadata: { name: `${setting.prefix}-shared` } });
    await setting.restart({ namespaces: after });
    expect(setting.state()).toEqual(old);
    const fresh = await setting.spawn(aLab({ username: 'grace' }));
    expect(fresh.spec.objectName).toBe(after === 'shared' ? 'lab-grace' : undefined);
    const ref = { namespace: old.spec.namespace, name: old.spec.objectName ?? 'lab' };
    await setting.labs.delete(aKey());
    expect(await setting.client.get(Pods, ref)).toBeUndefined();
    const service = await setting.client.get(Services, ref);
    expect(service === undefined).toBe(before === 'shared');
    expect((await setting.spawn(aLab())).spec.namespace).toBe(setting.namespaceOf());
  });

  it('does not keep the own namespace of a lab for the claims that labs have where they share one', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab' });
    await setting.spawn(aLab());
    const { namespace } = setting.names();
    await setting.client.create(Namespaces, { metadata: { name: `${setting.prefix}-shared` } });
    const volumes = [{ name: 'home', persistentVolumeClaim: { claimName: 'homes' } }];
    await setting.restart({
      namespaces: 'shared',
      config: aConfig({ namespaces: 'shared', namespaceRetention: '500ms', volumes }),
    });
    await setting.labs.delete(aKey());
    await until('the namespace is collected', async () => {
      const left = await setting.client.get(Namespaces, { name: namespace });
      return left === undefined || left.metadata?.deletionTimestamp !== undefined;
    });
  });
});

describe.concurrent('a controller that has no rights elsewhere', () => {
  it('makes, follows and ends labs', async () => {
    const setting = await clusters.setting({ start: false });
    setting.proxy.onCall = onlyThere(setting);
    await setting.start();
    await setting.spawn(aLab());
    await setting.restart();
    expect(setting.state().status).toBe('running');
    await setting.labs.delete(aKey());
    expect(await everything(setting)).toEqual([]);
  });

  it('says nothing of any lab while there is one that it cannot see', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab' });
    await setting.spawn(aLab());
    await setting.client.create(Namespaces, { metadata: { name: `${setting.prefix}-shared` } });
    await setting.stop();
    setting.launch({ namespaces: 'shared' });
    await setting.stop();
    setting.proxy.onCall = onlyThere(setting);
    setting.launch();
    const said = () => setting.log.some((line) => line.includes('no right to see it'));
    await until('it is said', said);
    expect(setting.labs.isReady()).toBe(false);
    setting.proxy.onCall = () => 'pass';
    await setting.restart();
    expect(setting.state().status).toBe('running');
  });
});
