import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KeyService, type KeyTiming } from '../../../src/auth/keys/service.ts';
import { labSelector } from '../../../src/reconcile/labs/observe.ts';
import { LAB_INTENT_KIND, LAB_KIND } from '../../../src/domain/lab/object-names.ts';
import { KeyStore } from '../../../src/storage/kubernetes/key-store.ts';
import { runKeys } from '../../support/run-keys.ts';
import { KubeClient } from '../../../src/storage/kubernetes/kube-client.ts';
import { Namespaces, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { until } from '../../reconcile/support/until.ts';
import { startCluster, type TestCluster } from '../../support/cluster.ts';

const QUICK: Partial<KeyTiming> = { reread: 50, pause: 10, retry: 10 };
const HOUR = 60 * 60_000;
const never = new AbortController().signal;

let cluster: TestCluster;
let namespace: string;
const running: { halt: AbortController; ended: Promise<void>; client: KubeClient }[] = [];
const log: string[] = [];

beforeAll(async () => {
  cluster = await startCluster();
});
afterEach(async () => {
  cluster.proxy.onCall = () => 'pass';
  for (const { halt } of running) halt.abort();
  await Promise.all(running.splice(0).map(({ ended, client }) => ended.then(() => client.close())));
});
afterAll(async () => {
  await cluster.close();
});

async function home() {
  namespace = cluster.uniqueName('keys');
  await cluster.client.create(Namespaces, { metadata: { name: namespace } });
  return { namespace, name: 'labwright-keys' };
}

/** The keys of one controller, over a connection of its own. */
function start(): KeyService {
  const client = new KubeClient({ connection: cluster.connection() });
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
  const lifetimes = { signing: HOUR, sealing: HOUR };
  const service = new KeyService({ store: new KeyStore(client, namespace), logger, lifetimes, timing: QUICK });
  const halt = new AbortController();
  running.push({ halt, ended: runKeys(service, halt.signal), client });
  return service;
}

const kidsOf = ({ signing, sealing }: KeyService) => [signing.current().kid, sealing.current().kid];

describe('the Secret with the keys', () => {
  it('is ours by its labels, and is taken for no lab', async () => {
    const ref = await home();
    await start().ready();
    const secret = await cluster.client.get(Secrets, ref);
    expect(secret).toMatchObject({
      type: 'labwright.dev/keys',
      metadata: { labels: { 'labwright.dev/kind': 'keys' } },
    });
    expect(Object.keys(secret?.data ?? {}).sort()).toEqual(['sealing.json', 'signing.json']);
    for (const kind of [LAB_INTENT_KIND, LAB_KIND]) {
      const { items } = await cluster.client.list(Secrets, { namespace, labelSelector: labSelector(namespace, kind) });
      expect(items).toEqual([]);
    }
  });

  it('is shared by controllers that start in the same moment', async () => {
    await home();
    const services = Array.from({ length: 5 }, start);
    await Promise.all(services.map((service) => service.ready()));
    expect(new Set(services.map((service) => kidsOf(service).join())).size).toBe(1);
  });

  it('is what counts when nobody knows whether it was written', async () => {
    const ref = await home();
    cluster.proxy.onCall = (_n, { verb, name, namespace: where, resource }) =>
      verb === 'create' && where === namespace && resource === 'secrets' && name === '' ? 'reset-after' : 'pass';
    const first = start();
    await first.ready();
    const second = start();
    await second.ready();
    expect(kidsOf(second)).toEqual(kidsOf(first));
    expect(await cluster.client.get(Secrets, ref)).toBeDefined();
  });

  it('is changed for the version that was read, and keeps what others have added to it', async () => {
    const ref = await home();
    const store = new KeyStore(cluster.client, namespace);
    expect(await store.read(never)).toBeUndefined();
    expect(await store.write({ 'a.json': '1' }, undefined, never)).toBe(true);
    expect(await store.write({ 'a.json': '2' }, undefined, never)).toBe(false);
    const { version } = (await store.read(never))!;
    await cluster.client.patch(Secrets, ref, { metadata: { labels: { team: 'astronomy' } } });
    expect(await store.write({ 'a.json': '3' }, version, never)).toBe(false);
    const changed = (await store.read(never))!;
    expect(changed.data).toEqual({ 'a.json': '1' });
    expect(await store.write({ 'a.json': '4' }, changed.version, never)).toBe(true);
    expect((await store.read(never))?.data).toEqual({ 'a.json': '4' });
    expect((await cluster.client.get(Secrets, ref))?.metadata?.labels).toMatchObject({ team: 'astronomy' });
    await cluster.client.delete(Secrets, ref);
    expect(await store.write({ 'a.json': '5' }, changed.version, never)).toBe(false);
  });

  it('is not touched when it is somebody else’s', async () => {
    const ref = await home();
    const foreign = { 'signing.json': Buffer.from('[]').toString('base64') };
    await cluster.client.create(Secrets, { metadata: ref, type: 'Opaque', data: foreign });
    const keys = start();
    await until('it has complained', () => log.some((line) => line.includes(`Secret ${namespace}/labwright-keys`)));
    expect(keys.isReady).toBe(false);
    expect((await cluster.client.get(Secrets, ref))?.data).toEqual(foreign);
  });

  it('can be deleted to make everything invalid: every controller goes over to new keys', async () => {
    const ref = await home();
    const [first, second] = [start(), start()];
    await Promise.all([first.ready(), second.ready()]);
    const before = kidsOf(first);
    await cluster.client.delete(Secrets, ref);
    await until('both have the same new keys', () => {
      const [mine, theirs] = [kidsOf(first), kidsOf(second)];
      return mine[0] !== before[0] && mine.join() === theirs.join();
    });
  });
});
