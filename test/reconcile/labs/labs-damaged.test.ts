import { describe, expect, it } from 'vitest';
import { Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });

const SPEC = 'labwright.dev/spec';

/** What people do to an intent, with the labels the watch selects by and without. */
const DAMAGES: Record<string, object> = {
  'its specification is no JSON': { annotations: { [SPEC]: '{' } },
  'its specification lacks what is read of it': { annotations: { [SPEC]: '{"spawnId":"s","namespace":"n"}' } },
  'its specification is gone': { annotations: { [SPEC]: null } },
  'all its annotations are gone': {
    annotations: { [SPEC]: null, 'labwright.dev/username': null, 'labwright.dev/servername': null },
  },
  'its label of the lab is gone': { annotations: { [SPEC]: '{' }, labels: { 'labwright.dev/lab': null } },
};

async function damage(setting: Setting, change: object): Promise<void> {
  await setting.client.patch(Secrets, setting.intentRef(), { metadata: change });
}

describe.concurrent('a lab whose intent somebody has damaged', () => {
  it.each(Object.entries(DAMAGES))(
    'so that %s has failed, with a reason, and nothing of it runs on',
    async (_what, change) => {
      const setting = await clusters.setting();
      await setting.spawn(aLab());
      await damage(setting, change);
      const state = await setting.untilPhase('failed');
      expect(state.message).toContain('cannot be read');
      expect(state.spec.user.username).toBe('ada');
      expect(setting.labs.list()).toHaveLength(1);
      await setting.untilCleaned();
    },
  );

  it('so that it names what is another lab’s leaves that one alone', async () => {
    const setting = await clusters.setting();
    const { spec } = await setting.spawn(aLab());
    const other = aKey('grace');
    const theirs = await setting.spawn(aLab({ username: 'grace' }));
    const pod = await setting.client.get(Pods, setting.podRef(other));
    const { namespace, objectName } = theirs.spec;
    const written = { ...spec, namespace, objectName };
    await damage(setting, { annotations: { [SPEC]: JSON.stringify(written) } });
    await setting.untilPhase('failed');
    await setting.labs.delete(aKey());
    const left = await setting.client.get(Pods, setting.podRef(other));
    expect(left?.metadata).toMatchObject({ uid: pod?.metadata?.uid });
    expect(left?.metadata).not.toHaveProperty('deletionTimestamp');
    expect(setting.labs.get(other)?.phase).toBe('running');
  });

  it('so that it names another user has failed', async () => {
    const setting = await clusters.setting();
    const { spec } = await setting.spawn(aLab());
    const written = { ...spec, user: { ...spec.user, username: 'mallory' } };
    await damage(setting, { annotations: { [SPEC]: JSON.stringify(written) } });
    const state = await setting.untilPhase('failed');
    expect(state.spec.user.username).toBe('ada');
    expect(setting.labs.list().map((each) => each.spec.user.username)).toEqual(['ada']);
  });

  it('can be deleted', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await damage(setting, DAMAGES['its specification is no JSON']!);
    await setting.labs.ready(aKey());
    await setting.labs.delete(aKey());
    expect(await setting.pod()).toBeUndefined();
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
  });

  it('can be replaced, also by a controller that was not there when it happened', async () => {
    const setting = await clusters.setting();
    const first = await setting.spawn(aLab());
    await setting.stop();
    await damage(setting, DAMAGES['all its annotations are gone']!);
    await setting.start();
    const second = await setting.spawn(aLab());
    expect(second.spec.spawnId).not.toBe(first.spec.spawnId);
    expect((await setting.pod())?.metadata?.labels?.['labwright.dev/spawn']).toBe(second.spec.spawnId);
  });

  it('is deleted where there is no namespace of it either', async () => {
    const setting = await clusters.setting({ kubelet: false });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'namespaces' ? { status: 500 } : 'pass';
    await setting.labs.create(aLab());
    await damage(setting, DAMAGES['its specification is no JSON']!);
    await setting.untilPhase('failed');
    await setting.labs.delete(aKey());
    expect(setting.labs.get(aKey())).toBeUndefined();
  });
});

describe.concurrent('an intent without the labels that it is watched by', () => {
  const bare = { 'labwright.dev/kind': null, 'labwright.dev/lab': null, 'labwright.dev/controller': null };

  it('gets them back as soon as somebody asks for the lab, which runs on', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const pod = await setting.pod();
    await damage(setting, { labels: bare });
    await until('the lab is there again', async () => {
      await setting.labs.ready(aKey());
      return setting.labs.get(aKey())?.status === 'running';
    });
    expect((await setting.pod())?.metadata?.uid).toBe(pod?.metadata?.uid);
  });

  it('and without anything else can be replaced', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const ref = setting.intentRef();
    await setting.client.create(Secrets, { metadata: ref, type: 'labwright.dev/lab-intent' });
    await setting.spawn(aLab());
  });

  it('that is somebody else’s Secret is not touched', async () => {
    const setting = await clusters.setting();
    await setting.client.create(Secrets, { metadata: setting.intentRef(), data: { mine: 'eA==' } });
    const { name, namespace } = setting.intentRef();
    const refusal = {
      status: 409,
      code: 'name_taken',
      message: expect.stringContaining(`${namespace}/${name}`) as string,
    };
    await expect(setting.labs.create(aLab())).rejects.toMatchObject(refusal);
    await expect(setting.labs.create(aLab())).rejects.toMatchObject(refusal);
    expect(await setting.client.get(Secrets, setting.intentRef())).toMatchObject({ data: { mine: 'eA==' } });
    await setting.client.delete(Secrets, setting.intentRef());
    await setting.spawn(aLab());
  });
});

it('takes a namespace whose names were taken away, and gives them back', async () => {
  const setting = await clusters.setting({ namespaces: 'perLab' });
  await setting.spawn(aLab());
  await setting.labs.delete(aKey());
  const annotations = { 'labwright.dev/username': null, 'labwright.dev/servername': null };
  await setting.client.patch(Namespaces, { name: setting.namespaceOf() }, { metadata: { annotations } });
  await setting.restart();
  await setting.spawn(aLab());
  expect((await setting.namespace())?.metadata?.annotations).toMatchObject({ 'labwright.dev/username': 'ada' });
});
