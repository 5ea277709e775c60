import type { KubernetesObject, V1ObjectMeta, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import type { FaultProxy } from '../../support/fault-proxy.ts';
import { itNeedsControllers } from '../../support/cluster-needs.ts';
import * as resources from '../../../src/storage/kubernetes/resources.ts';
import { admitNoPods } from '../support/admit-no-pods.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const { Namespaces, Pods, ResourceQuotas, Secrets, Services } = resources;

const clusters = useCluster({ namespaces: 'perLab' });

type Kind = resources.Resource<KubernetesObject>;
const NAMED: readonly { kind: string; resource: Kind; name: string; spec: object }[] = [
  { kind: 'ServiceAccount', resource: resources.ServiceAccounts, name: 'lab', spec: {} },
  { kind: 'ConfigMap', resource: resources.ConfigMaps, name: 'lab-files', spec: { data: { foreign: 'yes' } } },
  {
    kind: 'LimitRange',
    resource: resources.LimitRanges,
    name: 'lab',
    spec: { spec: { limits: [{ type: 'Container', default: { cpu: '2' } }] } },
  },
  {
    kind: 'NetworkPolicy',
    resource: resources.NetworkPolicies,
    name: 'lab',
    spec: { spec: { podSelector: { matchLabels: { of: 'somebody' } } } },
  },
  { kind: 'Service', resource: resources.Services, name: 'lab', spec: { spec: { ports: [{ port: 1234 }] } } },
  { kind: 'Secret', resource: resources.Secrets, name: 'lab-env', spec: { data: { foreign: 'eWVz' } } },
];

/** A namespace as the controller leaves it behind when it is killed right after making it. */
async function halfMade(): Promise<Setting> {
  const setting = await clusters.setting();
  await setting.spawn(aLab());
  await setting.labs.delete(aKey());
  const metadata = { annotations: { 'labwright.dev/spec-hash': null, 'labwright.dev/kept-since': null } };
  await setting.client.patch(Namespaces, { name: setting.namespaceOf() }, { metadata });
  await setting.restart();
  return setting;
}

/** The labels of a lab's Secrets, as of an earlier spawn. */
async function labelsOfSecrets(setting: Setting): Promise<Record<string, string>> {
  const { metadata } = (await setting.namespace()) ?? {};
  return { ...metadata?.labels, 'labwright.dev/spawn': 'interrupted' };
}

async function failedWith(setting: Setting, reason: string): Promise<void> {
  await setting.labs.create(aLab());
  expect(await setting.untilPhase('failed')).toMatchObject({ reason });
  await setting.untilMarkedClean();
}

describe('something foreign', () => {
  it('that has the name of the namespace is an error, and stays untouched', async () => {
    const setting = await clusters.setting();
    const name = setting.namespaceOf();
    const before = await setting.client.create(Namespaces, { metadata: { name, labels: { of: 'somebody' } } });
    await failedWith(setting, 'NameTaken');
    const after = await setting.namespace();
    expect(after?.metadata).toMatchObject({ uid: before.metadata?.uid, labels: { of: 'somebody' } });
    expect(after?.metadata?.deletionTimestamp).toBeUndefined();
    expect(after?.metadata?.annotations ?? {}).not.toHaveProperty('labwright.dev/kept-since');
  });

  it.each(NAMED)('that has the name of the $kind is an error, and stays untouched', async (each) => {
    const { resource, name, spec } = each;
    const setting = await halfMade();
    const ref = { namespace: setting.namespaceOf(), name };
    await setting.client.delete(resource, ref);
    const foreign = await setting.client.create(resource, { metadata: ref, ...spec });
    await failedWith(setting, 'NameTaken');
    const found = await setting.client.get(resource, ref);
    expect(found?.metadata).toMatchObject({ uid: foreign.metadata?.uid });
    expect(found).toMatchObject(spec);
    expect(await setting.pod()).toBeUndefined();
  });

  it('that has the name of the pod is an error, and stays untouched', async () => {
    const setting = await halfMade();
    const foreign = await setting.client.create(Pods, foreignPod(setting.podRef()));
    await failedWith(setting, 'NameTaken');
    expect((await setting.pod())?.metadata).toMatchObject({ uid: foreign.metadata?.uid });
  });

  it('in a namespace with the labels of another user is not used', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const metadata = { annotations: { 'labwright.dev/username': 'somebody-else' } };
    await setting.client.patch(Namespaces, { name: setting.namespaceOf() }, { metadata });
    await setting.restart();
    await failedWith(setting, 'NameTaken');
  });
});

describe('something of ours from before', () => {
  it('that is as it should be is used', async () => {
    const setting = await halfMade();
    const service = () => setting.client.get(Services, { namespace: setting.namespaceOf(), name: 'lab' });
    const before = await service();
    await setting.spawn(aLab());
    expect((await service())?.metadata?.uid).toBe(before?.metadata?.uid);
  });

  it.each(NAMED.slice(1))('that differs is replaced: $kind', async ({ resource, name, spec }) => {
    const setting = await halfMade();
    const ref = { namespace: setting.namespaceOf(), name };
    await setting.client.delete(resource, ref);
    const labels = (await setting.namespace())?.metadata?.labels ?? {};
    const odd = await setting.client.create(resource, { metadata: { ...ref, labels: ours(labels) }, ...spec });
    await setting.spawn(aLab());
    const found = await setting.client.get(resource, ref);
    expect(found?.metadata?.uid).not.toBe(odd.metadata?.uid);
    expect(found).not.toMatchObject(spec);
  });

  it('that another replica makes of a Secret in this moment is used', async () => {
    const setting = await halfMade();
    const namespace = setting.namespaceOf();
    const labels = await labelsOfSecrets(setting);
    // Of a spawn that was interrupted: the name is taken at the first try.
    await setting.client.create(Secrets, { metadata: { namespace, name: 'lab-env', labels } });
    let looks = 0;
    setting.proxy.onCall = (_n, { verb, resource }) => {
      if (verb !== 'deletecollection' || resource !== 'secrets') return 'pass';
      looks += 1;
      // The one before was to remove it; this one says that nothing is there.
      return looks === 2 ? 'hold-after' : 'pass';
    };
    await setting.labs.create(aLab());
    const look = await setting.proxy.nextHeld(20_000);
    const { spawnId } = setting.state().spec;
    const metadata = { namespace, name: 'lab-env', labels: { ...labels, 'labwright.dev/spawn': spawnId } };
    await setting.client.create(Secrets, { metadata });
    look.release();
    await setting.untilPhase('running');
  });

  it('that another replica removes in this moment is made', async () => {
    const setting = await halfMade();
    const namespace = setting.namespaceOf();
    const labels = await labelsOfSecrets(setting);
    const earlier = { metadata: { namespace, name: 'lab-env', labels } };
    await setting.client.create(Secrets, earlier);
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'deletecollection' && resource === 'secrets' ? 'hold-after' : 'pass';
    await setting.labs.create(aLab());
    // Removed, and made again by a replica that was late with it.
    const removal = await setting.proxy.nextHeld(20_000);
    await setting.client.create(Secrets, earlier);
    setting.proxy.onCall = (_n, { verb, resource, namespace: where }) =>
      verb === 'create' && resource === 'secrets' && where === namespace ? 'hold-after' : 'pass';
    removal.release();
    const refused = await setting.proxy.nextHeld(20_000);
    await setting.client.delete(Secrets, { namespace, name: 'lab-env' });
    setting.proxy.onCall = () => 'pass';
    refused.release();
    await setting.untilPhase('running');
  });

  it('that is a pod of an earlier spawn is ended first', async () => {
    const setting = await clusters.setting();
    const first = await setting.spawn(aLab());
    await setting.stop();
    await setting.forgetSpec();
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.start();
    const second = await setting.spawn(aLab());
    expect(second.spec.spawnId).not.toBe(first.spec.spawnId);
    expect((await setting.pod())?.metadata?.labels?.['labwright.dev/spawn']).toBe(second.spec.spawnId);
  });
});

describe('what the cluster refuses', () => {
  itNeedsControllers('because of a quota is an error with that reason', async () => {
    const setting = await clusters.setting();
    // An API server learns of a new quota a moment later, so that only one from before certainly holds.
    await setting.spawn(aLab({ quota: QUOTA }));
    await setting.labs.delete(aKey());
    const resources = { limits: { cpu: '800m', memory: '1Gi' } };
    const other = foreignPod({ namespace: setting.namespaceOf(), name: 'other' }, { resources });
    // What the first lab used is given back a moment after it has gone.
    await until('the quota is free', () => setting.client.create(Pods, other).catch(() => undefined));
    await setting.labs.create(aLab({ quota: QUOTA }));
    const { reason, message } = await setting.untilPhase('failed');
    expect({ reason, message }).toEqual({
      reason: 'QuotaExceeded',
      message: 'The lab needs more than your quota leaves. Choose a smaller size.',
    });
    await setting.untilCleaned();
  });

  it.each(['persistentvolumeclaims', 'secrets', 'services', 'networkpolicies'])(
    'does not hinder a lab when it is there already: %s',
    async (refused) => {
      const volumes = [
        { name: 'home', persistentVolumeClaim: { storage: '1Gi', storageClassName: 'none', retain: true } },
      ];
      const volumeMounts = [{ name: 'home', mountPath: '/data' }];
      const setting = await clusters.setting({ config: aConfig({ volumes, volumeMounts }) });
      await setting.labs.create(aLab());
      await setting.untilPhase('running');
      if (refused === 'secrets') {
        // The answers to the first creates are lost, and from then on the quota is full.
        setting.proxy.onCall = refusing(setting, refused, true);
        await setting.spawn(aLab({ username: 'bob' }));
      } else {
        await setting.labs.delete(aKey());
        setting.proxy.onCall = refusing(setting, refused, false);
        await setting.spawn(aLab());
      }
    },
  );

  it('for a conflict over something else than the name is tried again', async () => {
    const setting = await clusters.setting();
    const conflicts = new Map<string, number>();
    setting.proxy.onCall = (_n, { verb, resource, namespace }) => {
      const count = (conflicts.get(resource) ?? 0) + 1;
      if (verb !== 'create' || namespace === setting.controller || resource !== 'secrets' || count > 4) return 'pass';
      conflicts.set(resource, count);
      const message = 'Operation cannot be fulfilled on resourcequotas "site": the object has been modified';
      return { status: 409, reason: 'Conflict', message };
    };
    await setting.spawn(aLab());
    expect(conflicts.get('secrets')).toBe(4);
  });

  it('in the controller’s own namespace is said at once, and not to be tried again', async () => {
    const setting = await clusters.setting();
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'secrets'
        ? { status: 403, reason: 'Forbidden', message: EXCEEDED('count/secrets') }
        : 'pass';
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining('quota "site" of Labwright') as string,
    });
    const message = 'Secret "lab-ada" is invalid: data: Too long: may not be more than 1048576 bytes';
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'secrets' ? { status: 422, reason: 'Invalid', message } : 'pass';
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({ status: 413 });
  });

  it('does not hinder a lab that is started again right after its end', async () => {
    const setting = await clusters.setting();
    for (let round = 1; round <= 3; round += 1) {
      await setting.spawn(aLab({ quota: QUOTA }));
      await setting.labs.delete(aKey());
    }
  });

  it('no longer hinders a user whose quota was taken away', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab({ quota: QUOTA }));
    const ref = { namespace: setting.namespaceOf(), name: 'lab' };
    expect(await setting.client.get(ResourceQuotas, ref)).toBeDefined();
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    expect(await setting.client.get(ResourceQuotas, ref)).toBeUndefined();
  });

  it('because of Pod Security is an error with that reason, and mended by the next spawn', async () => {
    const config = aConfig({ initContainers: [{ name: 'root', image: 'registry.example/init:1', runAsRoot: true }] });
    const setting = await clusters.setting({ config });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await admitNoPods(setting.client, setting.namespaceOf());
    await failedWith(setting, 'AdmissionDenied');
    await setting.untilCleaned();
    await setting.spawn(aLab());
  });

  it('for want of a Secret that every lab gets a copy of names it', async () => {
    const config = aConfig({ secrets: [{ secretName: 'site', secretKey: 'licence', env: 'LICENCE' }] });
    const setting = await clusters.setting({ config });
    await failedWith(setting, 'MissingSecret');
    expect(setting.state().message).toContain('"site"');
    const ref = { namespace: setting.controller, name: 'site' };
    await setting.client.create(Secrets, { metadata: ref, data: { licence: 'bGljZW5jZQ==' } });
    await setting.spawn(aLab());
    const copy = await setting.client.get(Secrets, { namespace: setting.namespaceOf(), name: 'lab-secrets' });
    expect(copy?.data?.['licence']).toBe('bGljZW5jZQ==');
  });
});

const EXCEEDED = (what: string) =>
  `x "y" is forbidden: exceeded quota: site, requested: ${what}=1, used: ${what}=1, limited: ${what}=1`;

/** Refuses creates in namespaces of labs for want of quota; `lost`: the first of each name arrive, and their answers do not. */
function refusing(setting: Setting, refused: string, lost: boolean): FaultProxy['onCall'] {
  let first = 2;
  return (_n, { verb, resource, namespace }) => {
    if (verb !== 'create' || resource !== refused || namespace === setting.controller) return 'pass';
    if (lost && first-- > 0) return 'reset-after';
    return { status: 403, reason: 'Forbidden', message: EXCEEDED(refused) };
  };
}

/** Room for one small lab. */
const QUOTA = { cpu: 1, memory: 2 ** 30, spawn: true };

/** Somebody else's pod, which Pod Security `restricted` admits. */
function foreignPod(metadata: V1ObjectMeta, container: object = {}): V1Pod {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  return {
    metadata,
    spec: {
      containers: [{ name: 'other', image: 'registry.example/other:1', securityContext, ...container }],
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      serviceAccountName: 'lab',
    },
  };
}

/** The labels that say whose an object is, out of those of the namespace. */
function ours(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !name.startsWith('pod-security')));
}
