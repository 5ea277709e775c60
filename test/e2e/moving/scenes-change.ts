import { stringify } from 'yaml';
import { LAB_LABEL } from '../../../src/domain/names.ts';
import {
  Namespaces,
  PersistentVolumeClaims,
  Pods,
  Secrets,
  Services,
} from '../../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import { askReplica, type Replica } from './installation.ts';
import { answers, type MovingScene, podOf, spawn, stop } from './labs.ts';
import { grownSite, HOMES_CLAIM, perLabSite, sharedSite } from './site.ts';

/** The kubelet looks at mounted ConfigMaps about once a minute. */
const KUBELET_MS = 180_000;
const LONG_MS = 120_000;
const REFUSED = 'the changed configuration cannot be used; the one before goes on';

/** A changed file holds without a start; a bad one is refused and changes nothing. */
export async function reloadScene(scene: MovingScene): Promise<void> {
  const { transcript, installation, facts } = scene;
  await spawn(scene, 'ada', { profile: 'plain' });
  const [replicas, before] = await Promise.all([installation.replicas(), podOf(scene, 'ada')]);
  transcript.hold('there are two replicas', replicas.length === 2, replicas.map(({ name }) => name).join(' '));
  const isOffered = (form: string) => form.includes('A large one');
  const isOld = await everyForm(scene, replicas, (form) => form.includes('Plain') && !isOffered(form));
  transcript.hold('no form has the new size yet', isOld === true);

  await installation.writeConfig(stringify(grownSite(facts)));
  const taken = await timed(() =>
    waitFor('the new size in all forms', KUBELET_MS, () => everyForm(scene, replicas, isOffered), 1000),
  );
  transcript.hold('the form of every replica has the new size', true, `${took(taken.ms)} after the change`);

  await installation.writeConfig('lab: { sizes: none');
  const refused = await timed(() =>
    waitFor('the bad file to be refused', KUBELET_MS, () => everyNotice(replicas, /cannot be used/), 1000),
  );
  transcript.hold('a file that is none is refused by every replica', true, `${took(refused.ms)} after the change`);
  transcript.hold(
    'which are ready, and go on with the one before',
    (await everyForm(scene, replicas, isOffered)) === true,
  );
  transcript.hold('the log says what is wrong with it', (await installation.log()).includes(REFUSED));
  await installation.writeConfig(stringify(grownSite(facts)));
  const mended = await timed(() =>
    waitFor('the file to be mended', KUBELET_MS, () => everyNotice(replicas, undefined), 1000),
  );
  transcript.hold('once it is mended nothing is noted any more', true, `${took(mended.ms)} after the change`);

  const same = await installation.replicas();
  const isSame = same.every(({ uid, restarts }) => restarts === 0 && replicas.some((replica) => replica.uid === uid));
  transcript.hold('the pods of Labwright are the same, and none has been started again', isSame && same.length === 2);
  const { uid } = await podOf(scene, 'ada');
  await answers(scene, 'ada');
  transcript.hold('the lab that ran has its pod and answers', uid === before.uid);
  await spawn(scene, 'mia', { profile: 'plain', size: 'large' });
  const { pod } = await podOf(scene, 'mia');
  const cpu = pod.spec?.containers[0]?.resources?.limits?.['cpu'];
  transcript.hold('a lab of the new size has its limits', cpu === '2', cpu);
  await Promise.all(['ada', 'mia'].map((username) => stop(scene, username)));
}

/** Switched to the other mode and back, with the rights that one needs: labs that run stay where they are. */
export async function otherModeScene(scene: MovingScene): Promise<void> {
  const { transcript, installation, facts, cluster } = scene;
  const install = async (config: object, what: string): Promise<void> => {
    const { ms } = await timed(() => installation.apply(config));
    await scene.connect();
    transcript.say(`   ${what} after ${took(ms)}`);
  };
  await installation.grantCluster();
  await install(perLabSite(facts, `${cluster.prefix}-lab`), 'installed with a namespace for each lab');
  await Promise.all(['ada', 'mia'].map((username) => spawn(scene, username, { profile: 'plain' })));
  const own = await podOf(scene, 'ada');
  transcript.hold('ada has a namespace of its own', own.namespace === `${cluster.prefix}-lab-ada`, own.namespace);

  await install(sharedSite(facts), 'installed with one namespace for all labs');
  await stays(scene, 'ada', own.uid);
  await spawn(scene, 'bob.b', { profile: 'plain' });
  const shared = await podOf(scene, 'bob.b');
  transcript.hold('bob.b is in the shared one', shared.namespace === facts.namespace, shared.namespace);
  await stop(scene, 'mia');

  await install(perLabSite(facts, `${cluster.prefix}-lab`), 'installed with a namespace for each lab again');
  await stays(scene, 'ada', own.uid);
  await stays(scene, 'bob.b', shared.uid);
  await stop(scene, 'bob.b');
  await stop(scene, 'ada');
  await nothingLeft(scene);
  const ask = async () => ((await ownNamespaces(scene)) === '' ? 'none' : undefined);
  const left = await waitFor('the namespaces of labs to go', LONG_MS, ask, 200).catch(() => ownNamespaces(scene));
  transcript.hold('no namespace of a lab is left', left === 'none', left);
}

/** Of labs, that is; what the site has made stays. */
export async function nothingLeft(scene: MovingScene): Promise<void> {
  const { transcript, installation, facts, cluster } = scene;
  transcript.hold('no lab is listed', (await scene.api().running()).length === 0);
  const { result, ms } = await timed(() =>
    waitFor(
      'what belongs to labs to go',
      LONG_MS,
      async () => ((await leftOf(scene)) === '' ? 'nothing' : undefined),
      200,
    ).catch(async () => leftOf(scene)),
  );
  transcript.hold('no pod, Service or Secret of a lab is left', result === 'nothing', `${result}, ${took(ms)}`);
  const claim = await cluster.client.get(PersistentVolumeClaims, { namespace: facts.namespace, name: HOMES_CLAIM });
  transcript.hold('the claim of the site is there', claim?.status?.phase === 'Bound', claim?.status?.phase);
  const own = (await installation.log()).split('\n').filter((line) => line.startsWith('{'));
  const entries = own.map((line) => JSON.parse(line) as { level: number; msg: string; status?: number });
  const failed = entries.filter(({ level, status = 0, msg }) => (level >= 50 && msg !== REFUSED) || status >= 500);
  transcript.hold('Labwright logged no other error', failed.length === 0, JSON.stringify(failed.slice(0, 3)));
}

async function leftOf({ cluster }: MovingScene): Promise<string> {
  const kinds = [Pods, Services, Secrets] as const;
  const lists = await Promise.all(
    kinds.map((kind) => cluster.client.list<object>(kind, { labelSelector: LAB_LABEL, metadataOnly: true })),
  );
  const left = lists.flatMap(({ items }) => items as { metadata?: { name?: string; namespace?: string } }[]);
  return left
    .filter(({ metadata }) => metadata?.namespace?.startsWith(cluster.prefix))
    .map(({ metadata }) => metadata?.name)
    .join(' ');
}

/** Of labs that do not share one. */
async function ownNamespaces({ cluster }: MovingScene): Promise<string> {
  const { items } = await cluster.client.list(Namespaces, { labelSelector: LAB_LABEL, metadataOnly: true });
  const names = items.map(({ metadata }) => metadata?.name ?? '');
  return names.filter((name) => name.startsWith(cluster.prefix)).join(' ');
}

async function stays(scene: MovingScene, username: string, uid: string | undefined): Promise<void> {
  const listed = await scene.api().running();
  const now = await podOf(scene, username);
  await answers(scene, username);
  scene.transcript.hold(`${username} runs on, with the same pod`, listed.includes(username) && now.uid === uid);
}

async function everyForm(
  scene: MovingScene,
  replicas: readonly Replica[],
  holds: (form: string) => boolean,
): Promise<true | undefined> {
  const path = '/labwright/spawner/v1/lab-form/ada';
  const forms = await Promise.all(replicas.map((replica) => askReplica(replica, path, scene.facts.tokens.hub)));
  return forms.every((form) => form.status === 200 && holds(form.text)) ? true : undefined;
}

/** Whether all are ready and have this, or nothing, to say of their configuration. */
async function everyNotice(replicas: readonly Replica[], expected: RegExp | undefined): Promise<true | undefined> {
  const states = await Promise.all(replicas.map((replica) => askReplica(replica, '/readyz')));
  const isExpected = states.every(({ status, text }) => {
    const { components } = JSON.parse(text) as { components: { component: string; notice?: string }[] };
    const notice = components.find(({ component }) => component === 'configuration')?.notice;
    return status === 200 && (expected === undefined ? notice === undefined : expected.test(notice ?? ''));
  });
  return isExpected ? true : undefined;
}
