import { setTimeout as delay } from 'node:timers/promises';
import type { KubernetesObject } from '@kubernetes/client-node';
import { expect, it } from 'vitest';
import {
  Namespaces,
  Pods,
  type Resource,
  Secrets,
  ServiceAccounts,
  Services,
} from '../../../src/storage/kubernetes/resources.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { SHARED, useCluster, type Setting } from '../support/controller.ts';
import { aKey, aLab } from '../support/labs.ts';
import { signedConfig, TestKeys } from '../support/tokens.ts';
import { until } from '../support/until.ts';

/**
 * What the design allows: first spawn, spawn in a kept namespace, delete, a start with a thousand labs, watches held. In a namespace that
 * labs share every spawn is the first one.
 */
const BUDGET = SHARED
  ? { firstSpawn: 5, nextSpawn: 5, delete: 5, recovery: 20, watches: 5 }
  : { firstSpawn: 11, nextSpawn: 7, delete: 5, recovery: 20, watches: 4 };
const LABS = 1_000;
const READERS = 1_000;
/** A count can only be trusted when nothing more comes; nothing that the controller does by itself is quicker. */
const QUIET_MS = 100;

const clusters = useCluster();

/** The requests of an operation, until nothing more has come for a while: the last call may follow the answer. */
async function callsOf({ proxy }: Setting, work: () => Promise<unknown>): Promise<KubeRequest[]> {
  const since = performance.now();
  await work();
  let seen = -1;
  await until('nothing more is asked', async () => {
    const before = seen;
    seen = proxy.requests.calls(since).length;
    await delay(QUIET_MS);
    return before === seen;
  });
  return proxy.requests.calls(since);
}

it('spawns and deletes with few calls, and polls and reads events with none', async () => {
  const setting = await clusters.setting();
  const { requests } = setting.proxy;
  const first = await callsOf(setting, () => setting.spawn(aLab()));
  const removal = await callsOf(setting, () => setting.labs.delete(aKey()));
  const next = await callsOf(setting, () => setting.spawn(aLab()));
  expect(first.length, requests.describe()).toBeLessThanOrEqual(BUDGET.firstSpawn);
  expect(removal.length, requests.describe()).toBeLessThanOrEqual(BUDGET.delete);
  expect(next.length, requests.describe()).toBeLessThanOrEqual(BUDGET.nextSpawn);
  expect(requests.openWatches.size).toBe(BUDGET.watches);

  const polls = await callsOf(setting, async () => {
    for (let index = 0; index < 100; index += 1) setting.labs.get(aKey());
    setting.labs.list();
    setting.labs.runningUsers();
    await setting.labs.ready();
  });
  const readers = await callsOf(setting, () => readMany(setting));
  expect([polls.length, readers.length]).toEqual([0, 0]);
});

it('signs the token of a lab without a call more', async () => {
  const config = signedConfig(3_600_000);
  const setting = await clusters.setting({ config, tokens: (await TestKeys.make()).tokens(config) });
  const { requests } = setting.proxy;
  const first = await callsOf(setting, () => setting.spawn(aLab()));
  const removal = await callsOf(setting, () => setting.labs.delete(aKey()));
  expect(first.length, requests.describe()).toBeLessThanOrEqual(BUDGET.firstSpawn);
  expect(removal.length, requests.describe()).toBeLessThanOrEqual(BUDGET.delete);
  expect(requests.openWatches.size).toBe(BUDGET.watches);
});

it('serves a thousand readers of one spawn at no cost in calls', async () => {
  const setting = await clusters.setting();
  const calls = await callsOf(setting, async () => {
    await setting.labs.create(aLab());
    const streams = await readMany(setting);
    expect(new Set(streams.map((events) => events.at(-1)?.type))).toEqual(new Set(['complete']));
  });
  expect(calls.length).toBeLessThanOrEqual(BUDGET.firstSpawn);
});

it('knows a thousand labs again with a fixed number of lists and watches', async () => {
  const setting = await clusters.setting();
  const { requests } = setting.proxy;
  const [template, ...others] = Array.from({ length: LABS }, (_, index) => `user-${String(index).padStart(4, '0')}`);
  await setting.spawn(aLab({ username: template ?? '' }));
  await setting.stop();
  await copyLab(setting, template ?? '', others);
  await until('the watches have ended', () => requests.openWatches.size === 0);
  const recovery = await callsOf(setting, () => setting.start());
  expect(recovery.length, requests.describe(recovery[0]?.time)).toBeLessThanOrEqual(BUDGET.recovery);
  await until('all labs run', () => setting.labs.runningUsers().length === LABS, 60_000);
  expect(requests.openWatches.size).toBe(BUDGET.watches);
}, 120_000);

function readMany(setting: Setting) {
  return Promise.all(Array.from({ length: READERS }, () => setting.events()));
}

/** Makes what a controller looks for of one lab once more for each of these users; names are equally long. */
async function copyLab(setting: Setting, template: string, users: readonly string[]): Promise<void> {
  const { client } = setting;
  const namespace = setting.namespaceOf(aKey(template));
  const parts: readonly { resource: Resource<KubernetesObject>; object: KubernetesObject | undefined }[] = [
    ...(SHARED
      ? [{ resource: Services, object: await client.get(Services, setting.podRef(aKey(template))) }]
      : [
          { resource: Namespaces, object: await client.get(Namespaces, { name: namespace }) },
          { resource: ServiceAccounts, object: await client.get(ServiceAccounts, { namespace, name: 'lab' }) },
        ]),
    { resource: Secrets, object: await client.get(Secrets, setting.intentRef(aKey(template))) },
    { resource: Pods, object: await client.get(Pods, setting.podRef(aKey(template))) },
  ];
  const texts = parts.map(({ resource, object }) => ({ resource, text: JSON.stringify(bare(object)) }));
  const waiting = [...users];
  const work = async () => {
    for (let user = waiting.pop(); user !== undefined; user = waiting.pop()) {
      for (const { resource, text } of texts) {
        await client.create(resource, JSON.parse(text.replaceAll(template, user)) as KubernetesObject);
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
}

/** An object as it was sent, without what the API server and the kubelet have added. */
function bare(object: KubernetesObject | undefined): unknown {
  const { apiVersion, kind, metadata = {}, ...rest } = object as KubernetesObject & Record<string, unknown>;
  const { name, namespace, labels, annotations } = metadata;
  const sent = { ...rest, apiVersion, kind, metadata: { name, namespace, labels, annotations } };
  // The cluster is to find a node and an address for the copy itself.
  const found = { nodeName: undefined, clusterIP: undefined, clusterIPs: undefined };
  return { ...sent, status: undefined, spec: { ...(rest['spec'] as object | undefined), ...found } };
}
