import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BuildEvent } from '../../../src/domain/build/build.ts';
import { BuildArchive } from '../../../src/reconcile/builds/archive/build-archive.ts';
import type { LeaderElection } from '../../../src/reconcile/leader.ts';
import { LogStore } from '../../../src/storage/archive/log-store.ts';
import { Jobs } from '../../../src/storage/kubernetes/resources.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';
import { Elections } from '../support/elections.ts';
import { until } from '../support/until.ts';
import { Gate, said } from './gate.ts';
import { aRepository, type BuildReplica, BuildSetting, type BuildSettingOptions } from './setting.ts';

const BUILDS = 30;
const LINES = 40;

let cluster: TestCluster;
let setting: BuildSetting;
let directory: string | undefined;
const gates: Gate[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  for (const gate of gates.splice(0)) gate.end();
  await setting.close();
  if (directory !== undefined) await rm(directory, { recursive: true });
  directory = undefined;
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

/** Replicas of which the first leads, and the next one when it is gone. */
function elected(): {
  readonly elections: Elections;
  readonly joined: LeaderElection[];
  election: () => LeaderElection;
} {
  const elections = new Elections();
  const joined: LeaderElection[] = [];
  const election = () => {
    const one = elections.join();
    joined.push(one);
    return one;
  };
  return { elections, joined, election };
}

async function openArchive(): Promise<BuildArchive> {
  directory ??= await mkdtemp(join(tmpdir(), 'labwright-logs-'));
  const logger = pino({ level: 'silent' });
  const files = await LogStore.open({ directory, totalSize: 2 ** 20, retention: 3_600_000, logger });
  return new BuildArchive({ files, logger });
}

const lines = (count: number) => Array.from({ length: count }, (_, index) => `line ${index}`);
const texts = (events: readonly BuildEvent[]) =>
  events.flatMap((event) => (event.type === 'log' ? [event.text.trimEnd()] : []));
const ends = (events: readonly BuildEvent[]) => events.filter(({ type }) => type !== 'log' && type !== 'phase');
const jobRef = (id: string) => ({ namespace: setting.namespace, name: `build-${id}` });
const asked = (since: number) =>
  setting.proxy.requests.calls(since, ({ verb, resource }) => verb === 'get' && resource === 'jobs').length;

async function deleteJob(id: string, replica: BuildReplica): Promise<void> {
  await cluster.client.delete(Jobs, jobRef(id), { propagationPolicy: 'Background' });
  await until('the Job is gone', async () => (await cluster.client.get(Jobs, jobRef(id))) === undefined);
  await until('the replica knows', () => replica.cache.job(id) === undefined);
}

/** A reader as browsers are: whose replica is gone goes on at another one, after the last event it has. */
class Reader {
  readonly events: BuildEvent[] = [];
  readonly #alive: Map<BuildReplica, AbortController>;

  constructor(alive: Map<BuildReplica, AbortController>) {
    this.#alive = alive;
  }

  async read(id: string, random: () => number): Promise<BuildEvent[]> {
    const limit = AbortSignal.timeout(90_000);
    while (!limit.aborted && ends(this.events).length === 0) {
      const replicas = [...this.#alive.keys()];
      const replica = replicas[Math.floor(random() * replicas.length)] as BuildReplica;
      const dies = this.#alive.get(replica)?.signal ?? limit;
      const signal = AbortSignal.any([limit, dies]);
      try {
        if ((await replica.builds.find(id, signal)) === undefined) throw new Error(`build ${id} is not known`);
        for await (const event of replica.builds.events(id, this.events.at(-1)?.id, signal) ?? []) {
          this.events.push(event);
        }
      } catch (error) {
        // What it was being told of when its replica was killed is told again by the next.
        if (!dies.aborted) throw error;
      }
    }
    return this.events;
  }
}

/** As a hub does: what is answered with "try again" is tried again. */
function insist<T>(ask: () => Promise<T>): Promise<T> {
  const again = (error: unknown) => {
    if ((error as { status?: number }).status !== 503) throw error;
    return undefined;
  };
  return until('it is accepted', () => ask().catch(again), 60_000);
}

function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('three replicas', () => {
  it.each(['one of which leads', 'that all lead'])(
    '%s tell each reader every line once and one end, also when the leader is killed',
    { timeout: 180_000 },
    async (how) => {
      const { elections, joined, election } = elected();
      const isOne = how === 'one of which leads';
      await set({
        scripts: (url) => ({
          lines: lines(LINES).map((text) => said(text)),
          delayMs: 20,
          exitCode: url.endsWith('7') ? 1 : 0,
        }),
        config: { queue: { running: 6, perUser: 30, waitingPerUser: 100 } },
        ...(isOne ? { election } : {}),
      });
      const alive = new Map([[setting.nth(0), new AbortController()]]);
      for (let more = 0; more < 2; more += 1) alive.set(await setting.start(), new AbortController());
      const random = numbers(11);
      const ids = await Promise.all(
        Array.from({ length: BUILDS }, async (_, index) => {
          const change = { repository: aRepository(`ada/r${index}`) };
          return insist(() => setting.request(change, index % 3).then(({ spec }) => spec.id));
        }),
      );
      const readers = ids.flatMap((id) => [id, id]).map((id) => new Reader(alive).read(id, random));
      const first = setting.nth(0);
      await until(
        'some have ended and some have not',
        () => {
          const over = ids.filter((id) => (first.cache.job(id)?.result ?? null) !== null).length;
          return over >= 8 && over <= BUILDS - 8;
        },
        60_000,
      );
      const dies = alive.get(first);
      alive.delete(first);
      dies?.abort();
      if (isOne) elections.kill(joined[0] as LeaderElection);
      await setting.kill(0);
      for (const events of await Promise.all(readers)) {
        expect(texts(events)).toEqual(lines(LINES));
        expect(ends(events)).toEqual([events.at(-1)]);
        expect(['ready', 'failed']).toContain(events.at(-1)?.type);
      }
      // Nothing is built twice.
      expect(await setting.jobs()).toHaveLength(BUILDS);
      expect(await setting.pods()).toHaveLength(BUILDS);
      for (const id of ids) await setting.untilClean(id);
    },
  );

  it('of which two only read tell lines as they come, and one goes on where another has stopped', async () => {
    const { election } = elected();
    const gate = aGate();
    await set({ scripts: () => gate.script(), election });
    const replicas = [setting.nth(0), await setting.start(), await setting.start()];
    const { spec } = await setting.request({}, 2);
    for (const { builds } of replicas) expect(await builds.find(spec.id)).toBeDefined();
    gate.write(said('one'), said('two'));
    let last = '';
    const before: string[] = [];
    for await (const event of replicas[1]?.builds.events(spec.id, undefined, AbortSignal.timeout(10_000)) ?? []) {
      last = event.id;
      if (event.type === 'log') before.push(event.text.trimEnd());
      if (before.length === 2) break;
    }
    gate.write(said('three'), said('four', 'pushing'));
    gate.end();
    const [after, all] = await Promise.all([setting.events(spec.id, last, 2), setting.events(spec.id, undefined, 0)]);
    expect([...before, ...texts(after)]).toEqual(['one', 'two', 'three', 'four']);
    expect(texts(all)).toEqual(['one', 'two', 'three', 'four']);
    // State events between the lines are told by each replica as it sees them, and count no lines.
    const numbered = (events: readonly BuildEvent[]) =>
      events.flatMap((event) => (event.type === 'log' ? [event.line] : []));
    expect(numbered(after)).toEqual([3, 4]);
    for (const events of [after, all]) expect(ends(events)).toEqual([events.at(-1)]);
  });

  it('say the same of a build that runs for long, though one of them reads its log', { timeout: 40_000 }, async () => {
    const { election } = elected();
    const gate = aGate();
    await set({ scripts: () => gate.script(), election });
    await setting.start();
    const { spec } = await setting.request({ detached: true });
    gate.write(said('it builds', 'building'));
    await until('it is known everywhere', () => setting.nth(1).builds.get(spec.id)?.phase === 'building', 20_000);
    expect(setting.nth(0).builds.get(spec.id)?.phase).toBe('building');
  });

  it('keep a build for whoever reads at one that does not lead', { timeout: 40_000 }, async () => {
    const { election } = elected();
    const gate = aGate();
    await set({ scripts: () => gate.script(), election, config: { abandonAfter: '2s' } });
    await setting.start();
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    const reading = setting.events(spec.id, undefined, 1);
    const expiry = async () => {
      const job = await cluster.client.get(Jobs, jobRef(spec.id));
      return Date.parse(job?.metadata?.annotations?.['labwright.dev/wanted-until'] ?? '');
    };
    // As if its request had been a while ago.
    await cluster.client.patch(Jobs, jobRef(spec.id), {
      metadata: { annotations: { 'labwright.dev/wanted-until': new Date(Date.now() - 5_000).toISOString() } },
    });
    await until('it is noted again', async () => (await expiry()) > Date.now());
    gate.end();
    expect(ends(await reading)).toMatchObject([{ type: 'ready' }]);
  });

  it('read no log any more for nobody when they cease to lead', async () => {
    const { elections, joined, election } = elected();
    const gate = aGate();
    await set({ scripts: () => gate.script(), election });
    await setting.start();
    const { spec } = await setting.request({ detached: true });
    const readAt = (index: number) => setting.nth(index).operations.get(spec.id)?.following ?? null;
    await until('the one that leads reads it', () => readAt(0) !== null);
    elections.kill(joined[0] as LeaderElection);
    await until('the next one reads it', () => readAt(1) !== null);
    await until('the other has let go of it', () => setting.nth(0).operations.get(spec.id) === undefined);
    gate.end();
    await setting.untilPhase(spec.id, 'ready');
  });

  it('read the log of a build that is over from its pod, whoever followed it', async () => {
    const { election } = elected();
    await set({ scripts: () => ({ lines: [said('from the pod')] }), election });
    const other = await setting.start();
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await until('the other knows the end', () => other.builds.get(spec.id)?.phase === 'ready');
    expect(texts(await setting.events(spec.id, undefined, 1))).toEqual(['from the pod']);
    const text: string[] = [];
    for await (const line of (await other.builds.log(spec.id, AbortSignal.timeout(5_000))) ?? []) text.push(line);
    expect(text).toEqual(['from the pod\n']);
  });

  it('find in a shared archive what another has saved after they started', async () => {
    const { election } = elected();
    const stores = [await openArchive(), await openArchive()];
    const options: BuildSettingOptions = { scripts: () => ({ lines: [said('kept')] }), election };
    let next = 0;
    await set({
      ...options,
      get archive() {
        next += 1;
        return stores[next > 1 ? 1 : 0];
      },
    });
    const other = await setting.start();
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await until('it is saved', () => stores[0]?.known(spec.id));
    expect(stores[1]?.known(spec.id)).toBeUndefined();
    await deleteJob(spec.id, other);
    expect(await other.builds.find(spec.id)).toMatchObject({ phase: 'ready' });
    expect(await setting.events(spec.id, undefined, 1)).toMatchObject([
      { type: 'log', text: 'kept\n' },
      { type: 'ready' },
    ]);
  });
});

describe('a replica whose watch is behind', () => {
  /** A second replica that hears nothing of Jobs after its start. */
  async function deaf(): Promise<BuildReplica> {
    setting.proxy.onCall = (_n, { verb, resource }) =>
      verb === 'watch' && resource === 'jobs' ? { watch: { frames: 0, then: 'stall' } } : 'pass';
    return setting.start();
  }

  it('knows a build that another was asked for, and asks the API server once for all who ask', async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), election: elected().election });
    const other = await deaf();
    const { spec } = await setting.request();
    await setting.untilPhase(spec.id, 'fetching');
    const since = performance.now();
    expect(other.builds.get(spec.id)).toBeUndefined();
    const found = await Promise.all(Array.from({ length: 50 }, () => other.builds.find(spec.id)));
    expect(new Set(found.map((state) => state?.spec.id))).toEqual(new Set([spec.id]));
    expect(asked(since)).toBe(1);
    await other.builds.cancel(spec.id, 'ada');
    await setting.untilPhase(spec.id, 'cancelled');
  });

  it('does not say that a build has failed that another was asked for anew', async () => {
    const gate = aGate();
    let isBroken = true;
    await set({ scripts: () => (isBroken ? { lines: [said('no')], exitCode: 1 } : gate.script()) });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    const other = await deaf();
    expect(other.builds.get(spec.id)?.phase).toBe('failed');
    isBroken = false;
    await setting.request();
    expect((await other.builds.find(spec.id))?.phase).not.toBe('failed');
  });

  it('asks for an unknown id once in a second, and not more than so many ids', async () => {
    await set();
    const unknown = (index: number) => index.toString(16).padStart(40, '0');
    let since = performance.now();
    for (let again = 0; again < 20; again += 1) expect(await setting.builds.find(unknown(1))).toBeUndefined();
    expect(asked(since)).toBeLessThanOrEqual(2);
    expect(await setting.builds.find('no id at all')).toBeUndefined();
    since = performance.now();
    const answers = await Promise.allSettled(
      Array.from({ length: 300 }, (_, index) => setting.builds.find(unknown(100 + index))),
    );
    const refused = answers.filter(({ status }) => status === 'rejected');
    expect(refused.length).toBeGreaterThan(200);
    for (const { reason } of refused as PromiseRejectedResult[])
      expect(reason).toMatchObject({ status: 503, retryAfter: 1 });
    expect(asked(since)).toBeLessThanOrEqual(80);
  });
});

describe('an image that was found', () => {
  it('is known by its address to every replica and after a restart, and to nobody as a build that was made', async () => {
    await set();
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await setting.untilClean(spec.id);
    await deleteJob(spec.id, setting.nth(0));
    const found = await setting.request({ username: 'grace' });
    expect(found).toMatchObject({ phase: 'ready', cached: true });
    await setting.restart();
    expect(await setting.builds.find(found.spec.id)).toMatchObject({
      phase: 'ready',
      cached: true,
      image: found.image,
    });
    expect(await setting.events(found.spec.id)).toMatchObject([{ type: 'ready', cached: true }]);
    expect(setting.builds.list()).toEqual([]);
    // The pod of the build before is removed after its Job, by the cluster.
    await until('no pod is left', async () => (await setting.pods()).length === 0);
  });
});

describe('a log that cannot be read', () => {
  it('is no silence of the build', { timeout: 40_000 }, async () => {
    const gate = aGate();
    await set({ scripts: () => gate.script(), config: { deadlines: { noOutput: '1s' } } });
    let reads = 0;
    setting.proxy.onCall = (_n, { subresource }) => {
      if (subresource !== 'log') return 'pass';
      reads += 1;
      return { status: 500, reason: 'InternalError' };
    };
    const { spec } = await setting.request();
    const reading = setting.events(spec.id);
    await until('it was tried for longer than silence may last', () => reads >= 5);
    expect(setting.state(spec.id).phase).toBe('fetching');
    setting.proxy.onCall = () => 'pass';
    gate.write(said('at last'));
    gate.end();
    expect(ends(await reading)).toMatchObject([{ type: 'ready' }]);
  });
});

describe('a log that cannot be saved', () => {
  it('is tried again before its only copy goes', async () => {
    const archive = await openArchive();
    let failures = 3;
    const save = archive.save.bind(archive);
    archive.save = (...call) => {
      failures -= 1;
      return failures < 0 ? save(...call) : Promise.reject(new Error('the disk is full'));
    };
    await set({ scripts: () => ({ lines: [said('precious')] }), archive });
    const { spec } = await setting.request();
    await setting.events(spec.id);
    await until('it is saved', () => archive.known(spec.id));
    const kept: string[] = [];
    for await (const text of archive.log((await archive.find(spec.id))!).text()) kept.push(text);
    expect(kept).toEqual(['precious']);
    await setting.untilClean(spec.id);
  });
});
