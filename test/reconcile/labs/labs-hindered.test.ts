import { describe, expect, it } from 'vitest';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

const clusters = useCluster();
const WEBHOOK =
  'Internal error occurred: failed calling webhook "pods.policy.example.org": Post "https://policy": dial tcp: connection refused';
const FINALIZER = 'example.org/hold';
const SENTENCE =
  'The cluster does not take the Pod of the lab at the moment: the admission webhook "pods.policy.example.org" does not answer.';
const TOLD = `${SENTENCE} Labwright goes on trying.`;

describe('a lab that the cluster does not make', () => {
  it('says after a while what it waits for, at every replica, and comes up when that is over', async () => {
    const setting = await clusters.setting({ patience: { noteAfter: 200 } });
    const other = await setting.addReplica({ leads: false });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'pods' ? { status: 500, reason: 'InternalError', message: WEBHOOK } : 'pass';
    await setting.labs.create(aLab());
    await setting.untilEvent(TOLD);
    expect(setting.state()).toMatchObject({
      status: 'pending',
      reason: 'ClusterUnavailable',
      message: SENTENCE,
    });
    await until('the other replica says it', () => other.get(aKey())?.message === SENTENCE);
    const told: string[] = [];
    const reading = (async () => {
      for await (const event of other.events(aKey(), undefined, AbortSignal.timeout(15_000)) ?? []) {
        told.push(event.message);
      }
    })();
    setting.proxy.onCall = () => 'pass';
    expect(await setting.untilPhase('running')).toMatchObject({
      reason: null,
      message: null,
    });
    await reading;
    expect(told).toContain(TOLD);
  });

  it('fails at its deadline with the cause', async () => {
    const setting = await clusters.setting({
      config: aConfig({ spawnTimeout: '2s' }),
      patience: { noteAfter: 200 },
    });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'services' ? { status: 503 } : 'pass';
    await setting.labs.create(aLab());
    const why =
      'The cluster does not take the Service of the lab at the moment: the Kubernetes API answers with status 503.';
    expect(await setting.untilPhase('failed')).toMatchObject({
      reason: 'ClusterUnavailable',
      message: `The lab did not start within 2 seconds. ${why}`,
    });
    await setting.untilCleaned();
  });
});

describe('a pod that does not go', () => {
  /** A lab whose pod is held by somebody's finalizer. */
  async function aHeldLab(config = aConfig({ deleteTimeout: '1s' })) {
    const setting = await clusters.setting({ config });
    await setting.spawn(aLab());
    const hold = (finalizers: readonly string[]) =>
      setting.client.patch(Pods, setting.podRef(), {
        metadata: { finalizers },
      });
    await hold([FINALIZER]);
    return { setting, release: () => hold([]) };
  }

  it('keeps the lab terminating until it has gone', async () => {
    const { setting, release } = await aHeldLab();
    await expect(setting.labs.delete(aKey())).rejects.toMatchObject({
      code: 'delete_failed',
      status: 500,
    });
    await expect(setting.labs.create(aLab())).rejects.toMatchObject({
      code: 'operation_in_progress',
    });
    await release();
    await setting.untilForgotten();
    await setting.spawn(aLab());
  });

  it('is let go of by force, whatever its machine does', async () => {
    const setting = await clusters.setting({
      kubelet: false,
      config: aConfig({ deleteTimeout: '3s' }),
    });
    await setting.labs.create(aLab());
    await setting.runByHand();
    await setting.untilPhase('running');
    // No kubelet confirms the end.
    await expect(setting.labs.delete(aKey())).rejects.toMatchObject({
      code: 'delete_failed',
    });
    await setting.labs.delete(aKey(), { force: true });
    expect(await setting.pod()).toBeUndefined();
    expect(setting.labs.get(aKey())).toBeUndefined();
    expect(setting.log.some((line) => line.includes('deleting a pod by force'))).toBe(true);
  });
});
