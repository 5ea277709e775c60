import type { V1Pod } from '@kubernetes/client-node';
import { Events, Pods } from '../../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import type { BuildView } from './builds-api.ts';
import { build, describe, follow, holdReady, holdStream } from './following.ts';
import { cleanedUp, jobsOf, podOf, podsOf } from './objects.ts';
import { startProxy } from './proxy.ts';
import { repositoryOf } from './repositories.ts';
import type { Labwright } from './labwright.ts';
import type { BuildScene } from './setting.ts';

/** What a program says to other programs, and not to people. */
const NOISE = /Traceback|CalledProcessError|--image-name|File "\//;
const SOON_MS = 5_000;

/** A step that fails is one event that names it. */
export async function failingStep(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage } = scene;
  const { url } = await git.addRepository('ada/failing', repositoryOf(baseImage, ['echo "about to fail" && exit 3']));
  const { events, last } = await build(scene, url);
  holdStream(transcript, 'the failing build', events);
  transcript.hold('it failed because of the build', last?.type === 'failed' && last.reason === 'BuildFailed');
  const { message = '' } = last ?? {};
  transcript.hold('the step and its exit code are named', /about to fail.*exit code 3/.test(message), message);
  const noise = events.filter((event) => NOISE.test(JSON.stringify(event)));
  transcript.hold('no arguments of programs and no tracebacks', noise.length === 0, noise.map(describe).join('; '));
}

/** The pod goes away in the middle. */
export async function podDeleted(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage, labwright, cluster } = scene;
  const { url } = await git.addRepository('ada/deleted', repositoryOf(baseImage, [gates.pass('deleted')]));
  const { state } = await labwright.builds.request({ repository: url });
  const reading = follow(scene, labwright, state.id);
  await gates.reached('deleted');
  const { metadata } = await podOf(scene, labwright, state.id);
  const ref = { namespace: labwright.buildNamespace, name: metadata?.name ?? '' };
  await cluster.client.delete(Pods, ref, { gracePeriodSeconds: 0 });
  const { result, ms } = await timed(() => reading);
  holdStream(transcript, 'the build whose pod was deleted', result.events);
  const { last } = result;
  transcript.hold(
    'its failure says so, within 5 s',
    last?.reason === 'DeletedExternally' && ms < SOON_MS,
    `${took(ms)}: ${describe(last)}`,
  );
  await cleanedUp(scene, labwright, state.id);
  gates.open('deleted');
  await holdReady(scene, 'asked for again, it', await build(scene, url));
}

/** What keeps a pod of a build from starting is told within seconds of Kubernetes telling it. */
export async function cannotStart(scene: BuildScene): Promise<void> {
  const { cluster, baseImage } = scene;
  const image = baseImage.replace(/:[^:/]*$/, ':no-such-tag');
  await holdTrouble(scene, 'image', { builder: { image } }, 'BuilderImageUnavailable', async (labwright) => {
    const waiting = (await podsOf(scene, labwright)).flatMap(reasonsOf);
    return waiting.some((reason) => reason === 'ErrImagePull' || reason === 'ImagePullBackOff');
  });
  const nowhere = { pod: { nodeSelector: { 'example.org/nowhere': 'yes' } }, deadlines: { scheduling: '8s' } };
  await holdTrouble(scene, 'nowhere', nowhere, 'Unschedulable', async (labwright) => {
    const conditions = (await podsOf(scene, labwright)).flatMap(({ status }) => status?.conditions ?? []);
    return conditions.some(({ type, reason }) => type === 'PodScheduled' && reason === 'Unschedulable');
  });
  const missing = {
    pod: {
      volumes: [{ name: 'extra', configMap: { name: 'no-such-map' } }],
      volumeMounts: [{ name: 'extra', mountPath: '/extra' }],
    },
    deadlines: { imagePull: '20s' },
  };
  await holdTrouble(scene, 'mount', missing, 'VolumeMountFailed', async ({ buildNamespace: namespace }) => {
    const { items } = await cluster.client.list(Events, { namespace });
    return items.some(({ reason }) => reason === 'FailedMount');
  });
}

function reasonsOf({ status }: V1Pod): string[] {
  return (status?.containerStatuses ?? []).flatMap(({ state }) => state?.waiting?.reason ?? []);
}

/** @param isShown whether Kubernetes shows the trouble by now */
async function holdTrouble(
  scene: BuildScene,
  name: string,
  settings: Readonly<Record<string, unknown>>,
  reason: string,
  isShown: (labwright: Labwright) => Promise<boolean>,
): Promise<void> {
  const { transcript, git, baseImage } = scene;
  const labwright = await scene.another(name, settings);
  const { url } = await git.addRepository(`ada/${name}`, repositoryOf(baseImage, ['echo never']));
  const { state } = await labwright.builds.request({ repository: url });
  const reading = follow(scene, labwright, state.id);
  const at = async (what: string, ask: () => Promise<boolean>): Promise<number> => {
    await waitFor(what, 60_000, async () => ((await ask()) ? true : undefined), 25);
    return performance.now();
  };
  const [shown, told] = await Promise.all([
    at(`Kubernetes to show ${reason}`, () => isShown(labwright)),
    at(`Labwright to tell ${reason}`, async () => (await stateOf(labwright, state.id)).reason === reason),
  ]);
  transcript.hold(
    `${reason} is told within 5 s of being shown`,
    told - shown < SOON_MS,
    took(Math.max(0, told - shown)),
  );
  const { events, last } = await reading;
  const ends = events.filter(({ type }) => type === 'failed');
  transcript.hold(`the build fails with ${reason}`, last?.reason === reason && ends.length === 1, describe(last));
  await cleanedUp(scene, labwright, state.id);
}

async function stateOf({ builds }: Labwright, id: string): Promise<BuildView> {
  return (await builds.get(id)).state;
}

/** An image that has gone is built again; a registry that does not answer is no reason to build. */
export async function registryTroubles(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage, labwright, registry } = scene;
  const { url } = await git.addRepository('ada/lost', repositoryOf(baseImage, ['echo made']));
  const first = await build(scene, url);
  await cleanedUp(scene, labwright, first.id);
  await registry.removeImage(first.state.image, first.state.image_digest ?? '');
  await holdReady(scene, 'an image that was deleted from the registry', await build(scene, url));

  const proxy = await startProxy(registry.url);
  try {
    const host = new URL(registry.url).host;
    const settings = { host, insecure: true, url: proxy.url, timeout: '2s' };
    const other = await scene.another('registry', { registry: settings });
    const again = await other.builds.request({ repository: url });
    transcript.hold('through the proxy it is found', again.status === 200 && again.state.cached, `${again.status}`);
    const late = await git.addRepository('ada/late', repositoryOf(baseImage, [gates.pass('late')]));
    const { state } = await other.builds.request({ repository: late.url });
    const reading = follow(scene, other, state.id);
    await gates.reached('late');
    proxy.cut();
    const jobs = (await jobsOf(scene, other)).length;
    const refused = await timed(() => other.builds.request({ repository: url }));
    const isTold = refused.result.status === 503 && refused.result.text.includes('registry_unavailable');
    transcript.hold('without a registry: 503', isTold, `${took(refused.ms)}: ${refused.result.text}`);
    transcript.hold('and no Job', (await jobsOf(scene, other)).length === jobs);
    gates.open('late');
    await waitFor('the question to the registry', 120_000, async () =>
      (await stateOf(other, state.id)).phase === 'confirming' ? true : undefined,
    );
    await proxy.refused();
    proxy.mend();
    const { events, last } = await reading;
    holdStream(transcript, 'a build that ends meanwhile', events);
    await holdReady(scene, 'once the registry answers, it', { last, state: await stateOf(other, state.id) });
  } finally {
    await proxy.close();
  }
}
