import type { V1PodTemplateSpec } from '@kubernetes/client-node';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseSlots, SLOTS_NAME } from '../../../src/domain/build/build-slots.ts';
import type { BuildState } from '../../../src/domain/build/build.ts';
import type { BuildSlot } from '../../../src/domain/build/build-queue.ts';
import { ConfigMaps, Jobs, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { JobWatch } from './job-watch.ts';
import { aRepository, BuildSetting, type BuildSettingOptions } from './setting.ts';

const REAL = process.env.LABWRIGHT_TEST_CLUSTER === 'apiserver';

let cluster: TestCluster;
let setting: BuildSetting;
let watch: JobWatch | undefined;
const gates: Gate[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.end();
  await watch?.stop();
  watch = undefined;
  await setting.close();
});
afterAll(async () => {
  await cluster.close();
});

async function set(options: BuildSettingOptions): Promise<BuildSetting> {
  setting = await BuildSetting.create(cluster, options);
  return setting;
}

function aGate(): Gate {
  const gate = new Gate();
  gates.push(gate);
  return gate;
}

const commit = (index: number) => index.toString(16).padStart(40, '0');
const jobRef = (id: string) => ({ namespace: setting.namespace, name: `build-${id}` });

async function slots(): Promise<BuildSlot[]> {
  const map = await cluster.client.get(ConfigMaps, { namespace: setting.namespace, name: SLOTS_NAME });
  return map === undefined ? [] : parseSlots(map);
}

const ownLabels = (labels: Record<string, string> = {}) =>
  Object.fromEntries(Object.entries(labels).filter(([name]) => !/(?:controller-uid|job-name)$/.test(name)));
const untilFree = () => until('all slots are free', async () => (await slots()).length === 0);
const last = async (id: string, index = 0) => (await setting.events(id, undefined, index)).at(-1);

describe('the bounds of the queue', () => {
  it('hold at every moment with two controllers, whoever asks for what and when', { timeout: 120_000 }, async () => {
    const bounds = { running: 5, perUser: 2, perRepository: 3, waiting: 500, waitingPerUser: 500 };
    const gate = aGate();
    let isFull = false;
    const script = () => (isFull ? { lines: [said('a'), said('b')], delayMs: 2 } : gate.script());
    await set({ scripts: script, config: { queue: bounds } });
    await setting.start();
    watch = await JobWatch.start(setting);
    let count = 0;
    // There is something to hold back: as many as may run do, and wait for another.
    for (const username of ['ada', 'bob', 'eve', 'dan']) {
      for (const repository of ['x/1', 'x/2', 'x/3']) {
        count += 1;
        await setting.request({ repository: aRepository(repository), ref: commit(count), username }, count % 2);
      }
    }
    await until('as many run as may', () => watch?.most() === bounds.running);
    isFull = true;
    gate.end();
    const arrival = fc.record({
      user: fc.constantFrom('ada', 'bob', 'eve', 'dan'),
      repository: fc.constantFrom('x/1', 'x/2', 'x/3'),
      at: fc.nat(1),
      cancelled: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { minLength: 8, maxLength: 16 }), async (arrivals) => {
        const ends = arrivals.map(async ({ user, repository, at, cancelled }, index) => {
          count += 1;
          const change = { repository: aRepository(repository), ref: commit(count), username: user };
          const { spec } = await setting.request(change, at);
          if (cancelled && index % 4 === 0) await setting.nth(at).builds.cancel(spec.id, user);
          return last(spec.id, at);
        });
        for (const end of await Promise.all(ends)) expect(['ready', 'cancelled']).toContain(end?.type);
      }),
      { numRuns: REAL ? 2 : 8 },
    );
    expect(watch.most()).toBeLessThanOrEqual(bounds.running);
    expect(watch.most(({ requestedBy }) => requestedBy)).toBeLessThanOrEqual(bounds.perUser);
    expect(watch.most(({ repository }) => repository.url)).toBeLessThanOrEqual(bounds.perRepository);
    await untilFree();
  });

  it('refuse what is too much, for one and for all, and say when to come back', async () => {
    const gate = aGate();
    const queue = { running: 1, perUser: 1, waiting: 3, waitingPerUser: 2 };
    await set({ scripts: () => gate.script(), config: { queue } });
    const ask = (index: number, username: string) => setting.request({ ref: commit(index), username });
    await setting.untilPhase((await ask(1, 'ada')).spec.id, 'fetching');
    await ask(2, 'ada');
    await ask(3, 'ada');
    const refusal = { code: 'build_limit', status: 429, retryAfter: 30 };
    await expect(ask(4, 'ada')).rejects.toMatchObject(refusal);
    await ask(5, 'bob');
    await expect(ask(6, 'eve')).rejects.toMatchObject(refusal);
    // What somebody waits for already costs nothing more.
    await ask(5, 'eve');
    expect(await setting.jobs()).toHaveLength(4);
  });

  it('hold for requests at the same moment, of one user and of all', async () => {
    const gate = aGate();
    const queue = { running: 1, perUser: 1, waiting: 5, waitingPerUser: 2 };
    await set({ scripts: () => gate.script(), config: { queue } });
    const ask = (index: number, username: string) => setting.request({ ref: commit(index), username });
    await setting.untilPhase((await ask(0, 'ada')).spec.id, 'fetching');
    const refusal = { code: 'build_limit', status: 429 };
    const accepted = async (asked: Promise<BuildState>[]) => {
      const ends = await Promise.allSettled(asked);
      for (const end of ends) if (end.status === 'rejected') expect(end.reason).toMatchObject(refusal);
      return ends.filter(({ status }) => status === 'fulfilled').length;
    };
    expect(await accepted(Array.from({ length: 60 }, (_, index) => ask(index + 1, 'ada')))).toBe(2);
    expect(await setting.jobs()).toHaveLength(3);
    const many = Array.from({ length: 60 }, (_, index) => ask(index + 100, `user${index}`));
    expect(await accepted(many)).toBe(3);
    expect(await setting.jobs()).toHaveLength(6);
    // However many come for one build, it is one.
    const [queued] = await setting.jobs();
    const id = queued?.metadata?.labels?.['labwright.dev/build-id'] ?? '';
    const { ref } = setting.state(id).spec.repository;
    const same = Array.from({ length: 30 }, (_, index) => setting.request({ ref, username: `late${index}` }));
    expect(await accepted(same)).toBe(30);
  });

  it('let a build wait for so long and no longer', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { queue: { running: 1 }, deadlines: { queued: '1s' } } });
    const running = await setting.request({ ref: commit(1) });
    await setting.untilPhase(running.spec.id, 'fetching');
    const waiting = await setting.request({ ref: commit(2) });
    expect(await last(waiting.spec.id)).toMatchObject({ type: 'failed', reason: 'QueueTimeout' });
    expect(setting.state(running.spec.id).phase).toBe('fetching');
  });
});

describe('the order of the queue', () => {
  it('does not hold up the one build of somebody behind a hundred of another', { timeout: 60_000 }, async () => {
    const gate = aGate();
    const queue = { running: 2, perUser: 2, waitingPerUser: 200 };
    await set({ scripts: () => gate.script(), config: { queue } });
    watch = await JobWatch.start(setting);
    const count = REAL ? 30 : 100;
    const ask = (index: number) => setting.request({ repository: aRepository(`ada/r${index}`) });
    await Promise.all(Array.from({ length: count }, (_, index) => ask(index)));
    const other = await setting.request({ repository: aRepository('bob/one'), username: 'bob' });
    await until('it is known to wait', () => setting.builds.get(other.spec.id)?.position === 1);
    const { released } = watch;
    await until('two are released', () => released.length >= 2);
    expect(released).toHaveLength(2);
    gate.end();
    expect(await last(other.spec.id)).toMatchObject({ type: 'ready' });
    // Two places become free at once.
    expect(watch.released.indexOf(other.spec.id)).toBeLessThan(4);
  });

  it('is told by places that only go down, also when somebody else is let pass', async () => {
    const own = aGate();
    await set({ scripts: () => own.script(), config: { queue: { running: 1 } } });
    const running = await setting.request({ ref: commit(0) });
    await setting.untilPhase(running.spec.id, 'fetching');
    const queued: BuildState[] = [];
    for (let index = 1; index <= 5; index += 1) queued.push(await setting.request({ ref: commit(index) }));
    const reading = queued.map(({ spec }) => setting.events(spec.id));
    await until('all know their place', () => setting.builds.get(queued[4]?.spec.id ?? '')?.position === 5);
    const passing = await setting.request({ ref: commit(6), username: 'bob' });
    await until('it is let pass', () => setting.builds.get(passing.spec.id)?.position === 1);
    own.end();
    for (const [index, events] of (await Promise.all(reading)).entries()) {
      const places = events.flatMap((event) => (event.type === 'phase' ? (event.position ?? []) : []));
      expect(places[0]).toBe(index + 1);
      expect(places).toEqual([...new Set(places)].sort((a, b) => b - a));
      expect(events.at(-1)?.type).toBe('ready');
    }
  });
});

describe('a slot', () => {
  it('whose Job vanished is freed, and the next build has its turn', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { queue: { running: 1 } } });
    const first = await setting.request({ ref: commit(1) });
    await setting.untilPhase(first.spec.id, 'fetching');
    const second = await setting.request({ ref: commit(2) });
    const reading = setting.events(first.spec.id);
    await cluster.client.delete(Jobs, jobRef(first.spec.id), { propagationPolicy: 'Background' });
    expect((await reading).at(-1)).toMatchObject({ type: 'failed', reason: 'DeletedExternally' });
    await setting.untilPhase(second.spec.id, 'fetching');
    gate.end();
    await setting.untilPhase(second.spec.id, 'ready');
    await untilFree();
    await setting.untilClean(first.spec.id);
  });

  it('whose Job vanished while no controller ran is freed, also when the same is asked for at once', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { queue: { running: 2 } } });
    const gone = await setting.request({ ref: commit(1) });
    const again = await setting.request({ ref: commit(2) });
    for (const { spec } of [gone, again]) await setting.untilPhase(spec.id, 'fetching');
    await setting.stop();
    const old = await cluster.client.get(Jobs, jobRef(again.spec.id));
    for (const { spec } of [gone, again]) {
      await cluster.client.delete(Jobs, jobRef(spec.id), { propagationPolicy: 'Background' });
    }
    // As another controller would have made it while this one was away.
    await until('it is gone', async () => (await setting.jobs()).length === 0);
    const { labels = {}, annotations = {} } = old?.metadata ?? {};
    const template = old?.spec?.template as V1PodTemplateSpec;
    // What Kubernetes adds to a Job names that Job.
    template.metadata = { labels: ownLabels(template.metadata?.labels) };
    await cluster.client.create(Jobs, {
      metadata: { ...jobRef(again.spec.id), labels: ownLabels(labels), annotations },
      spec: { template, backoffLimit: 0, suspend: true },
    });
    await setting.start();
    gate.end();
    expect(await last(again.spec.id)).toMatchObject({ type: 'ready' });
    await untilFree();
  });

  it('is known again when somebody has deleted the ConfigMap, and no bound is exceeded meanwhile', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { queue: { running: 2, perUser: 9 } } });
    watch = await JobWatch.start(setting);
    const all = await Promise.all([1, 2, 3, 4, 5, 6].map((index) => setting.request({ ref: commit(index) })));
    await until('two run', () => watch?.released.length === 2);
    await until('two are written down', async () => (await slots()).length === 2);
    await cluster.client.delete(ConfigMaps, { namespace: setting.namespace, name: SLOTS_NAME });
    await until('it is written down again', async () => (await slots()).length === 2);
    gate.end();
    for (const { spec } of all) expect(await last(spec.id)).toMatchObject({ type: 'ready' });
    expect(watch.most()).toBe(2);
    await untilFree();
  });

  it('that was lost keeps nobody from cancelling the build, and nothing of it goes on', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    await setting.stop();
    const patch = { metadata: { annotations: { 'labwright.dev/cancel': '{"by":"ada","reason":"Cancelled"}' } } };
    await cluster.client.patch(Jobs, jobRef(spec.id), patch);
    await cluster.client.delete(ConfigMaps, { namespace: setting.namespace, name: SLOTS_NAME });
    await setting.start();
    expect(await last(spec.id)).toMatchObject({ type: 'cancelled' });
    await setting.untilClean(spec.id);
  });

  it('does not let a controller that is late release what another has ended', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    await setting.start();
    let isHeld = false;
    setting.proxy.onCall = (_n, { verb, resource }) => {
      if (isHeld || verb !== 'patch' || resource !== 'jobs') return 'pass';
      isHeld = true;
      return 'hold-before';
    };
    const { spec } = await setting.request({ detached: true });
    const late = await setting.proxy.nextHeld(10_000);
    await until('the other releases it', async () => (await setting.jobs())[0]?.spec?.suspend === false);
    await Promise.all(
      [0, 1].map((index) =>
        setting
          .nth(index)
          .builds.cancel(spec.id, 'ada')
          .catch(() => undefined),
      ),
    );
    await until('it has ended', () => setting.builds.get(spec.id)?.phase === 'cancelled');
    await untilFree();
    const isPatch = ({ verb, resource }: { verb: string; resource: string }) => verb === 'patch' && resource === 'jobs';
    late.release();
    // Another write through the same connection to the same Job: the released one has been answered before.
    await until('it is answered', () => setting.log.join('').includes('reconcile failed; will retry'));
    expect(setting.proxy.requests.all.filter(isPatch).length).toBeGreaterThan(1);
    await setting.untilClean(spec.id);
    const [job] = await setting.jobs();
    expect(job?.spec?.suspend).toBe(true);
  });
});

describe('a request for a build whose last attempt is still being removed', () => {
  it('waits until it is gone, and asks the API server for it once', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script() });
    const first = await setting.request();
    await setting.untilPhase(first.spec.id, 'fetching');
    await setting.builds.cancel(first.spec.id, 'ada');
    await last(first.spec.id);
    await untilFree();
    const finalizers = (names: string[] | null) =>
      cluster.client.patch(Jobs, jobRef(first.spec.id), { metadata: { finalizers: names } });
    await finalizers(['labwright.dev/test']);
    const before = setting.proxy.requests.all.length;
    const asking = setting.request();
    await until('it is being removed', async () => {
      return (await cluster.client.get(Jobs, jobRef(first.spec.id)))?.metadata?.deletionTimestamp !== undefined;
    });
    // It changes again and again, and is still there.
    for (let round = 1; round <= 40; round += 1) {
      const annotations = { round: String(round) };
      await cluster.client.patch(Jobs, jobRef(first.spec.id), { metadata: { annotations } });
    }
    await finalizers(null);
    const second = await asking;
    expect(second.spec.createdAt).toBeGreaterThan(first.spec.createdAt);
    const gets = setting.proxy.requests.all.slice(before).filter(({ verb, resource }) => {
      return verb === 'get' && resource === 'jobs';
    });
    expect(gets).toHaveLength(1);
    gate.end();
    expect(await last(second.spec.id)).toMatchObject({ type: 'ready' });
  });
});

describe('with Kueue', () => {
  const KUEUE = { queue: { kueue: { queueName: 'builds' } } };
  const secretOf = (id: string) => cluster.client.get(Secrets, jobRef(id));

  /** What Kueue does when it admits a Job. */
  const admit = (id: string) => cluster.client.patch(Jobs, jobRef(id), { spec: { suspend: false } });

  it('it is Kueue that releases a build, and everything is there by then', async () => {
    await set({ scripts: () => ({ lines: [said('a')] }), config: KUEUE });
    const { spec } = await setting.request();
    await until('its Secret is there', () => secretOf(spec.id));
    const [job] = await setting.jobs();
    expect(job?.spec?.suspend).toBe(true);
    expect(job?.metadata?.labels?.['kueue.x-k8s.io/queue-name']).toBe('builds');
    await admit(spec.id);
    expect(await last(spec.id)).toMatchObject({ type: 'ready' });
    await setting.untilClean(spec.id);
    const [after] = await setting.jobs();
    expect([after?.spec?.suspend, after?.metadata?.generation]).toEqual([false, (job?.metadata?.generation ?? 0) + 1]);
  });

  it('one that waits and one that runs can be cancelled, and Labwright does not touch "suspend"', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: KUEUE });
    const [waiting, running] = [await setting.request({ ref: commit(1) }), await setting.request({ ref: commit(2) })];
    for (const { spec } of [waiting, running]) await until('its Secret is there', () => secretOf(spec.id));
    await admit(running.spec.id);
    await setting.untilPhase(running.spec.id, 'fetching');
    for (const { spec } of [running, waiting]) {
      const reading = setting.events(spec.id);
      await setting.builds.cancel(spec.id, 'ada');
      expect((await reading).at(-1)).toMatchObject({ type: 'cancelled', reason: 'Cancelled' });
      await setting.untilClean(spec.id);
    }
    await untilFree();
    for (const { spec } of await setting.jobs()) expect(spec?.suspend).toBe(false);
  });
});
