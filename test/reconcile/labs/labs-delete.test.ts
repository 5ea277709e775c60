import { describe, expect, it } from 'vitest';
import { DELAYS } from '../../../sandbox/index.ts';
import { Secrets, Services } from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster();

async function expectNothingLeft(setting: Setting): Promise<void> {
  expect(setting.labs.get(aKey())).toBeUndefined();
  expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
  expect(await setting.pod()).toBeUndefined();
  expect(await setting.secretNames()).toEqual([]);
}

describe('a delete', () => {
  it('returns when pod and secrets are gone, and the lab can be created again at once', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    await expectNothingLeft(setting);
    await setting.spawn(aLab());
  });

  it('of a lab that takes its time shows it terminating, and its events end with complete', async () => {
    const setting = await clusters.setting({ delays: { ...DELAYS.instant, stop: 300 } });
    await setting.spawn(aLab());
    const deleted = setting.labs.delete(aKey());
    expect(await setting.untilPhase('deleting')).toMatchObject({ status: 'terminating', internalUrl: null });
    expect(setting.labs.runningUsers()).toEqual([]);
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({ code: 'operation_in_progress' });
    const events = await setting.events();
    await deleted;
    expect(events.at(-1)).toMatchObject({ type: 'complete', message: 'Lab for ada deleted' });
    await expectNothingLeft(setting);
  });

  it('is joined by a second one', async () => {
    const setting = await clusters.setting({ delays: { ...DELAYS.instant, stop: 200 } });
    await setting.spawn(aLab());
    await Promise.all([setting.labs.delete(aKey()), setting.labs.delete(aKey())]);
    await expectNothingLeft(setting);
    await expect(setting.labs.delete(aKey())).rejects.toMatchObject({ code: 'unknown_user', status: 404 });
  });

  it('of a lab that does not exist is refused', async () => {
    const setting = await clusters.setting();
    await expect(setting.labs.delete(aKey('nobody'))).rejects.toMatchObject({ code: 'unknown_user', status: 404 });
  });

  it('of many labs at once ends them all', async () => {
    const setting = await clusters.setting();
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    await Promise.all(users.map((username) => setting.spawn(aLab({ username }))));
    await Promise.all(users.map((username) => setting.labs.delete(aKey(username))));
    expect(setting.labs.list()).toEqual([]);
    const { items } = await setting.client.list(Secrets, { namespace: setting.controller });
    expect(items).toEqual([]);
  });

  it('that takes longer than it may is answered with an error, and goes on', async () => {
    const config = aConfig({ deleteTimeout: '300ms' });
    const setting = await clusters.setting({ config, delays: { ...DELAYS.instant, stop: 1_000 } });
    await setting.spawn(aLab());
    await expect(setting.labs.delete(aKey())).rejects.toMatchObject({ code: 'delete_failed', status: 500 });
    await setting.untilForgotten();
    await expectNothingLeft(setting);
  });
});

describe('a delete in the middle of a spawn', () => {
  it.each<{ when: string; isIt: (request: KubeRequest) => boolean }>([
    { when: 'the namespace', isIt: ({ verb, resource }) => verb === 'create' && resource === 'namespaces' },
    { when: 'the Service', isIt: ({ verb, resource }) => verb === 'create' && resource === 'services' },
    { when: 'the first Secret', isIt: ({ verb, resource }) => verb === 'create' && resource === 'secrets' },
    { when: 'the pod', isIt: ({ verb, resource }) => verb === 'create' && resource === 'pods' },
  ])('while $when is being made cancels it, and leaves nothing', async ({ isIt }) => {
    // A pod that is there takes a moment to run: a reader of one that runs is told so, whatever the controller waits for.
    const setting = await clusters.setting({ namespaces: 'perLab', delays: { ...DELAYS.instant, start: 1_500 } });
    const { proxy } = setting;
    let once = true;
    proxy.onCall = (_n, request) => {
      if (!once || request.namespace === setting.controller || !isIt(request)) return 'pass';
      once = false;
      return 'hold-after';
    };
    await setting.labs.create(aLab());
    const spawning = setting.events();
    const held = await proxy.nextHeld(5_000);
    const deleting = setting.labs.delete(aKey());
    const readers = await spawning;
    expect(readers.at(-1)).toMatchObject({ type: 'failed', message: 'Operation cancelled' });
    held.release();
    const events = await setting.events();
    expect(events.at(-1)?.type).toBe('complete');
    await deleting;
    await expectNothingLeft(setting);
    await setting.spawn(aLab());
  });

  it('that waits for a machine cancels it', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'unschedulable' }] });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    await setting.labs.delete(aKey());
    await expectNothingLeft(setting);
  });

  it('that waits for an old namespace cancels it', async () => {
    const setting = await clusters.setting({ namespaces: 'perLab', config: aConfig({ namespaceRetention: 0 }) });
    await setting.spawn(aLab());
    const ref = { namespace: setting.namespaceOf(), name: 'lab' };
    await setting.client.patch(Services, ref, { metadata: { finalizers: ['labwright.dev/test'] } });
    await setting.labs.delete(aKey());
    await setting.labs.create(aLab());
    await setting.untilPhase('waiting_for_namespace');
    await setting.labs.delete(aKey());
    await expectNothingLeft(setting);
    await setting.client.patch(Services, ref, { metadata: { finalizers: null } });
    await until('the namespace is gone', async () => (await setting.namespace()) === undefined);
  });

  it('whose pod was made without the answer arriving leaves no pod', async () => {
    const setting = await clusters.setting();
    const { proxy } = setting;
    let stalled = false;
    proxy.onCall = (_n, { verb, resource }) => {
      // The picture is late, too: the pod is seen by nobody.
      if (verb === 'watch' && resource === 'pods') return 'stall';
      if (verb !== 'create' || resource !== 'pods') return 'pass';
      stalled = true;
      return 'reset-after';
    };
    proxy.reset();
    await setting.labs.create(aLab());
    await until('the pod was asked for', () => stalled);
    await setting.untilPod();
    await setting.labs.delete(aKey());
    await until('the pod is gone', async () => (await setting.pod()) === undefined);
    expect(await setting.secretNames()).toEqual([]);
  });
});
