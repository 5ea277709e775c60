import { describe, expect, it } from 'vitest';
import { Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });

async function loseIntent(setting: Setting): Promise<void> {
  await setting.client.delete(Secrets, setting.intentRef());
}

describe.concurrent('a running lab whose intent is removed', () => {
  it('goes on as the lab that it was, and ends like any other', async () => {
    const setting = await clusters.setting();
    const before = await setting.spawn(aLab({ servername: 'gpu' }));
    const key = aKey('ada', 'gpu');
    const pod = await setting.pod(key);
    await setting.client.delete(Secrets, setting.intentRef(key));
    await until('its intent is there again', () => setting.client.get(Secrets, setting.intentRef(key)));
    await setting.untilPhase('running', key);
    const { spec, ...rest } = setting.state(key);
    expect({ ...rest, spec: { ...spec, adopted: undefined } }).toEqual(before);
    expect((await setting.pod(key))?.metadata?.uid).toBe(pod?.metadata?.uid);
    await setting.labs.delete(key);
    expect(await setting.pod(key)).toBeUndefined();
    expect(await setting.secretNames(key)).toEqual([]);
  });

  it('is in the way of a create, and known, before any controller has found out', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.stop();
    await loseIntent(setting);
    setting.launch();
    await setting.labs.ready(aKey());
    expect(setting.state()).toMatchObject({ status: 'running' });
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({ status: 409, code: 'lab_exists' });
  });

  it('is one lab, also when several controllers find out at once', async () => {
    const setting = await clusters.setting();
    await setting.addReplica({ leads: true });
    const other = await setting.addReplica({ leads: false });
    const { spec } = await setting.spawn(aLab());
    await until('the other has seen its pod', () => other.get(aKey())?.status === 'running');
    await loseIntent(setting);
    await Promise.all(
      [setting.labs, other].map((labs) => expect(labs.create(aLab())).rejects.toMatchObject({ status: 409 })),
    );
    await setting.untilPhase('running');
    expect(setting.state().spec.spawnId).toBe(spec.spawnId);
  });

  it('has failed when its pod goes, and is not made anew without what was secret', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await loseIntent(setting);
    await until('its intent is there again', () => setting.client.get(Secrets, setting.intentRef()));
    await setting.stop();
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    await setting.start();
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'DeletedExternally' });
  });

  it('costs no running lab, also when it is all of them with their namespace', async () => {
    const setting = await clusters.setting();
    const users = ['ada', 'bob', 'eve'];
    for (const username of users) await setting.spawn(aLab({ username }));
    await setting.stop();
    const { items } = await setting.client.list(Secrets, { namespace: setting.controller });
    await Promise.all(
      items.map(({ metadata }) =>
        setting.client.delete(Secrets, { namespace: setting.controller, name: metadata?.name ?? '' }),
      ),
    );
    await setting.start();
    await until('all run', () => setting.labs.runningUsers().length === users.length);
    expect(setting.labs.runningUsers()).toEqual(users);
  });
});

describe.concurrent('a pod without an intent', () => {
  it('of a spawn that has ended is not adopted', async () => {
    const setting = await clusters.setting({ leftoverGrace: 500, namespaces: 'perLab' });
    const { spec } = await setting.spawn(aLab());
    await setting.stop();
    const annotations = { 'labwright.dev/ended-spawn': spec.spawnId };
    await setting.client.patch(Namespaces, { name: setting.namespaceOf() }, { metadata: { annotations } });
    await loseIntent(setting);
    await setting.start();
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    expect(setting.labs.get(aKey())).toBeUndefined();
  });

  it.each([
    ['of another lab', (spec: object) => ({ ...spec, servername: 'other' })],
    ['of another spawn', (spec: object) => ({ ...spec, spawnId: 'other' })],
    ['of another namespace', (spec: object) => ({ ...spec, namespace: 'kube-system' })],
    ['that cannot be read', () => ({ spawnId: 7 })],
  ])('that says what was asked for %s is not adopted', async (_what, change) => {
    const setting = await clusters.setting({ leftoverGrace: 500 });
    const { spec } = await setting.spawn(aLab());
    await setting.stop();
    const annotations = { 'labwright.dev/spec': JSON.stringify(change(spec)) };
    await setting.client.patch(Pods, setting.podRef(), { metadata: { annotations } });
    await loseIntent(setting);
    await setting.start();
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    expect(setting.labs.list()).toEqual([]);
  });

  it('is no lab again after it was deleted', async () => {
    const setting = await clusters.setting({ config: aConfig({ namespaceRetention: '10m' }) });
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await setting.labs.ready(aKey());
    expect(setting.labs.get(aKey())).toBeUndefined();
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
  });
});
