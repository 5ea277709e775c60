import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildStore } from '../../../src/reconcile/builds/archive/build-keeper.ts';
import { KeptBuilds } from '../../../src/reconcile/builds/archive/kept-builds.ts';
import { Jobs } from '../../../src/storage/kubernetes/resources.ts';
import { LogStore } from '../../../src/storage/archive/log-store.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { BuildSetting } from './setting.ts';

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

async function openStore(): Promise<KeptBuilds> {
  const logger = pino({ level: 'silent' });
  return new KeptBuilds(await LogStore.open({ directory, totalSize: 2 ** 20, retention: 3_600_000, logger }), logger);
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
      store: await openStore(),
    });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    await until('the log is kept', async () => (await (await openStore()).load(spec.id)) !== undefined);
    await deleteJob(spec.id);
    await until('the build is known from the store', () => setting.builds.get(spec.id)?.finishedAt !== undefined);
    const next = await openStore();
    const stopping = new AbortController();
    const running = next.run(stopping.signal);
    await until('the store is read', () => next.find(spec.id));
    stopping.abort();
    await running;
    const events = await setting.events(spec.id);
    expect(events).toMatchObject([{ type: 'log', text: 'kept\n' }, { type: 'ready' }]);
    const text: string[] = [];
    for await (const line of (await setting.builds.log(spec.id, AbortSignal.timeout(5_000))) ?? []) text.push(line);
    expect(text).toEqual(['kept\n']);
  });

  it('are read once for however many come for them at the same moment', async () => {
    const store = await openStore();
    let loads = 0;
    const counting: BuildStore = {
      find: (id) => store.find(id),
      lookUp: (id) => store.lookUp(id),
      save: (id, build) => store.save(id, build),
      load: (id) => {
        loads += 1;
        return store.load(id);
      },
    };
    setting = await BuildSetting.create(cluster, { scripts: () => ({ lines: [said('kept')] }), store: counting });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await until('the log is kept', () => store.find(spec.id));
    await deleteJob(spec.id);
    await until('the Job is not known any more', () => [...setting.nth(0).cache.jobs()].length === 0);
    const all = await Promise.all(Array.from({ length: 20 }, () => setting.events(spec.id)));
    for (const events of all) expect(events).toMatchObject([{ type: 'log', text: 'kept\n' }, { type: 'ready' }]);
    expect(loads).toBe(1);
  });

  it('are kept by the controller that comes after one that died before it could', async () => {
    const gate = new Gate();
    setting = await BuildSetting.create(cluster, { scripts: () => gate.script(), store: await openStore() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    await setting.stop();
    gate.write(said('nobody listens'));
    gate.end();
    await until('the Job is complete', async () => (await setting.jobs())[0]?.status?.succeeded === 1);
    await setting.start();
    await setting.untilPhase(spec.id, 'ready');
    await until('the log is kept', async () => (await (await openStore()).load(spec.id)) !== undefined);
    const kept = await (await openStore()).load(spec.id);
    const lines: string[] = [];
    for await (const { text } of kept?.lines ?? []) lines.push(text);
    expect(lines).toEqual(['nobody listens\n']);
  });
});
