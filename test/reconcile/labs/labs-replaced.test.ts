import { describe, expect, it } from 'vitest';
import { Secrets } from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import type { HeldCall } from '../../support/fault-proxy.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });

/** Holds the first call of this verb on the lab's intent, or what else is asked for, until it is released. */
function holdFirst(setting: Setting, isIt: (request: KubeRequest) => boolean, side: 'before' | 'after' = 'before') {
  const { proxy } = setting;
  let once = true;
  const inner = proxy.onCall;
  proxy.onCall = (n, request) => {
    if (!once || !isIt(request)) return inner(n, request);
    once = false;
    return `hold-${side}`;
  };
  return (): Promise<HeldCall> => until('the call is held', () => [...proxy.held].find(({ request }) => isIt(request)));
}

function onIntent(setting: Setting, wanted: KubeRequest['verb']) {
  return ({ verb, resource, namespace }: KubeRequest) =>
    verb === wanted && resource === 'secrets' && namespace === setting.controller;
}

/** Fails again when asked to, and is cleaned up then, as any lab. */
async function expectAlive(setting: Setting): Promise<void> {
  await setting.untilPhase('running');
  const intent = await setting.client.get(Secrets, setting.intentRef());
  const marks = Object.keys(intent?.metadata?.annotations ?? {});
  expect(marks.filter((name) => /failure|cleaned|deleting/.test(name))).toEqual([]);
  await setting.kubelet.crash(setting.podRef());
  await setting.untilPhase('failed');
  await setting.untilCleaned();
}

describe.concurrent('a new lab in the place of a failed one', () => {
  it('is made although the clean-up of the old one is noted in the same moment', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'fail' }] });
    const cleanUp = holdFirst(setting, ({ verb, resource }) => verb === 'deletecollection' && resource === 'secrets');
    const replacing = holdFirst(setting, onIntent(setting, 'update'));
    await setting.labs.create(aLab());
    const held = await cleanUp();
    setting.kubelet.setFaults([]);
    const created = setting.labs.create(aLab());
    const replace = await replacing();
    held.release();
    await setting.untilMarkedClean();
    replace.release();
    await created;
    await expectAlive(setting);
  });

  it('is made although the old one is forgotten in the same moment', async () => {
    const config = aConfig({ failedRetention: 0 });
    const setting = await clusters.setting({ config, faults: [{ fault: 'fail' }] });
    const forgetting = holdFirst(setting, onIntent(setting, 'delete'));
    const replacing = holdFirst(setting, onIntent(setting, 'update'));
    await setting.labs.create(aLab());
    const forget = await forgetting();
    setting.kubelet.setFaults([]);
    const created = setting.labs.create(aLab());
    const replace = await replacing();
    forget.release();
    await until('the old one is gone', async () => {
      return (await setting.client.get(Secrets, setting.intentRef())) === undefined;
    });
    replace.release();
    await created;
    await setting.untilPhase('running');
  });

  it('does not take over that the old one was cleaned up', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'fail' }] });
    // The first patch notes the failure, the second one the clean-up.
    let patches = 0;
    const marking = holdFirst(setting, (request) => onIntent(setting, 'patch')(request) && ++patches >= 2);
    await setting.labs.create(aLab());
    const mark = await marking();
    setting.kubelet.setFaults([]);
    await setting.labs.create(aLab());
    mark.release();
    await expectAlive(setting);
  });

  it('is not forgotten with the old one', async () => {
    const config = aConfig({ failedRetention: 0 });
    const setting = await clusters.setting({ config, faults: [{ fault: 'fail' }] });
    const forgetting = holdFirst(setting, onIntent(setting, 'delete'));
    await setting.labs.create(aLab());
    const forget = await forgetting();
    setting.kubelet.setFaults([]);
    await setting.labs.create(aLab());
    forget.release();
    await setting.untilPhase('running');
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeDefined();
  });

  it('does not fail for what is written down late about the old one', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'fail' }] });
    const noting = holdFirst(setting, onIntent(setting, 'patch'));
    await setting.labs.create(aLab());
    const note = await noting();
    setting.kubelet.setFaults([]);
    await setting.labs.create(aLab());
    note.release();
    await expectAlive(setting);
  });
});

describe.concurrent('a delete whose last call is answered late or never', () => {
  it('is complete when the watch says so', async () => {
    const config = aConfig({}, { kubernetes: { requestTimeout: onCluster('500ms', '1500ms') } });
    const setting = await clusters.setting({ config });
    await setting.spawn(aLab());
    const removing = holdFirst(setting, onIntent(setting, 'delete'), 'after');
    const deleted = setting.labs.delete(aKey());
    await removing();
    await deleted;
    expect(setting.labs.get(aKey())).toBeUndefined();
    await setting.spawn(aLab());
  });

  it('is complete although the answer to its first call comes after everything', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const marking = holdFirst(setting, onIntent(setting, 'patch'), 'after');
    const deleted = setting.labs.delete(aKey());
    const mark = await marking();
    await setting.untilForgotten();
    mark.release();
    await deleted;
    await setting.spawn(aLab());
  });
});
