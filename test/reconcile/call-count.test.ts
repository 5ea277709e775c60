import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { KubeRequest } from '../support/cluster-requests.ts';
import { useCluster, type Setting } from './support/controller.ts';
import { aConfig, aKey, aLab } from './support/labs.ts';
import { until } from './support/until.ts';

/** What the design allows: first spawn, spawn in a kept namespace, delete, a start with a thousand labs, watches held. */
const BUDGET = { firstSpawn: 11, nextSpawn: 7, delete: 5, recovery: 20, watches: 4 };
const LABS = 1_000;
/** A count can only be trusted when nothing more comes; nothing that the controller does by itself is quicker. */
const QUIET_MS = 100;

const clusters = useCluster();

/** The requests of an operation, until nothing more has come for a while: the last call may follow the answer. */
async function callsOf(work: () => Promise<unknown>): Promise<KubeRequest[]> {
  const { requests } = clusters.cluster;
  const since = performance.now();
  await work();
  let seen = -1;
  await until(
    'nothing more is asked',
    async () => {
      const before = seen;
      seen = requests.calls(since).length;
      await delay(QUIET_MS);
      return before === seen;
    },
    5_000,
  );
  return requests.calls(since);
}

function watches(): number {
  return clusters.cluster.requests.openWatches.size;
}

it('spawns and deletes with few calls, and polls and reads events with none', async () => {
  const setting = await clusters.setting();
  const first = await callsOf(() => setting.spawn(aLab()));
  const removal = await callsOf(() => setting.labs.delete(aKey()));
  const next = await callsOf(() => setting.spawn(aLab()));
  expect(first.length, clusters.cluster.requests.describe()).toBeLessThanOrEqual(BUDGET.firstSpawn);
  expect(removal.length, clusters.cluster.requests.describe()).toBeLessThanOrEqual(BUDGET.delete);
  expect(next.length, clusters.cluster.requests.describe()).toBeLessThanOrEqual(BUDGET.nextSpawn);
  expect(watches()).toBe(BUDGET.watches);

  const polls = await callsOf(async () => {
    for (let index = 0; index < 100; index += 1) setting.labs.get(aKey());
    setting.labs.list();
    setting.labs.runningUsers();
    await setting.labs.ready();
  });
  const readers = await callsOf(() => Promise.all(Array.from({ length: 1_000 }, () => setting.events())));
  expect([polls.length, readers.length]).toEqual([0, 0]);
});

it('serves a thousand readers of one spawn at no cost in calls', async () => {
  const setting = await clusters.setting();
  const calls = await callsOf(async () => {
    await setting.labs.create(aLab());
    const streams = await Promise.all(Array.from({ length: 1_000 }, () => setting.events()));
    expect(new Set(streams.map((events) => events.at(-1)?.type))).toEqual(new Set(['complete']));
  });
  expect(calls.length).toBeLessThanOrEqual(BUDGET.firstSpawn);
});

it(
  'knows a thousand labs again with a fixed number of lists, and holds four watches',
  { timeout: 120_000 },
  async () => {
    const setting = await clusters.setting({ config: aConfig({}, { kubernetes: { concurrency: 64 } }) });
    await spawnMany(setting, LABS);
    expect(watches()).toBe(BUDGET.watches);
    await setting.stop();
    await until('the watches have ended', () => watches() === 0);
    const recovery = await callsOf(() => setting.start());
    expect(setting.labs.runningUsers()).toHaveLength(LABS);
    expect(recovery.length, clusters.cluster.requests.describe()).toBeLessThanOrEqual(BUDGET.recovery);
    expect(watches()).toBe(BUDGET.watches);
  },
);

async function spawnMany({ labs }: Setting, count: number): Promise<void> {
  const users = Array.from({ length: count }, (_, index) => `user-${index}`);
  await Promise.all(users.map((username) => labs.create(aLab({ username }))));
  await until('all labs run', () => labs.runningUsers().length === count, 90_000);
}
