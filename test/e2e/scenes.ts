import { setTimeout as delay } from 'node:timers/promises';
import { request } from 'undici';
import { buildObjectNames } from '../../src/domain/lab/object-names.ts';
import { LAB_LABEL, labSlug } from '../../src/domain/names.ts';
import { Namespaces, Pods, Secrets } from '../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../support/wait-for.ts';
import type { ControllerProcess } from '../support/controller-process.ts';
import type { LabView, StreamEvent } from '../support/lab-api.ts';
import type { RealCluster } from './cluster.ts';
import type { FakeHub } from './fake-hub.ts';
import { timed, took, type Transcript } from './transcript.ts';

export interface Scene {
  readonly cluster: RealCluster;
  readonly hub: FakeHub;
  readonly controller: ControllerProcess;
  /** The controller's own namespace. */
  readonly namespace: string;
  readonly transcript: Transcript;
}

/** What is tried, in this order; each part makes and removes labs of its own. */
export const scenes: Readonly<Record<string, (scene: Scene) => Promise<void>>> = {
  'a lab comes up, answers, and is deleted': wholeLife,
  'the controller is killed while a lab runs': killedWhileRunning,
  'the controller is killed in the middle of a spawn': killedInSpawn,
  'the controller is killed right after the 201': killedAfterAccepting,
  'an image that does not exist': badImage,
  'a pod is deleted behind its back': podDeleted,
  'a pod is evicted behind its back': podEvicted,
  'nothing is left': nothingLeft,
};

async function wholeLife(scene: Scene): Promise<void> {
  const { transcript, controller } = scene;
  await spawn(scene, 'ada');
  await answers(scene, 'ada');
  await remove(scene, 'ada');
  const { ms } = await timed(() => spawn(scene, 'ada'));
  transcript.say(`again, in the namespace that was kept: ${took(ms)}`);
  transcript.hold('a second create of a running lab is refused with 409', (await controller.api.create('ada')) === 409);
  await remove(scene, 'ada');
}

async function killedWhileRunning(scene: Scene): Promise<void> {
  const { transcript, controller } = scene;
  const last = await spawn(scene, 'bob');
  const before = await podUid(scene, 'bob');
  const url = (await controller.api.get('bob'))?.internal_url ?? '';
  await controller.kill('SIGKILL');
  transcript.hold('the lab answers while the controller is dead', (await fetch(`${url}api`)).ok);
  controller.start();
  const { running, ms } = await controller.firstAnswer();
  transcript.hold('the first answer names the lab', running.includes('bob'), `${took(ms)} after the start`);
  transcript.hold('its pod is the same', (await podUid(scene, 'bob')) === before);
  const resumed = await follow(scene, 'bob', last?.id);
  transcript.hold(
    'the event stream resumes to a terminal event',
    resumed.last?.type === 'complete',
    describe(resumed.last),
  );
  await answers(scene, 'bob');
  await remove(scene, 'bob');
}

async function killedInSpawn(scene: Scene): Promise<void> {
  const { transcript, controller } = scene;
  transcript.hold('the create is accepted', (await controller.api.create('cyd')) === 201);
  let seen: StreamEvent | undefined;
  const ids = new Set<string | undefined>();
  try {
    for await (const event of controller.api.events('cyd')) {
      transcript.say(`  ${describe(event)}`);
      seen = event;
      ids.add(event.id);
      // The pod exists and has a node; its container is not up yet.
      if ((await podNode(scene, 'cyd')) !== undefined) break;
    }
  } finally {
    await controller.kill('SIGKILL');
  }
  transcript.say('killed; starting it again');
  controller.start();
  await controller.firstAnswer();
  const resumed = await follow(scene, 'cyd', seen?.id);
  transcript.hold(
    'the event stream resumes to a terminal event',
    resumed.last?.type === 'complete',
    describe(resumed.last),
  );
  transcript.hold('and repeats nothing', !resumed.all.some((event) => ids.has(event.id)));
  await answers(scene, 'cyd');
  await remove(scene, 'cyd');
}

async function killedAfterAccepting(scene: Scene): Promise<void> {
  const { transcript, controller } = scene;
  transcript.hold('the create is accepted', (await controller.api.create('dee')) === 201);
  await controller.kill('SIGKILL');
  controller.start();
  await controller.firstAnswer();
  const { ms } = await timed(() => status(scene, 'dee', (lab) => lab?.status === 'running', 60_000));
  transcript.hold('the lab comes up without another request', true, `${took(ms)} after the restart`);
  await answers(scene, 'dee');
  await remove(scene, 'dee');
}

async function badImage(scene: Scene): Promise<void> {
  const { transcript, controller, cluster } = scene;
  const image = cluster.labImage.replace(/:[^:/]*$/, ':no-such-tag');
  transcript.hold('the create is accepted', (await controller.api.create('eve', image)) === 201);
  const { result, ms } = await timed(() => follow(scene, 'eve', undefined));
  transcript.hold('it is reported within 5 s', result.last?.type === 'failed' && ms < 5_000, took(ms));
  const lab = await controller.api.get('eve');
  transcript.hold('and the status says why', lab?.status === 'failed', `${lab?.reason}: ${lab?.message}`);
  const cleaned = await timed(() => gone(scene, 'eve', 30_000));
  transcript.hold('its pod and secrets go without a DELETE of the hub', true, took(cleaned.ms));
  await remove(scene, 'eve');
}

async function podDeleted(scene: Scene): Promise<void> {
  await spawn(scene, 'fay');
  await scene.cluster.client.delete(Pods, pods(scene, 'fay'), { gracePeriodSeconds: 0 });
  await failsWithinASecond(scene, 'fay');
  await remove(scene, 'fay');
}

async function podEvicted(scene: Scene): Promise<void> {
  await spawn(scene, 'gus');
  await scene.cluster.client.createSubresource(Pods, pods(scene, 'gus'), 'eviction', {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: pods(scene, 'gus'),
  });
  await failsWithinASecond(scene, 'gus');
  await remove(scene, 'gus');
}

async function failsWithinASecond(scene: Scene, username: string): Promise<void> {
  const { result, ms } = await timed(() => status(scene, username, (lab) => lab?.status === 'failed', 30_000));
  const why = `${took(ms)}: ${result?.reason}: ${result?.message}`;
  scene.transcript.hold(
    'the lab has failed within a second, with a reason',
    ms < 1_000 && Boolean(result?.reason),
    why,
  );
}

async function nothingLeft(scene: Scene): Promise<void> {
  const { transcript, cluster, controller } = scene;
  transcript.hold('no lab is listed', (await controller.api.running()).length === 0);
  const { ms } = await timed(() =>
    waitFor(
      'the namespaces to be collected',
      120_000,
      async () => {
        const { items } = await cluster.client.list(Namespaces, { labelSelector: LAB_LABEL, metadataOnly: true });
        const left = items.filter(({ metadata }) => metadata?.name?.startsWith(cluster.prefix));
        return left.length === 0 ? true : undefined;
      },
      500,
    ),
  );
  transcript.hold('the namespaces of the labs are collected after their retention', true, took(ms));
}

/** Creates a lab and follows its events to `complete`. */
async function spawn(scene: Scene, username: string): Promise<StreamEvent | undefined> {
  const { transcript, controller } = scene;
  const created = await timed(() => controller.api.create(username));
  transcript.hold(`create ${username} answers 201`, created.result === 201, took(created.ms));
  const { result, ms } = await timed(() => follow(scene, username, undefined));
  transcript.hold(`${username} is complete`, result.last?.type === 'complete', took(ms));
  return result.last;
}

async function follow(
  { controller, transcript }: Scene,
  username: string,
  lastEventId: string | undefined,
): Promise<{ all: StreamEvent[]; last: StreamEvent | undefined }> {
  const all: StreamEvent[] = [];
  const signal = AbortSignal.timeout(120_000);
  const options = lastEventId === undefined ? { signal } : { signal, lastEventId };
  for await (const event of controller.api.events(username, options)) {
    transcript.say(`  ${describe(event)}`);
    all.push(event);
  }
  return { all, last: all.at(-1) };
}

/** The lab answers as JupyterHub asks it, and lets its owner in, which means that it reached the hub. */
async function answers({ controller, hub, transcript }: Scene, username: string): Promise<void> {
  const url = (await controller.api.get(username))?.internal_url ?? '';
  let answer = 'nothing yet';
  const { result, ms } = await timed(() =>
    waitFor(`HTTP at ${url}`, 30_000, async () => {
      try {
        // A Service's rules may come a moment after its pod is ready, and what answers before them is somebody else:
        // each attempt has a connection of its own.
        const { statusCode, body } = await request(`${url}api`, { reset: true, signal: AbortSignal.timeout(1_000) });
        answer = `${statusCode}`;
        const text = await body.text();
        return statusCode === 200 ? (JSON.parse(text) as { version: string }) : undefined;
      } catch (error) {
        answer = String(error);
        return undefined;
      }
    }),
  ).catch((cause: unknown) => {
    throw new Error(`${String(cause)}; last answer: ${answer}`, { cause });
  });
  transcript.hold(
    `${username} answers HTTP at its internal_url`,
    true,
    `Jupyter Server ${result.version}, ${took(ms)}`,
  );
  const inside = await fetch(`${url}api/status`, { headers: { authorization: `token ${hub.tokenOf(username)}` } });
  transcript.hold(`${username} lets its owner in and nobody else`, inside.ok && !(await fetch(`${url}api/status`)).ok);
}

/** Deletes a lab: its pod and everything secret are gone when the answer comes. */
async function remove(scene: Scene, username: string): Promise<void> {
  const { result, ms } = await timed(() => scene.controller.api.delete(username));
  scene.transcript.hold(`delete ${username} answers 204`, result === 204, `${result} after ${took(ms)}`);
  const after = await timed(() => gone(scene, username, 10_000));
  scene.transcript.hold(`${username}'s pod and secrets are gone with that answer`, after.ms < 1_000, took(after.ms));
  scene.transcript.hold(`${username} is unknown`, (await scene.controller.api.get(username)) === undefined);
}

async function gone({ cluster }: Scene, username: string, timeoutMs: number): Promise<void> {
  const { namespace } = names(cluster, username);
  await waitFor(`the pod and the secrets of ${username} to go`, timeoutMs, async () => {
    const [pods, secrets] = await Promise.all([
      cluster.client.list(Pods, { namespace, metadataOnly: true }),
      cluster.client.list(Secrets, { namespace, metadataOnly: true }),
    ]);
    return pods.items.length + secrets.items.length === 0 ? true : undefined;
  });
}

async function status(
  { controller }: Scene,
  username: string,
  holds: (lab: LabView | undefined) => boolean,
  timeoutMs: number,
): Promise<LabView | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const lab = await controller.api.get(username);
    if (holds(lab)) return lab;
    if (performance.now() > deadline) throw new Error(`${username} is still ${lab?.status ?? 'unknown'}`);
    await delay(10);
  }
}

function names(cluster: RealCluster, username: string): ReturnType<typeof buildObjectNames> {
  const key = { username, servername: '' };
  return buildObjectNames(key, { namespace: `${cluster.prefix}-${labSlug(key)}` });
}

function pods({ cluster }: Scene, username: string): { namespace: string; name: string } {
  const { namespace, pod } = names(cluster, username);
  return { namespace, name: pod };
}

async function podUid(scene: Scene, username: string): Promise<string | undefined> {
  return (await scene.cluster.client.get(Pods, pods(scene, username)))?.metadata?.uid;
}

async function podNode(scene: Scene, username: string): Promise<string | undefined> {
  return (await scene.cluster.client.get(Pods, pods(scene, username)))?.spec?.nodeName;
}

function describe(event: StreamEvent | undefined): string {
  if (event === undefined) return 'no event';
  return `${event.type}${event.progress === undefined ? '' : ` ${event.progress} %`}: ${event.message}`;
}
