import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BuildArchive } from '../../../src/reconcile/builds/archive/build-archive.ts';
import { Jobs } from '../../../src/storage/kubernetes/resources.ts';
import { LogStore } from '../../../src/storage/archive/log-store.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { aRepository, BuildSetting } from './setting.ts';

let cluster: TestCluster;
let directory: string;
let setting: BuildSetting;
beforeAll(async () => {
  cluster = await startCluster();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'labwright-logs-'));
});
afterEach(async () => {
  await setting.close();
  await rm(directory, { recursive: true });
});
afterAll(async () => {
  await cluster.close();
});

async function openArchive(): Promise<BuildArchive> {
  const logger = pino({ level: 'silent' });
  const files = await LogStore.open({ directory, totalSize: 2 ** 20, retention: 3_600_000, logger });
  return new BuildArchive({ files, logger });
}

async function textOf(id: string): Promise<string[]> {
  const text: string[] = [];
  for await (const line of (await setting.builds.log(id, AbortSignal.timeout(5_000))) ?? []) text.push(line);
  return text;
}

async function deleteJob(id: string): Promise<void> {
  const ref = { namespace: setting.namespace, name: `build-${id}` };
  await cluster.client.delete(Jobs, ref, { propagationPolicy: 'Background' });
  await until('the Job is gone', async () => (await cluster.client.get(Jobs, ref)) === undefined);
}

describe('the log and the result of a build', () => {
  it('are there when its Job is long gone, also for the next controller', async () => {
    setting = await BuildSetting.create(cluster, {
      scripts: () => ({ lines: [said('kept')] }),
      archive: await openArchive(),
    });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    await until('the log is archived', async () => (await (await openArchive()).find(spec.id)) !== undefined);
    await deleteJob(spec.id);
    await until('the build is known from the archive', () => setting.builds.get(spec.id)?.finishedAt !== undefined);
    const next = await openArchive();
    await next.refresh(AbortSignal.timeout(5_000));
    expect(next.known(spec.id)?.result.status).toBe('ready');
    const events = await setting.events(spec.id);
    expect(events).toMatchObject([{ type: 'log', text: 'kept\n' }, { type: 'ready' }]);
    expect(await textOf(spec.id)).toEqual(['kept\n']);
  });

  it('are the same for however many come for them at the same moment, from where each of them was', async () => {
    const archive = await openArchive();
    const lines = [said('one'), said('two')];
    setting = await BuildSetting.create(cluster, { scripts: () => ({ lines }), archive });
    const { spec } = await setting.request();
    const live = await setting.events(spec.id);
    await until('the log is archived', () => archive.known(spec.id));
    await deleteJob(spec.id);
    await until('the Job is not known any more', () => [...setting.nth(0).cache.jobs()].length === 0);
    const all = await Promise.all(Array.from({ length: 40 }, () => setting.events(spec.id)));
    for (const events of all)
      expect(events).toMatchObject([{ type: 'log', text: 'one\n' }, { type: 'log', text: 'two\n' }, { type: 'ready' }]);
    // An id of the log in memory is one of the file as well.
    const first = live.find((event) => event.type === 'log');
    const rest: unknown[] = [];
    for await (const event of setting.builds.events(spec.id, first?.id, AbortSignal.timeout(5_000)) ?? [])
      rest.push(event);
    expect(rest).toMatchObject([{ type: 'log', text: 'two\n' }, { type: 'ready' }]);
  });

  it('is kept of a build that was cancelled in the queue, too, when its Job goes', async () => {
    const archive = await openArchive();
    const gate = new Gate();
    const config = { queue: { running: 1 }, retention: '1s' };
    setting = await BuildSetting.create(cluster, { scripts: () => gate.script(), archive, config });
    await setting.request({ repository: aRepository('ada/first') });
    const { spec } = await setting.request({ repository: aRepository('ada/second') });
    await setting.untilPhase(spec.id, 'queued');
    await setting.builds.cancel(spec.id, 'ada');
    const kept = await until('its Job has gone and it is archived', () => archive.known(spec.id));
    expect(kept.result).toMatchObject({ status: 'cancelled', reason: 'Cancelled' });
    gate.end();
  });

  it('are archived by the controller that comes after one that died before it could', async () => {
    const gate = new Gate();
    setting = await BuildSetting.create(cluster, { scripts: () => gate.script(), archive: await openArchive() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    await setting.stop();
    gate.write(said('nobody listens'));
    gate.end();
    await until('the Job is complete', async () => (await setting.jobs())[0]?.status?.succeeded === 1);
    await setting.start();
    await setting.untilPhase(spec.id, 'ready');
    const later = await openArchive();
    const found = await until('the log is archived', () => later.find(spec.id));
    const lines: string[] = [];
    for await (const text of later.log(found).text()) lines.push(text);
    expect(lines).toEqual(['nobody listens']);
  });

  it('are not lost when the archive cannot be written for a moment: the build is not cleaned up before', async () => {
    const archive = await openArchive();
    setting = await BuildSetting.create(cluster, { scripts: () => ({ lines: [said('kept')] }), archive });
    // As if the volume were not mounted.
    await rename(directory, `${directory}-away`);
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await until('it was tried', () => setting.log.some((line) => line.includes('could not be archived')));
    await rename(`${directory}-away`, directory);
    await setting.untilClean(spec.id);
    expect(archive.known(spec.id)?.spec.id).toBe(spec.id);
    await deleteJob(spec.id);
    await until('the Job is not known any more', () => [...setting.nth(0).cache.jobs()].length === 0);
    expect(await textOf(spec.id)).toEqual(['kept\n']);
  });
});
