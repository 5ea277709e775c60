import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { SLOTS_NAME } from '../../../../src/domain/build/build-slots.ts';
import type { BuildSlot } from '../../../../src/domain/build/build-queue.ts';
import { changedSlots, type SlotChange, SlotStore } from '../../../../src/reconcile/builds/queue/slot-store.ts';
import { KubeClient } from '../../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces } from '../../../../src/storage/kubernetes/resources.ts';
import { runContext } from '../../../../src/util/run-context.ts';
import { startCluster, type TestCluster } from '../../../support/cluster.ts';
import { until } from '../../support/until.ts';

const BOUND = 10;

let cluster: TestCluster;
let namespace: string;
const closing: (() => Promise<void>)[] = [];
beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  cluster.proxy.onCall = () => 'pass';
  for (const close of closing.splice(0)) await close();
});
afterAll(async () => {
  await cluster.close();
});

/** So many controllers' views of one slotStore. */
async function stores(count: number): Promise<SlotStore[]> {
  namespace = cluster.uniqueName('slots');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  const client = new KubeClient({ connection: cluster.connection() });
  const options = {
    client,
    controller: 'hub',
    namespace,
    logger: pino({ level: 'silent' }),
    onChange: () => undefined,
  };
  const all = Array.from({ length: count }, () => new SlotStore(options));
  for (const slotStore of all) {
    const halt = new AbortController();
    const running = slotStore.run(halt.signal);
    closing.push(() => {
      halt.abort();
      return running;
    });
    await slotStore.synced;
  }
  return all;
}

function aSlot(name: string): BuildSlot {
  return { id: name, uid: name, user: 'ada', repository: 'r', executor: 'cluster', at: 0 };
}

const take = (name: string) => (slots: readonly BuildSlot[]) =>
  slots.length < BOUND ? [...slots, aSlot(name)] : slots;

it('lets no more through than may be, however many change it at once', async () => {
  const all = await stores(3);
  const changes = all.flatMap((slotStore, index) =>
    Array.from({ length: 12 }, (_, count) => slotStore.change(take(`${index}-${count}`))),
  );
  await Promise.all(changes);
  for (const slotStore of all) expect(await slotStore.read()).toHaveLength(BOUND);
});

it('writes what is asked for while it writes with one call more', async () => {
  const [slotStore] = (await stores(1)) as [SlotStore];
  await slotStore.change(take('first'));
  const since = performance.now();
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => slotStore.change(take(name))));
  expect(cluster.requests.calls(since)).toHaveLength(2);
  await slotStore.change((slots) => slots);
  expect(cluster.requests.calls(since)).toHaveLength(2);
});

it('begins anew when somebody has deleted it', async () => {
  const [slotStore, other] = await stores(2);
  await slotStore?.change(take('a'));
  await until('the other knows it', () => other?.slots.length === 1);
  await cluster.client.delete(ConfigMaps, { namespace, name: SLOTS_NAME });
  await other?.change(take('b'));
  expect((await slotStore?.read())?.map(({ id }) => id)).toEqual(['b']);
});

it('says so when it could not be written, and goes on with the next change', async () => {
  const [slotStore] = await stores(1);
  await slotStore?.change(take('a'));
  cluster.proxy.onCall = (_n, { verb }) =>
    verb === 'watch' ? 'pass' : { status: 403, reason: 'Forbidden', message: 'no' };
  await expect(slotStore?.change(take('b'))).rejects.toMatchObject({ status: 403 });
  cluster.proxy.onCall = () => 'pass';
  await slotStore?.change(take('c'));
  expect((await slotStore?.read())?.map(({ id }) => id)).toEqual(['a', 'c']);
});

it('drops exactly what it said it could not write', async () => {
  const [slotStore] = (await stores(1)) as [SlotStore];
  await slotStore.change(take('a'));
  let writes = 0;
  cluster.proxy.onCall = (_n, { verb }) => {
    if (verb !== 'update') return 'pass';
    writes += 1;
    return writes === 1 ? { status: 403, reason: 'Forbidden', message: 'no' } : 'pass';
  };
  // The second one comes while the first one is being written, and is written next.
  const ends = await Promise.allSettled([slotStore.change(take('b')), slotStore.change(take('c'))]);
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  expect((await slotStore.read()).map(({ id }) => id)).toEqual(['a', 'c']);
});

it('tells each caller what became of its own change, whatever fails and whenever it is asked', async () => {
  const [slotStore] = (await stores(1)) as [SlotStore];
  await slotStore.change(take('first'));
  let calls = 0;
  const faults = fc.sample(fc.boolean(), { numRuns: 40, seed: 7 });
  cluster.proxy.onCall = (_n, { verb }) => {
    if (verb !== 'update') return 'pass';
    calls += 1;
    return faults[calls % faults.length] === true ? { status: 422, reason: 'Invalid', message: 'no' } : 'pass';
  };
  const wanted: string[] = [];
  const refused: string[] = [];
  const asks = Array.from({ length: 60 }, async (_, index) => {
    for (let turn = 0; turn < index % 7; turn += 1) await slotStore.read();
    const name = `s${index}`;
    await slotStore
      .change((slots) => [...slots, aSlot(name)])
      .then(
        () => wanted.push(name),
        () => refused.push(name),
      );
  });
  await Promise.all(asks);
  expect(refused.length).toBeGreaterThan(0);
  cluster.proxy.onCall = () => 'pass';
  const ids = (await slotStore.read()).map(({ id }) => id);
  expect(ids.toSorted()).toEqual(['first', ...wanted].toSorted());
});

it('does not write the change of a run that has ended before its turn, and writes those of others', async () => {
  const [slotStore] = (await stores(1)) as [SlotStore];
  await slotStore.change(take('a'));
  cluster.proxy.onCall = (_n, { verb }) => (verb === 'update' ? 'hold-before' : 'pass');
  const first = slotStore.change(take('b'));
  const held = await cluster.proxy.nextHeld(10_000);
  cluster.proxy.onCall = () => 'pass';
  const run = new AbortController();
  const inRun = (signal: AbortSignal, change: SlotChange) =>
    runContext.run({ id: 'r', signal, mayWrite: () => true }, () => slotStore.change(change));
  const ended = inRun(run.signal, take('of a run that ends'));
  const other = inRun(new AbortController().signal, take('c'));
  run.abort(new Error('leadership is lost'));
  await expect(ended).rejects.toThrow('leadership is lost');
  held.release();
  await Promise.all([first, other]);
  expect((await slotStore.read()).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
});

it('writes nothing for a run that may not write any more', async () => {
  const [slotStore] = (await stores(1)) as [SlotStore];
  const change = runContext.run({ id: 'r', signal: new AbortController().signal, mayWrite: () => false }, () =>
    slotStore.change(take('a')),
  );
  await expect(change).rejects.toThrow();
  expect(await slotStore.read()).toEqual([]);
});

it('takes a slot that went to another executor for a change, also where one write took it away and gave it again', () => {
  const [before, other] = [aSlot('a'), aSlot('b')];
  expect(
    changedSlots([other, { ...before, executor: 'elsewhere', at: 1 }], [before, other]).map(({ id }) => id),
  ).toEqual(['a']);
  expect(changedSlots([before], [other]).map(({ id }) => id)).toEqual(['a', 'b']);
  expect(changedSlots([{ ...before }, other], [other, before])).toEqual([]);
});
