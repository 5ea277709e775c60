import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { SLOTS_NAME } from '../../../../src/domain/build/build-slots.ts';
import type { BuildSlot } from '../../../../src/domain/build/build-queue.ts';
import { SlotLedger } from '../../../../src/reconcile/builds/queue/slot-ledger.ts';
import { KubeClient } from '../../../../src/storage/kubernetes/kube-client.ts';
import { ConfigMaps, Namespaces } from '../../../../src/storage/kubernetes/resources.ts';
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

/** So many controllers' views of one ledger. */
async function ledgers(count: number): Promise<SlotLedger[]> {
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
  const all = Array.from({ length: count }, () => new SlotLedger(options));
  for (const ledger of all) {
    const halt = new AbortController();
    const running = ledger.run(halt.signal);
    closing.push(() => {
      halt.abort();
      return running;
    });
    await ledger.ready;
  }
  return all;
}

function aSlot(name: string): BuildSlot {
  return { id: name, uid: name, user: 'ada', repository: 'r', executor: 'cluster', at: 0 };
}

const take = (name: string) => (slots: readonly BuildSlot[]) =>
  slots.length < BOUND ? [...slots, aSlot(name)] : slots;

it('lets no more through than may be, however many change it at once', async () => {
  const all = await ledgers(3);
  const changes = all.flatMap((ledger, index) =>
    Array.from({ length: 12 }, (_, count) => ledger.change(take(`${index}-${count}`))),
  );
  await Promise.all(changes);
  for (const ledger of all) expect(await ledger.read()).toHaveLength(BOUND);
});

it('writes what is asked for while it writes with one call more', async () => {
  const [ledger] = (await ledgers(1)) as [SlotLedger];
  await ledger.change(take('first'));
  const since = performance.now();
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => ledger.change(take(name))));
  expect(cluster.requests.calls(since)).toHaveLength(2);
  await ledger.change((slots) => slots);
  expect(cluster.requests.calls(since)).toHaveLength(2);
});

it('begins anew when somebody has deleted it', async () => {
  const [ledger, other] = await ledgers(2);
  await ledger?.change(take('a'));
  await until('the other knows it', () => other?.slots.length === 1);
  await cluster.client.delete(ConfigMaps, { namespace, name: SLOTS_NAME });
  await other?.change(take('b'));
  expect((await ledger?.read())?.map(({ id }) => id)).toEqual(['b']);
});

it('says so when it could not be written, and goes on with the next change', async () => {
  const [ledger] = await ledgers(1);
  await ledger?.change(take('a'));
  cluster.proxy.onCall = (_n, { verb }) =>
    verb === 'watch' ? 'pass' : { status: 403, reason: 'Forbidden', message: 'no' };
  await expect(ledger?.change(take('b'))).rejects.toMatchObject({ status: 403 });
  cluster.proxy.onCall = () => 'pass';
  await ledger?.change(take('c'));
  expect((await ledger?.read())?.map(({ id }) => id)).toEqual(['a', 'c']);
});
