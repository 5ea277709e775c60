import { describe, expect, it } from 'vitest';
import { LabwrightError } from '../../../src/domain/errors.ts';
import type { LabService } from '../../../src/reconcile/labs/lab-service.ts';
import { DEFAULT_LIMITS } from '../../../src/config/limits.ts';
import { type Setting, useCluster } from '../support/controller.ts';
import { aConfig, aKey, aLab } from '../support/labs.ts';
import { until } from '../support/until.ts';

/** Room for two of the labs of these tests, which have one core each. */
const TWO = { cpu: 2, memory: 2 ** 32, spawn: true };
const servers = ['', 'b', 'c', 'd', 'e', 'f'];
const limits = (labsPerUser: number) => aConfig({}, { limits: { ...DEFAULT_LIMITS, labsPerUser } });

const clusters = useCluster();

const ask = (labs: LabService, servername: string, quota = TWO) => labs.create(aLab({ servername, quota }));
const startAll = (labs: (index: number) => LabService) =>
  Promise.allSettled(servers.map((servername, index) => ask(labs(index), servername)));

function refusals(results: readonly PromiseSettledResult<void>[]): unknown[] {
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
}

/** Waits until nothing starts any more. */
async function settled(setting: Setting): Promise<Record<string, number>> {
  await until('every lab runs or has failed', () => setting.labs.list().every(({ status }) => status !== 'pending'));
  const counts: Record<string, number> = {};
  for (const { status, reason } of setting.labs.list()) {
    const what = status === 'failed' ? `failed: ${reason}` : status;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}

describe('the quota of a user', () => {
  it('holds over all of its servers', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab({ quota: TWO }));
    await setting.spawn(aLab({ servername: 'b', quota: TWO }));
    await expect(ask(setting.labs, 'c')).rejects.toMatchObject({
      code: 'insufficient_quota',
      status: 403,
      message:
        'Your other labs use 2 of the 2 cores that you may have at once, and this one needs 1. Stop one of them, or choose a smaller size.',
    });
    await expect(ask(setting.labs, 'c', { ...TWO, cpu: 8, memory: 2.5 * 2 ** 30 })).rejects.toMatchObject({
      message:
        'Your other labs use 2 GiB of the 2.5 GiB of memory that you may have at once, and this one needs 1 GiB. Stop one of them, or choose a smaller size.',
    });
    expect(setting.labs.list()).toHaveLength(2);
    // It is nobody else's.
    await setting.spawn(aLab({ username: 'bob', quota: TWO }));
  });

  it('holds for creates at once', async () => {
    const setting = await clusters.setting();
    const refused = refusals(await startAll(() => setting.labs));
    expect(refused).toHaveLength(4);
    for (const error of refused) expect(error).toMatchObject({ code: 'insufficient_quota' });
    expect(await settled(setting)).toEqual({ running: 2 });
  });

  it('holds for creates at once at several replicas', async () => {
    const setting = await clusters.setting();
    const replicas = [
      setting.labs,
      await setting.addReplica({ leads: false }),
      await setting.addReplica({ leads: false }),
    ];
    const refused = refusals(await startAll((index) => replicas[index % 3]!));
    for (const error of refused) expect(error).toBeInstanceOf(LabwrightError);
    const counts = await settled(setting);
    expect(counts.running).toBe(2);
    expect((counts['failed: QuotaExceeded'] ?? 0) + refused.length).toBe(4);
  });

  it('has room again as soon as one of them is deleted, also elsewhere', async () => {
    const setting = await clusters.setting();
    const other = await setting.addReplica({ leads: false });
    await setting.spawn(aLab({ quota: TWO }));
    await setting.spawn(aLab({ servername: 'b', quota: TWO }));
    await other.ready(aKey());
    await other.delete(aKey());
    await setting.spawn(aLab({ servername: 'c', quota: TWO }));
  });

  it('is not taken by labs that have failed', async () => {
    const setting = await clusters.setting({ kubelet: false });
    await setting.labs.create(aLab({ quota: { ...TWO, cpu: 1 } }));
    await setting.untilPod();
    await setting.setPodStatus({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on memory.' });
    await setting.untilPhase('failed');
    await ask(setting.labs, 'b', { ...TWO, cpu: 1 });
  });

  it('ends no lab that runs when it has become smaller', async () => {
    const setting = await clusters.setting();
    await setting.spawn(aLab({ quota: TWO }));
    await setting.spawn(aLab({ servername: 'b', quota: TWO }));
    await expect(ask(setting.labs, 'c', { ...TWO, cpu: 1 })).rejects.toMatchObject({ code: 'insufficient_quota' });
    await setting.restart();
    expect(await settled(setting)).toEqual({ running: 2 });
  });
});

describe('the number of labs that a user may have', () => {
  it('holds over all of its servers, also without a quota', async () => {
    const setting = await clusters.setting({ config: limits(2) });
    await setting.spawn(aLab());
    await setting.spawn(aLab({ servername: 'b' }));
    await expect(setting.labs.create(aLab({ servername: 'c' }))).rejects.toMatchObject({
      code: 'insufficient_quota',
      status: 403,
      message: 'You have 2 labs, and that is as many as you may have at once. Stop one of them first.',
    });
    await setting.labs.delete(aKey());
    await setting.spawn(aLab({ servername: 'c' }));
  });

  it('does not count the lab that a new one replaces', async () => {
    const setting = await clusters.setting({ config: limits(1), kubelet: false });
    await setting.labs.create(aLab());
    await setting.untilPod();
    await setting.setPodStatus({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on memory.' });
    await setting.untilPhase('failed');
    await setting.labs.create(aLab());
    await until('its pod is made', async () => (await setting.pod()) !== undefined);
  });
});
