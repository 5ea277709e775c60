import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseSlots, SLOTS_NAME } from '../../../src/domain/build/build-slots.ts';
import type { BuildEvent, BuildState } from '../../../src/domain/build/build.ts';
import type { Fault as KubeletFault } from '../../../sandbox/index.ts';
import { ConfigMaps, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import type { KubeRequest } from '../../support/cluster-requests.ts';
import { callFaults, WATCH_FAULTS } from '../../support/every-fault.ts';
import type { Fault } from '../../support/fault-proxy.ts';
import { onCluster, until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { aRepository, BuildSetting, type BuildSettingOptions } from './setting.ts';

const RUNS = onCluster(120, 40);
const LINES = 60;
/** What the API shows is passed on by then; it takes milliseconds on a machine that has nothing else to do. */
const VISIBLE_MS = 5_000;
const RECONNECTED_MS = 10_000;

let cluster: TestCluster;
let setting: BuildSetting;
const gates: Gate[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.end();
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

async function set(options: BuildSettingOptions = {}): Promise<BuildSetting> {
  setting = await BuildSetting.create(cluster, options);
  return setting;
}

function aGate(): Gate {
  const gate = new Gate();
  gates.push(gate);
  return gate;
}

const lines = (count: number) => Array.from({ length: count }, (_, index) => `line ${index}`);
const texts = (events: readonly BuildEvent[]) =>
  events.flatMap((event) => (event.type === 'log' ? [event.text.trimEnd()] : []));
const ends = (events: readonly BuildEvent[]) => events.filter(({ type }) => type !== 'log' && type !== 'phase');

/** Numbers that look random and are the same in each run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const CALL_FAULTS = callFaults(200);
/** The rest of a log is given up after half a minute in which no reading of it came to an end. */
const MOST_LOG_FAULTS = 4;
const LOG_FAULTS = ['truncate', 'reset'] as const;

/** Every fault the proxy knows, now and then, at any call. */
function chaos(seed: number): (n: number, request: KubeRequest) => Fault {
  const random = numbers(seed);
  const streams = new Map<string, number>();
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  return (_n, { verb, subresource, path }) => {
    if (verb === 'watch') {
      const fault = { frames: Math.floor(random() * 20), then: pick(WATCH_FAULTS), duplicate: random() < 0.3 };
      return random() < 0.6 ? { watch: fault } : 'pass';
    }
    if (subresource === 'log') {
      const count = (streams.get(path) ?? 0) + 1;
      streams.set(path, count);
      const frames = Math.floor(random() * LINES);
      // As when the API server loses the kubelet. Nobody could tell from a log that ends there time and again.
      if (count === 1) return { watch: { frames, then: 'end' } };
      if (count > MOST_LOG_FAULTS) return 'pass';
      return random() < 0.3
        ? pick(['reset-before', { status: 500 }] as const)
        : { watch: { frames, then: pick(LOG_FAULTS) } };
    }
    return random() < 0.12 ? pick(CALL_FAULTS) : 'pass';
  };
}

/** A request as a hub makes it: what was answered with "try again" is tried again. */
async function insist(name: string): Promise<BuildState> {
  return until(
    'the request is accepted',
    async () => {
      try {
        return await setting.request({ repository: aRepository(name), username: name });
      } catch (error) {
        const { code, status } = error as { code?: string; status?: number };
        if (code !== undefined && status === 503) return undefined;
        throw error;
      }
    },
    60_000,
  );
}

async function checkClean(): Promise<void> {
  const { client } = cluster;
  const { namespace } = setting;
  await until(
    'nothing is left',
    async () => {
      const [secrets, map, pods] = await Promise.all([
        client.list(Secrets, { namespace }),
        client.get(ConfigMaps, { namespace, name: SLOTS_NAME }),
        setting.pods(),
      ]);
      const alive = pods.filter(({ status }) => status?.phase === 'Running' || status?.phase === 'Pending');
      return secrets.items.length === 0 && alive.length === 0 && (map === undefined || parseSlots(map).length === 0);
    },
    60_000,
  );
}

describe('faults between the controller and the API server', () => {
  it(`give each of ${RUNS} builds its one end and every line once`, { timeout: 300_000 }, async () => {
    await set({
      scripts: (url) => ({ lines: lines(LINES), delayMs: 1, exitCode: url.includes('/bad-') ? 1 : 0 }),
      config: { queue: { running: 20, perUser: 20, waiting: 500 } },
      requestTimeoutMs: onCluster(1_000, 2_000),
    });
    setting.proxy.onCall = chaos(7);
    // Those watches that are open already, too.
    setting.proxy.reset();
    const build = async (index: number) => {
      const isBad = index % 4 === 0;
      const { spec } = await insist(`ada/${isBad ? 'bad' : 'good'}-${index}`);
      const events: BuildEvent[] = [];
      for await (const event of setting.builds.events(spec.id, undefined, AbortSignal.timeout(240_000)) ?? [])
        events.push(event);
      expect(ends(events)).toEqual([events.at(-1)]);
      expect(texts(events)).toEqual(lines(LINES));
      const sentence = expect.stringMatching(/\.$/) as string;
      expect(events.at(-1)).toMatchObject(
        isBad ? { type: 'failed', reason: 'BuildFailed', message: sentence } : { type: 'ready' },
      );
    };
    await Promise.all(Array.from({ length: RUNS }, (_, index) => build(index)));
    setting.proxy.onCall = () => 'pass';
    await checkClean();
    expect(await setting.jobs()).toHaveLength(RUNS);
  });

  it('deliver a log of 10,000 lines once and in order, though each stream breaks', { timeout: 120_000 }, async () => {
    await set({ scripts: () => ({ lines: lines(10_000) }) });
    let streams = 0;
    setting.proxy.onCall = (_n, { subresource }) => {
      if (subresource !== 'log') return 'pass';
      streams += 1;
      // A log is read again from a whole second on: each stream gets 500 lines beyond what the one before had.
      return { watch: { frames: 500 * streams, then: 'reset' } };
    };
    const { spec } = await setting.request();
    const events: BuildEvent[] = [];
    for await (const event of setting.builds.events(spec.id, undefined, AbortSignal.timeout(100_000)) ?? [])
      events.push(event);
    expect(texts(events)).toEqual(lines(10_000));
    expect(ends(events)).toMatchObject([{ type: 'ready' }]);
    expect(streams).toBeGreaterThan(5);
  });
});

describe('a watch of pods that is behind that of Jobs', () => {
  it('loses no line of a build, in the controller that ends it and in another one', { timeout: 60_000 }, async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'watch' && resource === 'pods' ? { watch: { frames: 0, then: 'stall' } } : 'pass';
    setting.proxy.reset();
    await until('it is blind', () => setting.proxy.requests.openWatches.size >= 4);
    await setting.start();
    const { spec } = await setting.request();
    const reading = [0, 1].map(async (index) => {
      await until('it is known', () => setting.nth(index).builds.get(spec.id));
      return setting.events(spec.id, undefined, index);
    });
    await until('it runs', async () => (await setting.pods())[0]?.status?.phase === 'Running');
    gate.write(...lines(LINES));
    gate.end();
    for (const events of await Promise.all(reading)) {
      expect(texts(events)).toEqual(lines(LINES));
      expect(ends(events)).toMatchObject([{ type: 'ready' }]);
    }
    await checkClean();
  });
});

describe('what keeps a build from running', () => {
  it.each<{ fault: KubeletFault; reason: string }>([
    { fault: { fault: 'imagePull' }, reason: 'BuilderImageUnavailable' },
    { fault: { fault: 'imagePull', reason: 'unauthorized' }, reason: 'BuilderImageUnavailable' },
    { fault: { fault: 'unschedulable' }, reason: 'Unschedulable' },
    { fault: { fault: 'mount', volume: 'secrets' }, reason: 'VolumeMountFailed' },
  ])('is told as soon as the API shows it: $fault.fault $fault.reason', async ({ fault, reason }) => {
    await set({ faults: [fault] });
    const { spec } = await setting.request();
    const state = await until(
      'it is told',
      () => setting.state(spec.id).reason !== null && setting.state(spec.id),
      VISIBLE_MS,
    );
    expect(state).toMatchObject({ reason, message: expect.stringMatching(/\.$/) as string });
    const told: string[] = [];
    for await (const event of setting.builds.events(spec.id, undefined, AbortSignal.timeout(VISIBLE_MS)) ?? []) {
      if (event.type !== 'log') told.push(event.message);
      if (told.at(-1) === state.message) break;
    }
    expect(told.at(-1)).toBe(state.message);
    await setting.builds.cancel(spec.id, 'ada');
    await setting.untilClean(spec.id);
  });

  it('is a pod that vanished while nothing could be watched', { timeout: 60_000 }, async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    const reading = setting.events(spec.id);
    setting.proxy.onCall = () => 'reset-before';
    setting.proxy.reset();
    const [pod] = await setting.pods();
    await setting.kubelet.remove({ namespace: setting.namespace, name: pod?.metadata?.name ?? '' });
    await until('it is gone', async () => (await setting.pods()).length === 0);
    setting.proxy.onCall = () => 'pass';
    await until('it has failed', () => setting.builds.get(spec.id)?.phase === 'failed', RECONNECTED_MS);
    expect(ends(await reading)).toMatchObject([{ type: 'failed', reason: 'DeletedExternally' }]);
    await setting.untilClean(spec.id);
  });
});

describe('what builds cost the API server', () => {
  const callsOf = async (readers: number): Promise<{ calls: number; watches: number }> => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const since = performance.now();
    const { spec } = await setting.request();
    const reading = Array.from({ length: readers }, () => setting.events(spec.id));
    gate.write(...lines(200).map((text) => said(text)));
    gate.end();
    for (const events of await Promise.all(reading)) {
      expect(texts(events)).toEqual(lines(200));
      expect(ends(events)).toMatchObject([{ type: 'ready' }]);
    }
    await checkClean();
    const { requests } = setting.proxy;
    return { calls: requests.calls(since).length, watches: requests.openWatches.size };
  };

  it('is for 200 readers what it is for one, and a fixed number of watches', async () => {
    const one = await callsOf(1);
    await setting.close();
    const many = await callsOf(200);
    // A log may be asked for once more while its container starts.
    expect(Math.abs(many.calls - one.calls)).toBeLessThanOrEqual(3);
    expect(one.calls).toBeLessThanOrEqual(12);
    expect([one.watches, many.watches]).toEqual([4, 4]);
  });
});
