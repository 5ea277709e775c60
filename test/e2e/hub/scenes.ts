import { buildObjectNames } from '../../../src/domain/lab/object-names.ts';
import { LAB_LABEL, labSlug } from '../../../src/domain/names.ts';
import { Namespaces, Pods, Secrets } from '../../../src/storage/kubernetes/resources.ts';
import { waitFor } from '../../support/wait-for.ts';
import { takeFindings, watchText } from '../../support/canary.ts';
import type { RealCluster } from '../cluster.ts';
import { timed, took, type Transcript } from '../transcript.ts';
import type { People, Person } from './browser.ts';
import { type Controller, PATH_PREFIX } from './controller.ts';
import type { RealHub } from './real-hub.ts';

export interface HubScene {
  readonly cluster: RealCluster;
  readonly hub: RealHub;
  readonly people: People;
  readonly controller: Controller;
  readonly transcript: Transcript;
}

const LONG_MS = 150_000;

/** What is tried, in this order, each part with a person of its own. */
export const hubScenes: Readonly<Record<string, (scene: HubScene) => Promise<void>>> = {
  'a day at the hub': aDay,
  'an image that does not exist': mistypedImage,
  'Labwright is killed in the middle of a spawn': controllerKilledInSpawn,
  'Labwright is killed in the middle of a stop': controllerKilledInStop,
  'the hub is restarted in the middle of a spawn': hubRestartedInSpawn,
  'both are killed in the middle of a spawn': bothKilledInSpawn,
  'a spawn is cancelled': cancelled,
  "Labwright's own page": ownPage,
  'what the hub wrote': hubLog,
  'nothing is left': nothingLeft,
};

async function aDay(scene: HubScene): Promise<void> {
  const { transcript, people } = scene;
  await as(people, 'ada', async (ada) => {
    await ada.login();
    await ada.picture('home');
    await ada.requestLab('small');
    await ada.page.waitForSelector('#progress-message');
    await seeProgress(scene, ada);
    const { ms } = await timed(() => ada.seeJupyterLab());
    await ada.picture('jupyterlab');
    transcript.hold('the progress page leads into JupyterLab', true, took(ms));
    const printed = await ada.runInKernel('print(1+1)');
    await ada.picture('kernel');
    transcript.hold('a kernel answers over the WebSocket of the proxy', printed === '2', printed);

    await ada.requestLab('large', 'second');
    await ada.seeJupyterLab();
    await ada.picture('named-server');
    transcript.hold('a named server opens beside it', (await podPhase(scene, 'ada', 'second')) === 'Running');
    await ada.page.goto(`${scene.hub.url}/hub/home`);
    await ada.picture('two-servers');
    await ada.stop('second');
    await ada.stop();
    await ada.picture('stopped');
    transcript.hold('both are gone from the cluster when the hub says so', await isGone(scene, 'ada', ['', 'second']));
  });
}

/** Sees that the page fills with what Kubernetes says, in order. */
async function seeProgress({ transcript }: HubScene, person: Person): Promise<void> {
  await person.page
    .locator('#progress-log .progress-log-event')
    .nth(2)
    .waitFor({ state: 'attached', timeout: LONG_MS });
  await person.page.click('#progress-details summary').catch(() => undefined);
  await person.picture(`progress-${person.username}`);
  const lines = await person.page.locator('#progress-log .progress-log-event').allInnerTexts();
  transcript.hold('the progress page tells what happens', lines.length >= 3, lines.slice(0, 3).join(' / '));
}

async function mistypedImage(scene: HubScene): Promise<void> {
  const { transcript, people, hub } = scene;
  await as(people, 'eve', async (eve) => {
    await eve.login();
    await eve.page.goto(`${hub.url}/hub/spawn/eve`);
    await eve.page.fill('input[name=image_name]', scene.cluster.labImage.replace('lab:1', 'lap:1'));
    await eve.page.click('#spawn_form [type=submit]');
    const { ms } = await timed(() => eve.page.getByText('Choose another image').first().waitFor({ timeout: LONG_MS }));
    await eve.picture('mistyped-image');
    const text = await eve.page.innerText('body');
    const sentence = text.split('\n').find((line) => line.includes('Choose another image')) ?? '';
    transcript.hold(
      'the page says within seconds what is wrong',
      sentence !== '' && ms < 30_000,
      `${took(ms)}: ${sentence}`,
    );
    transcript.hold('and shows no raw answer of an API', !/[{}]|apiVersion|Traceback/.test(sentence));
  });
}

async function controllerKilledInSpawn(scene: HubScene): Promise<void> {
  const { transcript, people, controller } = scene;
  await as(people, 'bob', async (bob) => {
    await bob.login();
    await bob.requestLab('small');
    await podAppears(scene, 'bob');
    const { ms } = await timed(() => controller.kill());
    transcript.say(`   killed; the next one is ready after ${took(ms)}`);
    await bob.seeJupyterLab();
    transcript.hold('the page that was open leads into JupyterLab', true);
    transcript.hold('with the pod there was', (await podRestarts(scene, 'bob')) === 0);
    await bob.stop();
  });
}

async function controllerKilledInStop(scene: HubScene): Promise<void> {
  const { transcript, people, controller, hub } = scene;
  await as(people, 'cyd', async (cyd) => {
    await cyd.login();
    await cyd.requestLab('small');
    await cyd.seeJupyterLab();
    await cyd.page.goto(`${hub.url}/hub/home`);
    await cyd.page.click('#stop');
    await waitFor('the pod to be deleted', LONG_MS, async () => {
      const pod = await findPod(scene, 'cyd');
      return pod === undefined || pod.metadata?.deletionTimestamp !== undefined ? true : undefined;
    });
    await controller.kill();
    await stopped(hub, 'cyd');
    transcript.hold('the stop comes to its end', await isGone(scene, 'cyd'));
    await cyd.requestLab('small');
    await cyd.seeJupyterLab();
    transcript.hold('and the lab can be started again', true);
    await cyd.stop();
  });
}

async function hubRestartedInSpawn(scene: HubScene): Promise<void> {
  const { people, hub } = scene;
  await as(people, 'dan', async (dan) => {
    await dan.login();
    await dan.requestLab('small');
    await podAppears(scene, 'dan');
    await hub.restart();
    await endsWell(scene, dan, 'after the hub came back');
  });
}

async function bothKilledInSpawn(scene: HubScene): Promise<void> {
  const { people, hub, controller } = scene;
  await as(people, 'fay', async (fay) => {
    await fay.login();
    await fay.requestLab('small');
    await podAppears(scene, 'fay');
    await Promise.all([hub.restart(), controller.kill()]);
    await endsWell(scene, fay, 'after both came back');
  });
}

/**
 * The user ends with a working lab. While the hub looks at its servers its page says so and does not follow them, so the
 * user does what it says: looks again, and starts the lab when there is none.
 */
async function endsWell(scene: HubScene, person: Person, when: string): Promise<void> {
  const { transcript, hub } = scene;
  const { page, username } = person;
  const { ms } = await timed(() =>
    waitFor('a working lab', LONG_MS, () => looksAgain(scene, person, `${hub.url}/hub/user/${username}/lab`), 2000),
  );
  await person.picture(`lab-${username}-${when.replaceAll(' ', '-')}`);
  const printed = await person.runInKernel('print(6*7)');
  transcript.hold(`${username} has a working lab ${when}`, printed === '42', took(ms));
  await page.waitForTimeout(1000);
  await person.stop();
}

async function looksAgain({ transcript }: HubScene, person: Person, address: string): Promise<true | undefined> {
  const { page, username } = person;
  await page.goto(address);
  if (page.url().includes(`/user/${username}/lab`) && !page.url().includes('/hub/')) {
    return (await page.waitForSelector('.jp-Launcher', { timeout: LONG_MS })) !== null || undefined;
  }
  const text = (await page.innerText('.container').catch(() => '')).replaceAll(/\s+/g, ' ').trim();
  transcript.say(`   the page says: ${text.slice(0, 120)}`);
  await person.picture(`waiting-${username}`);
  if (/Launch Server|not running/.test(text)) await person.requestLab('small');
  return undefined;
}

async function cancelled(scene: HubScene): Promise<void> {
  const { transcript, people, hub } = scene;
  await as(people, 'gus', async (gus) => {
    await gus.login();
    await gus.requestLab('small');
    await podAppears(scene, 'gus');
    await hub.api.stopServer('gus');
    await stopped(hub, 'gus');
    await waitFor('the lab to be gone', LONG_MS, async () => ((await isGone(scene, 'gus')) ? true : undefined), 200);
    transcript.hold('a cancelled spawn leaves no lab', true);
  });
}

/** What the hub logs as an error, and why that is none here. */
const EXPECTED_IN_HUB_LOG = [
  // the image that does not exist
  /Not starting eve's server/,
  // a spawn that is cancelled has no route yet, and the hub removes it all the same
  /api_request to proxy failed: 404/,
];

async function hubLog({ transcript, hub, controller }: HubScene): Promise<void> {
  const lines = (await hub.log()).split('\n');
  const errors = lines.filter((line) => /^\[[EC] /.test(line) || /poll/i.test(line));
  const surprising = errors.filter((line) => !EXPECTED_IN_HUB_LOG.some((pattern) => pattern.test(line)));
  transcript.hold(
    'the log of the hub has no failed poll and no other error',
    surprising.length === 0,
    surprising.slice(0, 5).join('\n'),
  );
  const log = await controller.log();
  watchText(log, 'the log of Labwright');
  const own = log.split('\n').filter((line) => line.startsWith('{'));
  const entries = own.map((line) => JSON.parse(line) as { level: number; msg: string; status?: number });
  const failed = entries.filter(({ level, status = 0 }) => level >= 50 || status >= 500);
  transcript.hold(
    'Labwright logged no error and answered nothing with 5xx',
    failed.length === 0,
    JSON.stringify(failed.slice(0, 3)),
  );
  // The canaries are the credentials of hub, proxy and service.
  const findings = takeFindings();
  transcript.hold('no planted credential is in the log of Labwright', findings.length === 0, findings.join('\n'));
}

async function ownPage({ transcript, people, hub }: HubScene): Promise<void> {
  await as(people, 'ivy', async (ivy) => {
    const { page } = ivy;
    await page.goto(`${hub.url}${PATH_PREFIX}/account`);
    await ivy.fillInLogin();
    await page.waitForURL((url) => url.pathname === `${PATH_PREFIX}/account`);
    transcript.hold(
      "Labwright's own page lets a person in through the hub",
      (await page.innerText('body')).includes('ivy'),
    );
    await ivy.requestLab('small');
    await ivy.seeJupyterLab();
    await page.goto(`${hub.url}${PATH_PREFIX}/account`);
    await ivy.picture('account');
    await page.getByRole('button', { name: /stop/i }).first().click();
    await waitFor(
      'the page to say that the lab is gone',
      LONG_MS,
      async () => {
        await page.goto(`${hub.url}${PATH_PREFIX}/account`);
        return (await page.getByRole('button', { name: /^stop/i }).count()) === 0 ? true : undefined;
      },
      1000,
    );
    await ivy.picture('account-stopped');
    transcript.hold('a lab is stopped from there', true);
    await page.getByRole('button', { name: /log ?out/i }).click();
    await ivy.picture('account-logged-out');
    await page.goto(`${hub.url}/hub/home`);
  });
}

async function nothingLeft({ transcript, cluster, hub }: HubScene): Promise<void> {
  const kept = { labelSelector: LAB_LABEL };
  const left = await waitFor('the last objects to go', LONG_MS, async () => {
    const pods = (await cluster.client.list(Pods, kept)).items.filter(({ metadata }) =>
      isOfThisRun(metadata?.namespace),
    );
    const secrets = (await cluster.client.list(Secrets, kept)).items.filter(({ metadata }) =>
      isOfThisRun(metadata?.namespace),
    );
    return pods.length + secrets.length === 0 ? 'nothing' : undefined;
  }).catch((error: unknown) => String(error));
  transcript.hold('no pod and no Secret of a lab is left', left === 'nothing', left);
  transcript.hold('no namespace of a lab is left', (await namespacesGone()) === true);
  transcript.hold('the hub knows no server', (await hub.api.activeServers()) === 0);

  function isOfThisRun(namespace = ''): boolean {
    return namespace.startsWith(cluster.prefix);
  }

  function namespacesGone(): Promise<boolean> {
    return waitFor('the namespaces to be collected', LONG_MS, async () => {
      const { items } = await cluster.client.list(Namespaces, kept);
      return items.some(({ metadata }) => isOfThisRun(metadata?.name)) ? undefined : true;
    });
  }
}

async function as(people: People, username: string, act: (person: Person) => Promise<void>): Promise<void> {
  const person = await people.person(username);
  try {
    await act(person);
  } catch (error) {
    await person.picture(`failed-${username}`);
    throw error;
  } finally {
    await person.close();
  }
}

async function stopped(hub: RealHub, username: string): Promise<void> {
  const ask = async () => ((await hub.api.isStopped(username)) ? true : undefined);
  await waitFor('the hub to say that it has stopped', LONG_MS, ask, 500);
}

function findPod({ cluster }: HubScene, username: string, servername = '') {
  const key = { username, servername };
  const { namespace, pod } = buildObjectNames(key, { namespace: `${cluster.prefix}-${labSlug(key)}` });
  return cluster.client.get(Pods, { namespace, name: pod });
}

async function podPhase(scene: HubScene, username: string, servername = ''): Promise<string | undefined> {
  return (await findPod(scene, username, servername))?.status?.phase;
}

async function podRestarts(scene: HubScene, username: string): Promise<number | undefined> {
  return (await findPod(scene, username))?.status?.containerStatuses?.[0]?.restartCount;
}

async function podAppears(scene: HubScene, username: string): Promise<void> {
  await waitFor(`the pod of ${username}`, LONG_MS, async () => (await findPod(scene, username))?.spec?.nodeName);
}

async function isGone(scene: HubScene, username: string, servernames: readonly string[] = ['']): Promise<boolean> {
  const pods = await Promise.all(servernames.map((servername) => findPod(scene, username, servername)));
  return pods.every((pod) => pod === undefined);
}
