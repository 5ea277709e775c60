import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { BuildReader } from './support/build-api.ts';
import { BuildVictim } from './support/build-victim.ts';
import type { CallName, Side } from './support/victim.ts';

/** Every write of a build in which nobody dies; the first one writes down what is wanted. */
const INTENT = 'create jobs';
const BUILD = [
  INTENT,
  'update configmaps',
  'create secrets',
  'patch jobs',
  'patch jobs 2',
  'delete secrets',
  'update configmaps 2',
];
const CANCELLING = 'patch jobs';
const CANCEL = [
  CANCELLING,
  'patch jobs 2',
  'patch jobs 3',
  'deletecollection pods',
  'delete secrets',
  'update configmaps',
];
/** Of the reads the one that has an effect here. */
const READS = ['get pods/log'];

interface Point {
  readonly what: 'build' | 'cancel';
  readonly call: CallName;
  readonly side: Side;
}

interface Case extends Point {
  readonly repository: string;
  readonly reader: BuildReader | undefined;
}

const points = (what: Point['what'], calls: readonly CallName[]): Point[] =>
  calls.flatMap((call) => (['before', 'after'] as const).map((side) => ({ what, call, side })));
const ALL = [...points('build', [...BUILD, ...READS]), ...points('cancel', CANCEL)];
/** All builds share the ConfigMap: while one is held in a write of it, no other goes on. */
const isShared = ({ call }: Point) => call.startsWith('update configmaps');
const TOGETHER = ALL.filter((point) => !isShared(point));
const ALONE = ALL.filter(isShared);

const READY = { status: 'ready', pods: ['Succeeded'], hasSecret: false, hasSlot: false, hasImage: true };
const CANCELLED = { status: 'cancelled', pods: [], hasSecret: false, hasSlot: false, hasImage: false };
const LINES = ['one\n', 'two\n'];

let cluster: TestCluster;
let victim: BuildVictim;
let cases: Case[];

beforeAll(async () => {
  cluster = await startCluster();
  victim = await BuildVictim.create(cluster);
  await checkUndisturbed();
  cases = await stopAll(TOGETHER);
  // One death for all of them, and another one while the next process is busy with what it finds.
  await victim.die();
  await victim.dieAfter(30);
}, 180_000);

afterAll(async () => {
  await victim.close();
  await cluster.close();
});

/** What a build and a cancel come to, and by which calls, when nobody dies. */
async function checkUndisturbed(): Promise<void> {
  const first = await victim.request(victim.newRepository('quick'));
  await victim.restOf(first);
  await writesAre(BUILD, () =>
    Promise.resolve(async () => {
      const id = await victim.request(victim.newRepository('quick'));
      expect(await victim.restOf(id)).toEqual(READY);
    }),
  );
  await writesAre(CANCEL, async () => {
    const id = await runEndless(victim.newRepository('endless'));
    return async () => {
      expect(await victim.api.cancel(id)).toBe(202);
      expect(await victim.restOf(id)).toEqual(CANCELLED);
    };
  });
}

/**
 * That this is done by these writes and no others. The Job controller of a real cluster writes to Jobs in the same moments, and a
 * write that meets one of its own is made again: of three attempts one has to go without.
 */
async function writesAre(wanted: readonly CallName[], prepare: () => Promise<() => Promise<void>>): Promise<void> {
  let writes: CallName[] = [];
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const work = await prepare();
    writes = (await victim.writesDuring(work)).sort();
    if (writes.join() === [...wanted].sort().join()) return;
  }
  expect(writes).toEqual([...wanted].sort());
}

async function runEndless(repository: string): Promise<string> {
  const id = await victim.request(repository);
  const reader = new BuildReader(victim.api, id);
  await reader.untilLines(LINES.length);
  await reader.stop();
  return id;
}

/** Brings a build of its own to each of these points. */
async function stopAll(wanted: readonly Point[]): Promise<Case[]> {
  const prepared: (Point & { repository: string; id: string | undefined })[] = [];
  for (const point of wanted) {
    const repository = victim.newRepository(point.what === 'build' ? 'quick' : 'endless');
    const id = point.what === 'cancel' ? await runEndless(repository) : undefined;
    prepared.push({ ...point, repository, id });
  }
  const stopped: Case[] = [];
  const known = new Set(prepared.flatMap(({ id }) => id ?? []));
  // What is written down is acted upon by whoever sees it, also when the answer is held: those come last.
  for (const each of prepared.sort((a, b) => Number(a.call === INTENT) - Number(b.call === INTENT))) {
    const { what, call, side, repository, id } = each;
    const begin = () => (id === undefined ? victim.request(repository) : victim.api.cancel(id));
    const others = [...known].filter((other) => other !== id);
    const { answer } = await victim.stopAt<unknown>(call, side, begin, others);
    const isAnswered = what === 'cancel' || call !== INTENT;
    const own = id ?? (isAnswered ? ((await answer) as string) : undefined);
    if (own !== undefined) known.add(own);
    const reader = own === undefined ? undefined : new BuildReader(victim.api, own);
    await reader?.untilFirst();
    stopped.push({ what, call, side, repository, reader });
  }
  return stopped;
}

async function checkEnd({ what, call, side, repository, reader }: Case): Promise<void> {
  let id = await victim.idOf(repository);
  if (what === 'build') {
    const isPromised = call !== INTENT || side === 'after';
    if (!isPromised) expect(id).toBeUndefined();
    id ??= await victim.request(repository);
    expect(await victim.restOf(id)).toEqual(READY);
  } else {
    if (call === CANCELLING && side === 'before') expect(await victim.api.cancel(id ?? '')).toBe(202);
    expect(await victim.restOf(id ?? '')).toEqual(CANCELLED);
  }
  const readers = [reader, new BuildReader(victim.api, id ?? '')];
  for (const each of readers) {
    await each?.untilOver();
    expect(each?.outcome ?? [READY.status]).toEqual([what === 'build' ? READY.status : CANCELLED.status]);
  }
  // Of one that was cancelled the log has gone with its pod, unless somebody has read it.
  if (what === 'build') for (const each of readers) expect(each?.lines ?? LINES).toEqual(LINES);
}

describe('a controller that is killed during a build', () => {
  it.for(TOGETHER)('($what) $side "$call": another one brings it to the same end', async ({ what, call, side }) => {
    const found = cases.find((each) => each.what === what && each.call === call && each.side === side);
    await checkEnd(found!);
  });

  it.for(ALONE)('($what) $side "$call", which all share: another one brings it to the same end', async (point) => {
    const [stopped] = await stopAll([point]);
    await victim.die();
    await checkEnd(stopped!);
  });
});

it('writes a log, which is looked through for planted credentials when it ends', () => {
  expect(victim.process.output).not.toBe('');
});
