import { describe, expect, it } from 'vitest';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

const clusters = useCluster({ concurrent: true });

/** From now on the controller is told nothing of these any more; what it asks for by name it gets. */
function blind(setting: Setting, blinded: string): void {
  setting.proxy.onCall = (_n, { verb, resource }) =>
    resource === blinded && (verb === 'list' || verb === 'watch') ? 'reset-before' : 'pass';
  setting.proxy.reset();
}

describe.concurrent('a controller whose caches are behind', () => {
  it('does not end a lab at its deadline that has come up meanwhile', async () => {
    const config = aConfig({ spawnTimeout: onCluster('3s', '8s') });
    const setting = await clusters.setting({ config, kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    blind(setting, 'pods');
    await setting.runByHand();
    await setting.untilPhase('running');
    expect((await setting.pod())?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it('ends one that has not', async () => {
    const config = aConfig({ spawnTimeout: onCluster('3s', '8s') });
    const setting = await clusters.setting({ config, kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    blind(setting, 'pods');
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'DeadlineExceeded' });
  });

  it('ends one at its deadline whose pod has gone meanwhile, with that reason', async () => {
    const config = aConfig({ spawnTimeout: onCluster('3s', '8s') });
    const setting = await clusters.setting({ config, kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    blind(setting, 'pods');
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'DeletedExternally' });
  });

  it('does not take the pod of a spawn that it has not heard of for that of an earlier one', async () => {
    const setting = await clusters.setting();
    const proxy = await FaultProxy.start(setting.cluster.direct);
    try {
      const other = await setting.addReplica({ leads: true, proxy });
      const { spec } = await setting.spawn(aLab());
      blind(setting, 'secrets');
      await other.delete(aKey());
      await other.create(aLab());
      await until('the other one has it running', () => other.get(aKey())?.status === 'running');
      const uid = (await setting.pod())?.metadata?.uid;
      await until(
        'this one knows that its spawn is over',
        () => setting.labs.get(aKey())?.spec.spawnId !== spec.spawnId,
      );
      expect((await setting.pod())?.metadata).toMatchObject({ uid });
      expect((await setting.pod())?.metadata?.deletionTimestamp).toBeUndefined();
      await setting.stop();
    } finally {
      await proxy.close();
    }
  });
});
