import { describe, expect, it } from 'vitest';
import { itNeedsControllers } from '../../support/cluster-needs.ts';
import {
  ConfigMaps,
  Namespaces,
  PersistentVolumeClaims,
  PersistentVolumes,
  Secrets,
} from '../../../src/storage/kubernetes/resources.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ namespaces: 'perLab' });

const claim = (name: string, retain: boolean) => ({
  name,
  persistentVolumeClaim: { storage: '1Gi', storageClassName: 'none', retain },
});

async function isGoing(setting: Setting): Promise<boolean> {
  const namespace = await setting.namespace();
  return namespace === undefined || namespace.metadata?.deletionTimestamp !== undefined;
}

async function claims(setting: Setting): Promise<string[]> {
  const { items } = await setting.client.list(PersistentVolumeClaims, { namespace: setting.namespaceOf() });
  return items.filter(({ metadata }) => metadata?.deletionTimestamp === undefined).map((c) => c.metadata?.name ?? '');
}

describe('the namespace of a lab that was deleted', () => {
  it('stays, and is collected after a while', async () => {
    const setting = await clusters.setting({ config: aConfig({ namespaceRetention: '500ms' }) });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    expect(await isGoing(setting)).toBe(false);
    await until('the namespace is collected', () => isGoing(setting));
  });

  it('goes with the lab when nothing is to be kept', async () => {
    const setting = await clusters.setting({ config: aConfig({ namespaceRetention: 0 }) });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    expect(await isGoing(setting)).toBe(true);
  });

  it('is not collected while its next lab runs', async () => {
    const setting = await clusters.setting({ config: aConfig({ namespaceRetention: '500ms' }) });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    // Another one that was left at the same time tells when the moment has passed.
    await setting.spawn(aLab({ username: 'bob' }));
    await setting.labs.delete(aKey('bob'));
    await until('the namespace of the other is collected', async () => {
      const namespace = await setting.namespace(aKey('bob'));
      return namespace === undefined || namespace.metadata?.deletionTimestamp !== undefined;
    });
    expect(await isGoing(setting)).toBe(false);
    expect(setting.state().status).toBe('running');
  });
});

describe('a volume of a lab', () => {
  const volumes = [claim('home', true), claim('scratch', false)];
  const volumeMounts = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));

  itNeedsControllers('that is retained stays with its namespace, and the next spawn finds it; others go', async () => {
    const setting = await clusters.setting({ config: aConfig({ volumes, volumeMounts, namespaceRetention: 0 }) });
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: 'lab-home' };
    const before = await setting.client.get(PersistentVolumeClaims, ref);
    await setting.labs.delete(aKey());
    expect(await isGoing(setting)).toBe(false);
    await until('the other is gone', async () => (await claims(setting)).join() === 'lab-home');
    await setting.spawn(aLab());
    expect((await claims(setting)).sort()).toEqual(['lab-home', 'lab-scratch']);
    expect((await setting.client.get(PersistentVolumeClaims, ref))?.metadata?.uid).toBe(before?.metadata?.uid);
  });

  it('that is to be kept from now on stays, also where it was made before', async () => {
    const config = aConfig({ volumes: [claim('home', false), claim('scratch', false)], volumeMounts });
    const setting = await clusters.setting({ config });
    await setting.spawn(aLab());
    const keeping = aConfig({ volumes, volumeMounts, namespaceRetention: 0 });
    await setting.restart({ config: keeping });
    await setting.labs.delete(aKey());
    await until('the other is gone', async () => (await claims(setting)).join() === 'lab-home');
    expect(await isGoing(setting)).toBe(false);
    expect((await setting.namespace())?.metadata?.annotations).toHaveProperty('labwright.dev/permanent', 'true');
  });

  itNeedsControllers('that says nothing of it stays when the lab ends', async () => {
    const silent = [{ name: 'home', persistentVolumeClaim: { storage: '1Gi', storageClassName: 'none' } }];
    const mounts = [{ name: 'home', mountPath: '/home' }];
    const setting = await clusters.setting({
      config: aConfig({ volumes: silent, volumeMounts: mounts, namespaceRetention: 0 }),
    });
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: 'lab-home' };
    const before = await setting.client.get(PersistentVolumeClaims, ref);
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    expect((await setting.client.get(PersistentVolumeClaims, ref))?.metadata?.uid).toBe(before?.metadata?.uid);
  });

  it('that was kept stays with its namespace when another configuration would not keep it', async () => {
    const setting = await clusters.setting({ start: false });
    for (const lab of [{ volumes, volumeMounts }, { volumes, volumeMounts, port: 9999 }, {}]) {
      await setting.restart({ config: aConfig({ ...lab, namespaceRetention: 0 }) });
      await setting.spawn(aLab());
      await setting.labs.delete(aKey());
    }
    expect(await isGoing(setting)).toBe(false);
    expect(await claims(setting)).toContain('lab-home');
  });

  it('that is retained is found again when the configured prefix has changed', async () => {
    const config = aConfig({ volumes: [claim('home', true)], volumeMounts: [{ name: 'home', mountPath: '/data' }] });
    const setting = await clusters.setting({ config });
    const before = (await setting.spawn(aLab())).spec.namespace;
    await setting.labs.delete(aKey());
    const renamed = { ...config, lab: { ...config.lab, namespacePrefix: clusters.uniqueName('other') } };
    await setting.restart({ config: renamed });
    const state = await setting.spawn(aLab());
    expect(state.spec.namespace).toBe(before);
  });
});

describe('a file system that is there', () => {
  const mounted = (server: string) =>
    aConfig({
      volumes: [
        { name: 'homes', persistentVolume: { nfs: { server, path: '/homes' }, mountOptions: ['nfsvers=4.1'] } },
      ],
      volumeMounts: [{ name: 'homes', mountPath: '/data' }],
    });
  const volumeOf = (setting: Setting) =>
    setting.client.get(PersistentVolumes, { name: `${setting.namespaceOf()}-homes` });

  it('is found by a volume and a claim of the lab, which are used again', async () => {
    const setting = await clusters.setting({ config: mounted('one.example.org') });
    await setting.spawn(aLab());
    const before = await volumeOf(setting);
    expect(before?.spec).toMatchObject({
      mountOptions: ['nfsvers=4.1'],
      nfs: { server: 'one.example.org', path: '/homes' },
      claimRef: { namespace: setting.namespaceOf(), name: 'lab-homes' },
    });
    expect(before?.metadata?.ownerReferences).toMatchObject([{ kind: 'Namespace', name: setting.namespaceOf() }]);
    await setting.labs.delete(aKey());
    await setting.spawn(aLab());
    expect((await volumeOf(setting))?.metadata?.uid).toBe(before?.metadata?.uid);
    expect(await claims(setting)).toEqual(['lab-homes']);
  });

  it('is found elsewhere when the configuration says so: volume and claim are made anew', async () => {
    const setting = await clusters.setting({ config: mounted('one.example.org') });
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: 'lab-homes' };
    const claimBefore = await setting.client.get(PersistentVolumeClaims, ref);
    await setting.labs.delete(aKey());
    await setting.restart({ config: mounted('two.example.org') });
    await setting.spawn(aLab());
    expect((await volumeOf(setting))?.spec?.nfs?.server).toBe('two.example.org');
    expect((await setting.client.get(PersistentVolumeClaims, ref))?.metadata?.uid).not.toBe(claimBefore?.metadata?.uid);
  });

  it('leaves what is foreign and has the name of its volume', async () => {
    const setting = await clusters.setting({ config: mounted('one.example.org') });
    const foreign = {
      metadata: { name: `${setting.namespaceOf()}-homes` },
      spec: { capacity: { storage: '1Mi' }, accessModes: ['ReadWriteMany'], nfs: { server: 'theirs', path: '/' } },
    };
    await setting.client.create(PersistentVolumes, foreign);
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NameTaken' });
    expect((await volumeOf(setting))?.spec?.nfs?.server).toBe('theirs');
    await setting.client.delete(PersistentVolumes, foreign.metadata);
  });

  itNeedsControllers('is let go of with the namespace', async () => {
    const config = { ...mounted('one.example.org') };
    const setting = await clusters.setting({ config: { ...config, lab: { ...config.lab, namespaceRetention: 0 } } });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await until('the volume is gone', async () => (await volumeOf(setting)) === undefined);
  });
});

describe('a lab from before the configuration was changed', () => {
  it.each([
    ['the port', { port: 9999 }],
    ['the kind of address', { internalUrl: 'podIp' }],
    ['the domain of the cluster', { clusterDomain: 'elsewhere.local' }],
  ] as const)('keeps the address that it has while it runs: %s', async (_what, lab) => {
    const setting = await clusters.setting();
    const { internalUrl } = await setting.spawn(aLab());
    expect(internalUrl).toContain(':8888/');
    await setting.restart({ config: aConfig(lab) });
    expect(setting.state()).toMatchObject({ status: 'running', internalUrl });
    await setting.labs.delete(aKey());
    expect((await setting.spawn(aLab())).internalUrl).not.toBe(internalUrl);
  });
});

describe('a lab from before the configured prefix was changed', () => {
  it('is still there, and can be deleted', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const config = aConfig({ namespacePrefix: clusters.uniqueName('other') });
    await setting.restart({ config });
    expect(setting.state().status).toBe('running');
    await setting.labs.delete(aKey());
    expect(await setting.pod()).toBeUndefined();
  });
});

describe('a leftover', () => {
  const grace = 500;

  it('with our labels and nobody who asked for it is reported and collected after a grace period', async () => {
    const setting = await clusters.setting({ leftoverGrace: grace });
    await setting.spawn(aLab());
    await setting.stop();
    await setting.forgetSpec();
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.start();
    expect(setting.labs.get(aKey())).toBeUndefined();
    expect(await setting.pod()).toBeDefined();
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    await until('the secrets are gone', async () => (await setting.secretNames()).length === 0);
    await until('the namespace is collected', () => isGoing(setting));
    expect(setting.log.some((line) => line.includes('removing a pod without an intent'))).toBe(true);
  });

  it('that is asked for within the grace period is used, not collected', async () => {
    const setting = await clusters.setting({ leftoverGrace: grace });
    await setting.spawn(aLab());
    await setting.stop();
    await setting.forgetSpec();
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.start();
    const uid = (await setting.namespace())?.metadata?.uid;
    await setting.spawn(aLab());
    expect((await setting.namespace())?.metadata?.uid).toBe(uid);
  });

  it('of an intent that somebody removes gives its readers a terminal event', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'neverReady' }] });
    await setting.labs.create(aLab());
    await setting.untilPhase('starting');
    const reading = setting.events();
    await setting.client.delete(Secrets, setting.intentRef());
    expect((await reading).at(-1)?.type).toBe('failed');
  });
});

describe('what is not ours', () => {
  it('is never touched: a namespace with a similar name, and the labs of another controller', async () => {
    const other = await clusters.setting();
    await other.spawn(aLab());
    const setting = await clusters.setting({ leftoverGrace: 0, config: aConfig({ namespaceRetention: 0 }) });
    const name = setting.namespaceOf(aKey('zoe'));
    await setting.client.create(Namespaces, { metadata: { name, labels: { 'labwright.dev/lab': 'zoe' } } });
    await setting.client.create(ConfigMaps, { metadata: { name: 'data', namespace: name } });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await until('what is ours is gone', () => isGoing(setting));
    expect(setting.labs.list()).toEqual([]);
    expect((await setting.client.get(Namespaces, { name }))?.metadata?.deletionTimestamp).toBeUndefined();
    expect(await setting.client.get(ConfigMaps, { namespace: name, name: 'data' })).toBeDefined();
    expect(other.state().status).toBe('running');
    expect(await other.pod()).toBeDefined();
  });
});
