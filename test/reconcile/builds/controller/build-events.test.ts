import { addAbortSignal, Readable } from 'node:stream';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { ObservedBuild } from '../../../../src/domain/build/build-intent.ts';
import type { BuildEvent, BuildResult } from '../../../../src/domain/build/build.ts';
import { BuildEvents, type BuildEventsOptions } from '../../../../src/reconcile/builds/controller/build-events.ts';
import { BuildOperations } from '../../../../src/reconcile/builds/controller/build-operations.ts';
import type { BuildExecutor, ObservedRun } from '../../../../src/reconcile/builds/executors/executor.ts';
import { LogFollowers } from '../../../../src/reconcile/builds/log/followers.ts';
import { LogBudget } from '../../../../src/reconcile/builds/log/log-budget.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const READY: BuildResult = { status: 'ready', digest: 'sha256:1', at: 0, lines: 2 };

const following: LogFollowers[] = [];
afterEach(async () => {
  await Promise.all(following.splice(0).map((each) => each.stop()));
});

function aBuild(change: Partial<ObservedBuild> = {}): ObservedBuild {
  return {
    spec: {
      ...{ id: ID, key: ID, path: '', image: 'r/a:1', requestedBy: 'ada', detached: false, createdAt: 5 },
      repository: { provider: 'gh', url: 'r', ref: 'main', commit: ID, binderSlug: 'a' },
    },
    ...{ name: `build-${ID}`, uid: 'u', resourceVersion: '1', suspended: false, finished: null, terminating: false },
    ...{ interestExpiresAt: 0, cancel: null, result: null },
    ...change,
  };
}

function aRun(change: Partial<ObservedRun> = {}): ObservedRun {
  const none = { trouble: null, end: null, node: null, startedAt: null, endedAt: null };
  return { id: ID, createdAt: 5, stage: 'running', hasLog: true, ...none, ...change };
}

/** One replica that only reads, with one reader of one build. */
function aReplica(openLog: BuildExecutor['openLog'], options: Partial<BuildEventsOptions> = {}) {
  const seen: { build: ObservedBuild | undefined; run: ObservedRun | undefined; now: number } = {
    build: aBuild(),
    run: undefined,
    now: 0,
  };
  const executor = { name: 'cluster', isReady: true, observe: () => seen.run, openLog } as unknown as BuildExecutor;
  const operations = new BuildOperations({ size: 2 ** 20, budget: new LogBudget(2 ** 20) });
  const logs = new LogFollowers({ logger: pino({ level: 'silent' }), onChange: () => undefined });
  following.push(logs);
  const slot = { id: ID, uid: 'u', user: 'ada', repository: 'r', executor: 'cluster', at: 0 };
  const events = new BuildEvents({
    cache: { job: () => seen.build },
    slotStore: { find: () => slot },
    pool: { get: () => executor, places: () => [{ name: 'cluster', capacity: 1 }], outages: () => [] },
    ...{ order: { positionOf: () => null }, operations, following: logs, isLeader: () => false, kueue: false },
    ...{ archive: { find: () => Promise.resolve(undefined) }, heldMs: 0 },
    clock: { now: () => seen.now, monotonic: () => seen.now },
    ...options,
  } as unknown as BuildEventsOptions);
  const operation = operations.resume(aBuild());
  operation.readers += 1;
  const told = async () => {
    const all: BuildEvent[] = [];
    for await (const event of operation.log.read(undefined, AbortSignal.timeout(5_000))) all.push(event);
    return all.map((event) => (event.type === 'log' ? event.text.trimEnd() : event.type));
  };
  return { seen, events, operations, operation, told };
}

const aLog = (...lines: string[]) =>
  Readable.from([Buffer.from(lines.map((line, index) => `2026-01-01T00:00:0${index}.000000000Z ${line}\n`).join(''))]);

describe('a replica that only reads', () => {
  it('tells every line that the leader had before it tells the end', async () => {
    const { seen, events, operation, told } = aReplica(() => Promise.resolve(aLog('one', 'two')));
    seen.run = aRun({ stage: 'ended' });
    seen.build = aBuild({ result: READY });
    await events.reconcile(ID);
    await events.reconcile(ID);
    expect(operation.log.ended).toBe(false);
    await operation.following?.done;
    await events.reconcile(ID);
    expect(await told()).toEqual(['one', 'two', 'ready']);
  });

  it('says that lines are missing, and tells the end, where the log cannot be read', async () => {
    const { seen, events, told } = aReplica(() => Promise.reject(new Error('unreachable')));
    seen.run = aRun();
    await events.reconcile(ID);
    seen.build = aBuild({ result: READY });
    await events.reconcile(ID);
    seen.now = 20_000;
    await events.reconcile(ID);
    seen.now = 60_000;
    await events.reconcile(ID);
    expect(await told()).toEqual(['phase', '[The log could not be read to its end.]', 'ready']);
  });

  it('does not wait for lines of a build that it never saw run', async () => {
    const { seen, events, told } = aReplica(() => Promise.reject(new Error('there is no pod')));
    seen.build = aBuild({ result: { ...READY, lines: 7 } });
    const { requeueAfterMs } = await events.reconcile(ID);
    expect(requeueAfterMs).toBeLessThanOrEqual(1_000);
    await events.reconcile(ID);
    expect(await told()).toEqual(['[The log could not be read to its end.]', 'ready']);
  });

  it('tells what the archive knows of a build whose Job went while its watch was behind', async () => {
    const kept = { spec: aBuild().spec, result: READY };
    const { seen, events, told } = aReplica(() => Promise.reject(new Error('gone')), {
      archive: { find: () => Promise.resolve(kept) },
    });
    seen.build = undefined;
    await events.reconcile(ID);
    expect(await told()).toEqual(['ready']);
  });

  it('tells that a build was deleted of which nothing is kept, or only an earlier one', async () => {
    const earlier = { spec: { ...aBuild().spec, createdAt: 1 }, result: READY };
    for (const found of [undefined, earlier]) {
      const { seen, events, told } = aReplica(() => Promise.reject(new Error('gone')), {
        archive: { find: () => Promise.resolve(found) },
      });
      seen.build = undefined;
      await events.reconcile(ID);
      expect(await told()).toEqual(['failed']);
    }
  });

  it('holds a build that is over for a moment after its last reader has gone, for those who come back', async () => {
    const { seen, events, operations, operation } = aReplica(() => Promise.reject(new Error('there is no pod')));
    seen.build = aBuild({ result: { ...READY, lines: 0 } });
    await events.reconcile(ID);
    operation.readers = 0;
    operation.leftAt = 0;
    expect(await events.reconcile(ID)).toEqual({ requeueAfterMs: 30_000 });
    expect(operations.get(ID)).toBe(operation);
    seen.now = 30_000;
    await events.reconcile(ID);
    expect(operations.get(ID)).toBeUndefined();
  });

  it('asks an archive that does not answer again for a while, and then tells what it knows', async () => {
    const { seen, events, operation, told } = aReplica(() => Promise.reject(new Error('gone')), {
      archive: { find: () => Promise.reject(new Error('the archive does not answer')) },
    });
    seen.build = undefined;
    await expect(events.reconcile(ID)).rejects.toThrow('does not answer');
    expect(operation.log.ended).toBe(false);
    seen.now = 30_000;
    await events.reconcile(ID);
    expect(await told()).toEqual(['failed']);
  });

  it('tells the readers of a build that another one of its id has replaced how theirs ended', async () => {
    const kept = { spec: aBuild().spec, result: READY };
    const { seen, events, operations, told } = aReplica(() => Promise.reject(new Error('gone')), {
      archive: { find: (_id, _signal, createdAt) => Promise.resolve(createdAt === 5 ? kept : undefined) },
    });
    seen.build = aBuild({ uid: 'v', spec: { ...aBuild().spec, createdAt: 9 } });
    const next = operations.resume(seen.build);
    next.readers += 1;
    await events.reconcile(ID);
    expect(await told()).toEqual(['ready']);
    expect([...operations.replaced(ID)]).toEqual([]);
    expect(operations.get(ID)).toBe(next);
    expect(next.log.ended).toBe(false);
  });

  it('reads no log that nobody reads there, and forgets it a while after its last reader has gone', async () => {
    let opened = 0;
    const { seen, events, operations, operation } = aReplica((_id, _position, signal) => {
      opened += 1;
      return Promise.resolve(addAbortSignal(signal, new Readable({ read: () => undefined })));
    });
    operation.readers = 0;
    operation.leftAt = 0;
    seen.run = aRun();
    const { requeueAfterMs } = await events.reconcile(ID);
    expect([opened, requeueAfterMs]).toEqual([0, 30_000]);
    operation.readers = 1;
    await events.reconcile(ID);
    expect(opened).toBe(1);
    operation.readers = 0;
    seen.now = 30_000;
    await events.reconcile(ID);
    expect(operations.get(ID)).toBeUndefined();
    await operation.following?.done;
  });
});
