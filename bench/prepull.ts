import { pino } from 'pino';
import { ImageNodes, startSandbox } from '../sandbox/index.ts';
import { createPrepull } from '../src/app/prepull.ts';
import { buildPullerPod } from '../src/builder/prepull/puller-pod.ts';
import { buildConfig } from '../src/config/index.ts';
import { IMAGES_PER_POD } from '../src/domain/image/prepull/plan.ts';
import type { WantedImage } from '../src/domain/image/wanted-image.ts';
import { Manager } from '../src/reconcile/manager.ts';
import { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import { Pods } from '../src/storage/kubernetes/resources.ts';
import { sleep } from '../src/util/sleep.ts';

/**
 * 50 nodes and 20 images in the sandbox, whose pulls take no time: what pulling ahead costs itself. Beside it the bare minimum, a loop
 * that creates the same pods, waits for each on one watch, and deletes it; it remembers nothing and finds nothing out.
 */
const NODES = 50;
const IMAGES = 20;
const REPETITIONS = 3;
const logger = pino({ level: 'silent' });
const wanted = Array.from({ length: IMAGES }, (_, index): WantedImage => {
  const digest = `sha256:${String(index).padStart(64, '0')}`;
  const reference = `registry.example/lab:${String(index)}@${digest}`;
  return { reference, digest, name: String(index), size: 2 ** 30, architectures: null };
});

interface Measured {
  readonly ms: number;
  readonly calls: Readonly<Record<string, number>>;
}

async function measure(pullsAtOnce: number, work: (world: World) => Promise<void>): Promise<Measured> {
  const calls = new Map<string, number>();
  let isCounting = false;
  const sandbox = await startSandbox({
    kubelet: false,
    onRequest: ({ method, url }) => {
      const { pathname } = new URL(url, 'http://sandbox');
      const resource = /\/(pods|nodes|configmaps)\b/.exec(pathname)?.[1] ?? '';
      const key = `${method} ${resource}`;
      if (isCounting && !isOfNode(method, pathname)) calls.set(key, (calls.get(key) ?? 0) + 1);
    },
  });
  const connections = [sandbox.connection(), sandbox.connection()] as const;
  const [client, theirs] = connections.map(
    (connection) => new KubeClient({ connection, requestsPerSecond: 1e6, burst: 1e6 }),
  );
  if (client === undefined || theirs === undefined) throw new Error('no client');
  const names = Array.from({ length: NODES }, (_, index) => `node-${String(index)}`);
  const nodes = await ImageNodes.start({
    ...{ client: theirs, namespace: 'labwright', nodes: names.map((name) => ({ name })) },
  });
  isCounting = true;
  const start = performance.now();
  await work({ client, names, nodes, pullsAtOnce });
  const ms = performance.now() - start;
  isCounting = false;
  await nodes.close();
  await Promise.all(connections.map((connection) => connection.close()));
  await sandbox.close();
  return { ms, calls: Object.fromEntries(calls) };
}

interface World {
  readonly client: KubeClient;
  readonly names: readonly string[];
  readonly nodes: ImageNodes;
  readonly pullsAtOnce: number;
}

/** What the simulated nodes write with the same credentials: statuses and bindings. */
function isOfNode(method: string, path: string): boolean {
  return method === 'PATCH' || path.endsWith('/binding');
}

function config(pullsAtOnce: number) {
  return buildConfig({
    baseUrl: 'https://hub.example.org',
    auth: { tokens: [{ sha256: '0'.repeat(64), role: 'admin' }] },
    images: { list: [{ reference: 'registry.example/lab:1' }], prepull: { pullsAtOnce, perRegistry: pullsAtOnce } },
    lab: { sizes: [{ name: 'small', cpu: 1, memory: '1Gi' }] },
  });
}

async function labwright({ client, names, nodes, pullsAtOnce }: World): Promise<void> {
  const parts = createPrepull({
    ...{ client, config: config(pullsAtOnce), controller: 'labwright', logger },
    wanted: { wanted: () => wanted, onChange: () => undefined },
  });
  const halt = new AbortController();
  const manager = new Manager({ logger }).addCache(...parts.caches).addController(...parts.controllers);
  const working = manager.run(halt.signal);
  const isWarm = () =>
    names.every((name) => nodes.images(name).length === IMAGES) &&
    wanted.every(({ digest }) => parts.view?.of(digest)?.nodes.length === NODES);
  while (!isWarm()) await sleep(5);
  while (parts.view?.nodes().some(({ pulling }) => pulling.length > 0) === true) await sleep(5);
  halt.abort();
  await working;
}

async function floor({ client, names, pullsAtOnce }: World): Promise<void> {
  const waiting = new Map<string, () => void>();
  const halt = new AbortController();
  const { resourceVersion } = await client.list(Pods, { namespace: 'labwright' });
  const watching = (async () => {
    for await (const { object } of client.watch(Pods, {
      namespace: 'labwright',
      resourceVersion,
      signal: halt.signal,
    })) {
      if (object.status?.phase === 'Succeeded') waiting.get(object.metadata?.uid ?? '')?.();
    }
  })().catch(() => undefined);
  const { lab, images } = config(pullsAtOnce);
  const context = { controller: 'labwright', lab, prepull: images.prepull ?? { timeout: 1 }, owner: undefined };
  const queue = [...names];
  const lane = async () => {
    for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
      for (let at = 0; at < IMAGES; at += IMAGES_PER_POD) {
        const start = { node, registry: 'registry.example', images: wanted.slice(at, at + IMAGES_PER_POD) };
        const { metadata } = await client.create(Pods, buildPullerPod(start, context));
        const { name = '', uid = '', namespace } = metadata ?? {};
        await new Promise<void>((resolve) => waiting.set(uid, resolve));
        await client.delete(Pods, { namespace, name }, { gracePeriodSeconds: 0 });
      }
    }
  };
  await Promise.all(Array.from({ length: pullsAtOnce }, lane));
  halt.abort();
  await watching;
}

for (const pullsAtOnce of [10, 50]) {
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    for (const [name, work] of [
      ['floor', floor],
      ['labwright', labwright],
    ] as const) {
      const { ms, calls } = await measure(pullsAtOnce, work);
      const all = Object.values(calls).reduce((sum, count) => sum + count, 0);
      const perPull = (all / (NODES * IMAGES)).toFixed(2);
      const line = { pullsAtOnce, name, seconds: (ms / 1000).toFixed(2), calls: all, perPull, ...calls };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    }
  }
}
