import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { ConfigMaps, Events, Namespaces, Nodes, Pods } from '../../../src/storage/kubernetes/resources.ts';
import { canary, takeFindings } from '../../support/canary.ts';
import { ControllerProcess } from '../../support/controller-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { startRealCluster } from '../cluster.ts';
import { startFakeHub } from '../fake-hub.ts';
import { timed, took, Transcript } from '../transcript.ts';
import { pushImage, Registry } from './registry.ts';

/**
 * Images pulled ahead on a real node by a real kubelet, from a real registry. Prints a transcript; exit code 0 only if every
 * claim held.
 */
const { values } = parseArgs({
  options: {
    /** Folder with the scripts that start the cluster. */
    kube: { type: 'string', default: join(import.meta.dirname, '../../../../shared/kube') },
  },
});

interface Status {
  readonly images: {
    readonly prepulled: readonly { digest: string }[];
    readonly pending: readonly { digest: string }[];
  };
  readonly nodes: readonly { readonly name: string; readonly eligible: boolean; readonly cached: readonly string[] }[];
}
interface Detail {
  readonly images: readonly { readonly digest: string; readonly pull_seconds: number | null }[];
  readonly nodes: readonly {
    readonly failures: readonly { digest: string; reason: string; message: string; count: number; next_at: string }[];
  }[];
}

const SMALL_IMAGES = 6;
const LONG_MS = 180_000;
const transcript = new Transcript();
transcript.say('starting the cluster and making the images');
const cluster = await startRealCluster(values.kube);
const registry = new Registry(`http://${cluster.host}:5000`);
const hub = await startFakeHub(cluster.host);
const namespace = `${cluster.prefix}-controller`;
const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };
await cluster.client.create(Namespaces, { metadata: { name: namespace, labels: restricted } });
const admin = canary(randomBytes(16).toString('hex'));
const scratch = cluster.prefix;
// None of them has /bin/true: of a container that cannot run, the image is there all the same.
const small = await Promise.all(
  Array.from({ length: SMALL_IMAGES }, (_, index) => pushImage(registry.url, `${scratch}/lab`, `v${String(index)}`)),
);
const moved = await pushImage(registry.url, `${scratch}/moved`, '1');
const manifest = await registry.take(`${scratch}/moved`, moved);
const labDigest = (await registry.digestOf('lab', '1')) ?? '';
const reference = (name: string, tag: string, digest: string) => `${cluster.host}:5000/${name}:${tag}@${digest}`;
const lab = reference('lab', '1', labDigest);
const listed = [
  { reference: lab, name: 'Lab', class: 'recommended' },
  ...small.map((digest, index) => ({ reference: reference(`${scratch}/lab`, `v${String(index)}`, digest) })),
  { reference: reference(`${scratch}/moved`, '1', moved) },
];
const options = (prepull: object | undefined) => ({
  credentials: { kubeconfig: cluster.kubeconfig },
  namespace,
  image: lab,
  labEnv: (username: string) => hub.environment(username),
  auth: { tokens: [{ sha256: createHash('sha256').update(admin).digest('hex'), role: 'admin' }] },
  lab: { namespacePrefix: cluster.prefix, namespaceRetention: '15s', internalUrl: 'podIp' },
  config: { images: { list: listed, ...(prepull === undefined ? {} : { prepull }) } },
});
const controller = await ControllerProcess.prepare(options({ pullsAtOnce: 1, timeout: '5m' }));
const off = await ControllerProcess.prepare(options(undefined));
const ask = async <T>(path: string): Promise<T> => {
  const answer = await request(`${controller.url}/labwright${path}`, { headers: { authorization: `Bearer ${admin}` } });
  return (await answer.body.json()) as T;
};
const status = () => ask<Status>('/spawner/v1/prepulls');
const detail = () => ask<Detail>('/images/v1/nodes');
const listedByNodes = async () =>
  (await cluster.client.list(Nodes)).items.flatMap(({ status: node }) =>
    (node?.images ?? []).flatMap(({ names }) => names),
  );
/** @throws Error when it takes too long */
const wait = (ask: () => Promise<boolean>) =>
  waitFor('what was to come', LONG_MS, async () => (await ask()) || undefined, 200);
const pods = async () =>
  (await cluster.client.list(Pods, { namespace, labelSelector: 'labwright.dev/kind=prepull' })).items;

try {
  await transcript.part('wanted images come to the node', async () => {
    controller.start();
    await controller.firstAnswer();
    const { ms } = await timed(() => wait(async () => (await status()).images.prepulled.length === SMALL_IMAGES + 1));
    transcript.hold(`prepulls says that ${SMALL_IMAGES + 1} images are on every eligible node`, true, took(ms));
    const isListed = async () => {
      const names = await listedByNodes();
      return [labDigest, ...small].every((digest) => names.some((name) => name?.endsWith(digest)));
    };
    const { ms: later } = await timed(() => wait(isListed));
    transcript.hold('the node itself lists all of them, by their digests', true, `${took(later)} later`);
    const times = (await detail()).images.map(({ pull_seconds: seconds }) => seconds);
    transcript.say(`seconds that the pulls took: ${times.join(', ')}`);
    transcript.hold('of what was pulled it is known how long that took', typeof times[1] === 'number');
  });

  await transcript.part('an image that is not in the registry', async () => {
    await wait(async () => (await detail()).nodes.some(({ failures }) => failures.length > 0));
    const [failure] = (await detail()).nodes.flatMap(({ failures }) => failures);
    transcript.hold(
      'is reported with its reason',
      failure?.digest === moved,
      `${failure?.reason}: ${failure?.message}`,
    );
    const { images } = await status();
    transcript.hold(
      'is pending, and not done',
      images.pending.some(({ digest }) => digest === moved),
    );
    await wait(async () => (await pods()).length === 0);
    transcript.hold('keeps no pod', true, `next attempt at ${failure?.next_at}`);
    await registry.put(`${scratch}/moved`, '1', manifest);
    const { ms } = await timed(() => wait(async () => (await status()).images.pending.length === 0));
    transcript.hold('is tried again, and pulled when it is there', true, took(ms));
  });

  await transcript.part('a lab from a warm image', async () => {
    const { result, ms } = await timed(() => controller.api.spawn('ada'));
    transcript.hold('runs', result.last?.type === 'complete', took(ms));
    const seen = await cluster.client.list(Events, { namespace: `${cluster.prefix}-ada` });
    const reasons = seen.items.map(({ reason }) => reason);
    transcript.hold(
      'was started without a pull',
      !reasons.includes('Pulling') && reasons.includes('Pulled'),
      reasons.join(' '),
    );
    await controller.api.delete('ada');
  });

  await transcript.part('removal', async () => {
    transcript.hold('no puller pod is left while all is warm', (await pods()).length === 0);
    await controller.kill('SIGKILL');
    off.start();
    await off.firstAnswer();
    const left = () => cluster.client.get(ConfigMaps, { namespace, name: 'labwright-prepull' });
    await wait(async () => (await left()) === undefined);
    transcript.hold('nothing is left when it is switched off', (await pods()).length === 0);
  });
} catch (error) {
  transcript.hold('the run came to its end', false, error instanceof Error ? error.message : String(error));
} finally {
  if (transcript.failures.length > 0) {
    transcript.say(`the controller's last lines:\n${controller.output.slice(-4_000)}`);
  }
  await controller.close();
  await off.close();
  await hub.close();
  await cluster.removeNamespaces();
  await cluster.client.delete(Namespaces, { name: namespace });
  await cluster.close();
}
const findings = takeFindings();
transcript.hold('no planted credential was in an answer or in the log', findings.length === 0, findings.join('\n'));
transcript.summary();
process.exitCode = transcript.failures.length === 0 ? 0 : 1;
