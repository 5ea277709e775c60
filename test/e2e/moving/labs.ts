import { request } from 'undici';
import { labSlug, LAB_LABEL } from '../../../src/domain/names.ts';
import { Pods } from '../../../src/storage/kubernetes/resources.ts';
import { LabApi } from '../../support/lab-api.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { RealCluster } from '../cluster.ts';
import type { FakeHub } from '../fake-hub.ts';
import type { Deployment } from '../hub/deployment.ts';
import { timed, took, type Transcript } from '../transcript.ts';
import type { Installation } from './installation.ts';
import type { SiteFacts } from './site.ts';

export interface MovingScene {
  readonly cluster: RealCluster;
  readonly deployment: Deployment;
  readonly hub: FakeHub;
  readonly installation: Installation;
  readonly facts: SiteFacts;
  readonly transcript: Transcript;
  /** As the hub. */
  api(): LabApi;
  /** As a user with a token of the user's own. */
  apiOf(username: string): LabApi;
  /** Takes up another connection, after the pods of the controller have been replaced. */
  connect(): Promise<void>;
}

const LONG_MS = 150_000;
type Options = Readonly<Record<string, unknown>>;

/** A client of Labwright for one caller. */
export function createApi(url: string, token: string, { hub, facts }: Pick<MovingScene, 'hub' | 'facts'>): LabApi {
  return new LabApi({ url, token, image: facts.labImage, size: 'small', env: (username) => hub.environment(username) });
}

/** Creates a lab and follows its events to the end. @throws Error when it does not come up */
export async function spawn(scene: MovingScene, username: string, options: Options): Promise<void> {
  const { transcript } = scene;
  const { result: answer, ms } = await timed(() => scene.api().ask(username, options));
  transcript.hold(`create ${username} with ${JSON.stringify(options)} answers 201`, answer.status === 201, took(ms));
  if (answer.status !== 201) throw new Error(`No lab: ${answer.status} ${answer.text}`);
  let last = 'no event';
  const { ms: duration } = await timed(async () => {
    for await (const { type, message } of scene.api().events(username, { signal: AbortSignal.timeout(LONG_MS) })) {
      last = `${type}: ${message}`;
    }
  });
  transcript.hold(`${username} is complete`, last.startsWith('complete'), `${took(duration)}, ${last}`);
  if (!last.startsWith('complete')) throw new Error(`No lab: ${last}`);
}

/** Deletes a lab: its pod is gone with the answer. */
export async function stop(scene: MovingScene, username: string): Promise<void> {
  const { result, ms } = await timed(() => scene.api().delete(username));
  const pod = await findPod(scene, username);
  scene.transcript.hold(`delete ${username} answers 204, and its pod is gone`, result === 204 && !pod, took(ms));
}

/** The pod of a user's lab, wherever it is. */
export async function findPod({ cluster }: MovingScene, username: string) {
  const labelSelector = `${LAB_LABEL}=${labSlug({ username, servername: '' })}`;
  const { items } = await cluster.client.list(Pods, { labelSelector });
  return items.find(({ metadata }) => metadata?.namespace?.startsWith(cluster.prefix));
}

/** @throws Error when there is none */
export async function podOf(scene: MovingScene, username: string) {
  const pod = await findPod(scene, username);
  const { name, namespace, uid } = pod?.metadata ?? {};
  if (pod === undefined || name === undefined || namespace === undefined) throw new Error(`${username} has no pod`);
  return { pod, name, namespace, uid };
}

/** What a shell prints in the lab's own container, both outputs. */
export async function inLab(scene: MovingScene, username: string, script: string): Promise<string> {
  const { name, namespace } = await podOf(scene, username);
  const shell = ['--', 'sh', '-c', `exec 2>&1; ${script}`];
  const where = ['-n', namespace, 'exec', name, '-c', 'notebook'];
  return (await scene.deployment.kubectl(...where, ...shell)).trim();
}

/** Waits until JupyterLab answers its owner, who writes a file with its contents API. @returns the status of the answer */
export async function writeFile(
  scene: MovingScene,
  username: string,
  file: { readonly name: string; readonly content: string },
): Promise<number> {
  const url = await answers(scene, username);
  const { statusCode, body } = await request(`${url}api/contents/${file.name}`, {
    method: 'PUT',
    reset: true,
    headers: { authorization: `token ${scene.hub.tokenOf(username)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'file', format: 'text', content: file.content }),
  });
  await body.dump();
  return statusCode;
}

/** Waits until JupyterLab answers at the address that the hub is told. @returns that address */
export async function answers(scene: MovingScene, username: string): Promise<string> {
  const url = (await scene.api().get(username))?.internal_url ?? '';
  await waitFor(`HTTP at ${url}`, 60_000, () => isAnswered(`${url}api`), 100);
  return url;
}

async function isAnswered(url: string): Promise<true | undefined> {
  try {
    const { statusCode, body } = await request(url, { reset: true, signal: AbortSignal.timeout(2_000) });
    await body.dump();
    return statusCode === 200 ? true : undefined;
  } catch {
    return undefined;
  }
}
