import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { Reader } from './support/reader.ts';
import type { WhatIsLeft } from './support/snapshot.ts';
import { type CallName, type Side, Victim } from './support/victim.ts';

/** Every call that the operations make when nobody dies; the first one writes down what is wanted. */
const INTENT = 'create secrets of the controller';
const FIRST_SPAWN = [
  INTENT,
  'get secrets of the controller',
  'create namespaces',
  'create services',
  'create serviceaccounts',
  'create configmaps',
  'create limitranges',
  'create networkpolicies',
  'create secrets',
  'create secrets 2',
  'create configmaps 2',
  'create pods',
];
const NEXT_SPAWN = [
  INTENT,
  'get secrets of the controller',
  'create services',
  'create networkpolicies',
  'create secrets',
  'create secrets 2',
  'create configmaps',
  'create pods',
];
const DELETING = 'patch secrets of the controller';
const DELETE = [
  DELETING,
  'delete pods',
  'deletecollection secrets',
  'patch namespaces',
  'delete secrets of the controller',
];

interface Point {
  readonly what: 'first spawn' | 'spawn in a kept namespace' | 'delete';
  readonly side: Side;
  readonly call: CallName;
}

const POINTS = [...points('first spawn', FIRST_SPAWN), ...points('spawn in a kept namespace', NEXT_SPAWN)];
const DELETE_POINTS = points('delete', DELETE);

/** One user's operation that was stopped at one point when the process died. */
interface Case extends Point {
  readonly user: string;
  readonly reader: Reader | undefined;
}

let cluster: TestCluster;
let victim: Victim;
/** What a run in which nobody dies leaves behind: while the lab runs, and after its delete. */
let undisturbed: { running: WhatIsLeft; deleted: WhatIsLeft };
let cases: Case[];

beforeAll(async () => {
  cluster = await startCluster();
  victim = await Victim.create(cluster);
  undisturbed = await runUndisturbed();
  cases = await stopAll([...POINTS, ...DELETE_POINTS]);
  // One death for all of them, and another one while the next process is busy with what it finds.
  await victim.die();
  await victim.dieAfter(40);
  await victim.start();
}, 120_000);

afterAll(async () => {
  await victim.close();
  await cluster.close();
});

function points(what: Point['what'], calls: readonly CallName[]): Point[] {
  return calls.flatMap((call) => (['before', 'after'] as const).map((side) => ({ what, side, call })));
}

async function runUndisturbed(): Promise<typeof undisturbed> {
  const { api } = victim;
  const user = victim.newUser();
  expect((await victim.callsOf(user, () => api.spawn(user))).sort()).toEqual([...FIRST_SPAWN].sort());
  const running = await victim.snapshot(user);
  expect((await victim.callsOf(user, () => api.delete(user))).sort()).toEqual([...DELETE].sort());
  const deleted = await victim.snapshot(user);
  expect((await victim.callsOf(user, () => api.spawn(user))).sort()).toEqual([...NEXT_SPAWN].sort());
  expect(await victim.snapshot(user)).toEqual(running);
  await api.delete(user);
  return { running, deleted };
}

/** Brings an operation of its own to each of these points. */
async function stopAll(wanted: readonly Point[]): Promise<Case[]> {
  const { api } = victim;
  const prepared = await Promise.all(
    wanted.map(async (point) => {
      const user = victim.newUser();
      if (point.what !== 'first spawn') expect((await api.spawn(user)).last?.type).toBe('complete');
      if (point.what === 'spawn in a kept namespace') expect(await api.delete(user)).toBe(204);
      return { ...point, user };
    }),
  );
  const stopped: Case[] = [];
  // Whoever sees an intent acts on it, also when its own answer is still held: those come last.
  for (const point of prepared.sort((a, b) => Number(a.call === INTENT) - Number(b.call === INTENT))) {
    const { user, call, side, what } = point;
    const [answer] = await victim.stopAt(user, call, side, () =>
      what === 'delete' ? api.delete(user) : api.create(user),
    );
    const isRead = call !== INTENT && call !== DELETING;
    if (isRead && what !== 'delete') expect(await answer).toBe(201);
    const reader = isRead ? new Reader(api, user) : undefined;
    await reader?.untilFirst();
    stopped.push({ ...point, reader });
  }
  return stopped;
}

function caseOf(point: Point): Case {
  const found = cases.find(({ what, side, call }) => what === point.what && side === point.side && call === point.call);
  if (found === undefined) throw new Error('There is no such case');
  return found;
}

describe('a controller that is killed during a spawn', { timeout: 60_000 }, () => {
  it.for(POINTS)('($what) $side "$call": another one brings the lab up, and its reader sees the end', async (point) => {
    const { user, reader, call, side } = caseOf(point);
    if (call === INTENT && side === 'before') {
      // Nothing was promised, and nothing has happened.
      expect(await victim.api.get(user)).toBeUndefined();
      expect(await victim.api.create(user)).toBe(201);
    }
    await victim.untilRunning(user);
    await reader?.resume();
    expect(reader?.outcome ?? ['complete']).toEqual(['complete']);
    expect(await victim.snapshot(user)).toEqual(undisturbed.running);
    expect(await victim.api.delete(user)).toBe(204);
    expect(await victim.snapshot(user)).toEqual(undisturbed.deleted);
  });
});

describe('a controller that is killed during a delete', { timeout: 60_000 }, () => {
  it.for(DELETE_POINTS)('$side "$call": another one finishes it, and nothing is left', async (point) => {
    const { user, reader, call, side } = caseOf(point);
    if (call === DELETING && side === 'before') {
      await victim.untilRunning(user);
      expect(await victim.api.delete(user)).toBe(204);
    }
    await victim.untilGone(user);
    await reader?.resume();
    expect(reader?.outcome ?? ['complete']).toEqual(['complete']);
    expect(await victim.snapshot(user)).toEqual(undisturbed.deleted);
    expect((await victim.api.spawn(user)).last?.type).toBe('complete');
    expect(await victim.snapshot(user)).toEqual(undisturbed.running);
  });
});

it('writes a log, which is looked through for planted credentials when it ends', () => {
  expect(victim.process.output).not.toBe('');
});
