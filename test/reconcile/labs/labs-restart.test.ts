import { describe, expect, it } from 'vitest';
import { DELAYS } from '../../../sandbox/index.ts';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { onCluster, until } from '../support/until.ts';

/** A pod must have come up to where it fails by then. */
const SPAWN_TIMEOUT = onCluster('3s', '8s');

const clusters = useCluster({ concurrent: true });

describe.concurrent('a controller that is started again', () => {
  it('finds labs in every phase as they were', async () => {
    const setting = await clusters.setting({
      config: aConfig({ deleteTimeout: '1s' }),
      delays: { ...DELAYS.instant, stop: 500 },
      faults: [
        { fault: 'unschedulable', match: { username: 'waiting' } },
        { fault: 'imagePull', reason: 'transient', attempts: 99, match: { username: 'pulling' } },
        { fault: 'neverReady', match: { username: 'starting' } },
        { fault: 'fail', match: { username: 'failed' } },
        { fault: 'succeed', match: { username: 'ended' } },
      ],
    });
    const phases = {
      waiting: 'scheduling',
      pulling: 'pulling',
      starting: 'starting',
      failed: 'failed',
      ended: 'terminated',
      running: 'running',
    } as const;
    for (const [username, phase] of Object.entries(phases)) {
      await setting.labs.create(aLab({ username }));
      await setting.untilPhase(phase, aKey(username));
    }
    await setting.untilCleaned(aKey('failed'));
    await setting.untilCleaned(aKey('ended'));
    await setting.spawn(aLab({ username: 'leaving' }));
    const deleting = setting.labs.delete(aKey('leaving')).catch(() => undefined);
    await setting.untilPhase('deleting', aKey('leaving'));
    const before = setting.labs.list().filter(({ phase }) => phase !== 'deleting');
    await setting.stop();
    await setting.start();
    for (const state of before) expect(setting.labs.get(aKey(state.spec.user.username))).toEqual(state);
    expect(setting.labs.runningUsers()).toEqual(['running']);
    await setting.untilForgotten(aKey('leaving'));
    await deleting;
  });

  it('brings up what was asked for before', async () => {
    const setting = await clusters.setting();
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'create' && resource === 'namespaces' ? 'reset-before' : 'pass';
    await setting.labs.create(aLab());
    await setting.stop();
    setting.proxy.onCall = () => 'pass';
    await setting.start();
    await setting.untilPhase('running');
    expect(await setting.secretNames()).toEqual([setting.names().envSecret, setting.names().secret]);
  });

  it('ends a lab whose deadline has passed meanwhile', async () => {
    const setting = await clusters.setting({
      config: aConfig({ spawnTimeout: SPAWN_TIMEOUT }),
      faults: [{ fault: 'neverReady' }],
    });
    await setting.labs.create(aLab());
    const { spec } = await setting.untilPhase('starting');
    await until('its container runs', async () => (await setting.pod())?.status?.phase === 'Running');
    await setting.stop();
    await until('the deadline has passed', () => Date.now() > spec.deadline);
    await setting.start();
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'NotReady' });
    await setting.untilCleaned();
  });

  it('notices that a running lab has ended meanwhile', async () => {
    const setting = await clusters.setting({ config: aConfig({ spawnTimeout: SPAWN_TIMEOUT }) });
    await setting.spawn(aLab());
    const { spec } = await setting.spawn(aLab({ username: 'bob' }));
    await setting.stop();
    await setting.kubelet.oom(setting.podRef());
    await setting.client.delete(Pods, setting.podRef(aKey('bob')), { gracePeriodSeconds: 0 });
    await until('both deadlines have passed', () => Date.now() > spec.deadline);
    await setting.start();
    expect(await setting.untilPhase('failed')).toMatchObject({ reason: 'OOMKilled' });
    await setting.untilPhase('failed', aKey('bob'));
    await setting.untilCleaned();
    await setting.untilCleaned(aKey('bob'));
  });

  it('cleans up a failed lab that the one before did not get to', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'fail' }] });
    setting.proxy.onCall = (_n, { verb }) => (verb.startsWith('delete') ? 'reset-before' : 'pass');
    await setting.labs.create(aLab());
    await setting.untilPhase('failed');
    await setting.stop();
    setting.proxy.onCall = () => 'pass';
    await setting.start();
    await setting.untilCleaned();
    expect(setting.state()).toMatchObject({ status: 'failed', reason: 'Error' });
  });
});

describe.concurrent('a reader that comes back with Last-Event-ID', () => {
  it('to another process sees the rest and the end, and no progress twice', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab());
    const first = await setting.untilEvent('Created Kubernetes objects for user lab');
    await setting.restart();
    const reading = setting.events(aKey(), first.id);
    await setting.runByHand();
    const rest = await reading;
    expect(rest.at(-1)?.type).toBe('complete');
    for (const { progress } of rest) expect(progress ?? 100).toBeGreaterThan(first.progress ?? 0);
  });

  it('after the end is told the end again, and nothing else', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    const last = (await setting.events()).at(-1);
    expect(await setting.events(aKey(), last?.id)).toEqual([last]);
  });

  it('of a spawn that was cancelled is told so, also when the delete has ended', async () => {
    const setting = await clusters.setting({ faults: [{ fault: 'neverReady' }] });
    await setting.labs.create(aLab());
    await setting.untilPhase('starting');
    const seen = await setting.untilEvent('Created Kubernetes objects for user lab');
    await setting.labs.delete(aKey());
    expect((await setting.events(aKey(), seen.id)).at(-1)?.type).toBe('failed');
    await setting.restart();
    expect((await setting.events(aKey(), seen.id)).at(-1)?.type).toBe('failed');
  });

  it('of a delete that has ended in another process is told so', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    await setting.labs.delete(aKey());
    const seen = (await setting.events()).at(0);
    expect(seen?.id).toContain('.delete.');
    await setting.restart();
    expect((await setting.events(aKey(), seen?.id)).at(-1)?.type).toBe('complete');
  });

  it('that nobody has given out is served from the start', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab());
    for (const id of ['nonsense', '1', '']) expect((await setting.events(aKey(), id)).at(-1)?.type).toBe('complete');
  });
});
