import type { V1Pod } from '@kubernetes/client-node';
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../sandbox/index.ts';
import { parseIntent } from '../../../src/domain/lab/intent.ts';
import { Events, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

/** A pod must have come up to where it fails by then. */
const SPAWN_TIMEOUT = onCluster('3s', '8s');

const clusters = useCluster({ concurrent: true });

/** Spawns on a cluster with this fault and waits for the failure. */
async function failWith(faults: Fault[], phase: 'failed' | 'terminated' = 'failed'): Promise<Setting> {
  const setting = await clusters.setting({ faults });
  await setting.labs.create(aLab());
  await setting.untilPhase(phase);
  return setting;
}

describe.concurrent('a pod that does not start', () => {
  it.each<{ what: string; faults: Fault[]; reason: string; phase?: 'terminated' }>([
    { what: 'ends at once with an error', faults: [{ fault: 'fail' }], reason: 'Error' },
    { what: 'ends at once without an error', faults: [{ fault: 'succeed' }], reason: 'Exited', phase: 'terminated' },
    { what: 'has an image that does not exist', faults: [{ fault: 'imagePull' }], reason: 'ImageNotFound' },
    {
      what: 'has an image it may not read',
      faults: [{ fault: 'imagePull', reason: 'unauthorized' }],
      reason: 'ImageNotFound',
    },
    {
      what: 'has an image with an impossible name',
      faults: [{ fault: 'invalidImageName' }],
      reason: 'InvalidImageName',
    },
    { what: 'refers to what is missing', faults: [{ fault: 'containerConfig' }], reason: 'ContainerConfigError' },
    { what: 'has a command that is not there', faults: [{ fault: 'containerStart' }], reason: 'ContainerCreateError' },
  ])('because it $what is reported with its reason, and never as running', async ({ faults, reason, phase }) => {
    const setting = await failWith(faults, phase);
    expect(setting.state()).toMatchObject({ status: phase ?? 'failed', reason, internalUrl: null });
    const events = await setting.events();
    expect(events.map(({ type }) => type).filter((type) => type !== 'info')).toEqual(['error', 'failed']);
    expect(events.at(-2)?.message).toBe(setting.state().message);
    await setting.untilCleaned();
    expect(setting.state().reason).toBe(reason);
    expect(setting.labs.runningUsers()).toEqual([]);
  });

  it('because an init container fails says which one', async () => {
    const config = aConfig({ initContainers: [{ name: 'prepare', image: 'registry.example/init:1' }] });
    const setting = await clusters.setting({ config, faults: [{ fault: 'initContainer', exitCode: 3 }] });
    await setting.labs.create(aLab());
    const { reason, message } = await setting.untilPhase('failed');
    expect(reason).toBe('InitContainerFailed');
    expect(message).toContain('"prepare"');
  });

  it('because its image cannot be fetched for a moment is no failure', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'imagePull', reason: 'transient', attempts: 1 }] });
    const state = await setting.spawn(aLab());
    expect(state.status).toBe('running');
    const messages = (await setting.events()).map(({ message }) => message);
    expect(messages.some((message) => message.includes('Failed to pull image'))).toBe(true);
  });

  it('because a right is missing for a moment comes up', async () => {
    const setting = await clusters.setting({ patience: { longestGrace: 60_000 } });
    let refusals = 0;
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'pods' && (refusals += 1) <= 3 ? { status: 403 } : 'pass';
    await setting.spawn(aLab());
    expect(refusals).toBeGreaterThan(3);
    expect(setting.log.filter((line) => line.includes('lab failed'))).toEqual([]);
  });

  it('because a right is missing for longer fails, and says so', async () => {
    const setting = await clusters.setting({ patience: { longestGrace: 300 } });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'pods' ? { status: 403 } : 'pass';
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'AdmissionDenied' });
    await setting.untilCleaned();
  });

  it('because there is no room fails when the time for that is over, and says so', async () => {
    const config = aConfig({ schedulingTimeout: '1s' });
    const setting = await clusters.setting({ config, faults: [{ fault: 'unschedulable' }] });
    await setting.labs.create(aLab());
    const waiting = await setting.untilPhase('scheduling');
    expect(waiting.status).toBe('pending');
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'Unschedulable' });
    await setting.untilCleaned();
  });

  it('because its server never listens fails at the deadline, and says so', async () => {
    const config = aConfig({ spawnTimeout: SPAWN_TIMEOUT });
    const setting = await clusters.setting({ config, faults: [{ fault: 'neverReady' }] });
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NotReady' });
    await setting.untilCleaned();
  });

  it('because a volume cannot be mounted fails at the deadline with that reason', async () => {
    const config = aConfig({ spawnTimeout: SPAWN_TIMEOUT });
    const setting = await clusters.setting({ config, faults: [{ fault: 'mount' }] });
    await setting.labs.create(aLab());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'VolumeMountFailed' });
  });

  it('because somebody deletes it while it is pending is reported', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    await setting.client.delete(Pods, setting.podRef());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'DeletedExternally' });
    await setting.untilCleaned();
  });
});

describe.concurrent('a lab that runs', () => {
  it.each<{ what: string; act: (setting: Setting) => Promise<unknown>; reason: string }>([
    { what: 'is evicted', act: (s) => s.kubelet.evict(s.podRef()), reason: 'Evicted' },
    { what: 'uses too much memory', act: (s) => s.kubelet.oom(s.podRef()), reason: 'OOMKilled' },
    { what: 'ends with an error', act: (s) => s.kubelet.crash(s.podRef(), 7), reason: 'Error' },
    { what: 'loses its pod', act: (s) => s.kubelet.remove(s.podRef()), reason: 'DeletedExternally' },
    { what: 'is deleted by somebody', act: (s) => s.client.delete(Pods, s.podRef()), reason: 'DeletedExternally' },
  ])('and $what has failed, with the reason kept after everything is cleaned up', async ({ act, reason }) => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await act(setting);
    await setting.untilPhase('failed');
    expect(setting.state()).toMatchObject({ status: 'failed', reason, internalUrl: null });
    await setting.untilCleaned();
    expect(setting.state()).toMatchObject({ status: 'failed', reason });
    expect(setting.state().finishedAt).toBeGreaterThan(0);
  });

  it('and loses its node has failed, and is cleaned up as soon as the pod can be', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.runByHand();
    await setting.untilPhase('running');
    const conditions = [
      { type: 'Ready', status: 'False' },
      { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager' },
    ];
    await setting.setPodStatus({ conditions });
    await setting.client.delete(Pods, setting.podRef());
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NodeLost' });
    // A pod that goes before anybody has written down what became of the lab was deleted, as far as anybody can tell.
    await until('its failure is written down', async () => {
      const intent = await setting.client.get(Secrets, setting.intentRef());
      return parseIntent(intent?.metadata)?.failure?.reason === 'NodeLost';
    });
    // Nobody on that node confirms the end of the pod; somebody else has to.
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    await setting.untilCleaned();
    expect(setting.state().reason).toBe('NodeLost');
  });

  it('and whose container has ended beside a sidecar that goes on has failed at once', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.runByHand();
    await setting.untilPhase('running');
    const status = { image: 'x', imageID: '', ready: false, restartCount: 0 };
    const terminated = { exitCode: 137, reason: 'OOMKilled' };
    await setting.setPodStatus({
      phase: 'Running',
      containerStatuses: [
        { ...status, name: 'notebook', state: { terminated } },
        { ...status, name: 'istio-proxy', state: { running: {} } },
      ],
    });
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'OOMKilled' });
  });

  it('and ends by itself without an error is terminated, not failed', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.kubelet.crash(setting.podRef(), 0);
    expect(await setting.untilPhase('terminated')).toMatchObject({ status: 'terminated', reason: 'Exited' });
    await setting.untilCleaned();
  });
});

describe.concurrent('a failed lab', () => {
  it('does not hinder a new one, also while it is still being cleaned up', async () => {
    const setting = await failWith([{ fault: 'fail' }]);
    setting.kubelet.setFaults([]);
    await setting.spawn(aLab());
    expect(setting.state()).toMatchObject({ status: 'running', reason: null });
    await setting.kubelet.crash(setting.podRef());
    await setting.untilPhase('failed');
    await setting.untilCleaned();
  });

  it('is deleted like any other', async () => {
    const setting = await failWith([{ fault: 'fail' }]);
    await setting.labs.delete(aKey());
    expect(setting.labs.get(aKey())).toBeUndefined();
    expect(await setting.client.get(Secrets, setting.intentRef())).toBeUndefined();
    expect(await setting.secretNames()).toEqual([]);
  });

  it('is forgotten after a while', async () => {
    const setting = await clusters.setting({ config: aConfig({ failedRetention: '1s' }), faults: [{ fault: 'fail' }] });
    await setting.labs.create(aLab());
    await setting.untilPhase('failed');
    await setting.untilForgotten();
  });
});

describe.concurrent('the readers of a spawn', () => {
  it('are told what Kubernetes says about its pod', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPhase('scheduling');
    await say(setting, await setting.untilPod(), {
      reason: 'Pulling',
      message: 'Pulling image "registry.example/lab:1"',
    });
    await setting.untilEvent('Pulling image "registry.example/lab:1"');
  });

  it('are told nothing about the pod of an earlier spawn that is still going, and the spawn does not fail of it', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    await setting.runByHand();
    await setting.untilPhase('running');
    const earlier = await setting.untilPod();
    await setting.client.patch(Pods, setting.podRef(), { metadata: { finalizers: ['example.org/held'] } });
    await setting.setPodStatus({ phase: 'Failed' });
    await setting.untilPhase('failed');
    await setting.labs.create(aLab());
    await setting.untilPhase('waiting_for_namespace');
    const missing = 'MountVolume.SetUp failed for volume "lab-files" : configmap "lab-files" not found';
    await say(setting, earlier, { type: 'Warning', reason: 'FailedMount', message: missing });
    await setting.client.patch(Pods, setting.podRef(), { metadata: { finalizers: null } });
    await setting.client.delete(Pods, setting.podRef(), { gracePeriodSeconds: 0 });
    await until('there is another pod', async () => {
      const uid = (await setting.pod())?.metadata?.uid;
      return uid !== undefined && uid !== earlier.metadata?.uid;
    });
    await setting.untilPhase('scheduling');
    await say(setting, await setting.untilPod(), { reason: 'Pulling', message: 'Pulling' });
    await setting.untilEvent('Pulling');
    await setting.runByHand();
    const messages = (await setting.events()).map(({ message }) => message);
    expect(messages).not.toContain(missing);
  });
});

/** What a kubelet or a scheduler says about a pod. */
async function say(
  setting: Setting,
  pod: V1Pod,
  event: { readonly type?: string; readonly reason: string; readonly message: string },
): Promise<void> {
  const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
  await setting.client.create(Events, {
    metadata: { namespace, name: `${name}.${randomUUID()}` },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    type: 'Normal',
    ...event,
  });
}
