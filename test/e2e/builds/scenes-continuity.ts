import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import { build, describe, follow, holdReady, holdStream, linesOf } from './following.ts';
import { createLab, deleteLab, followLab, holdLab, holdLabStream } from './labs.ts';
import { cleanedUp, jobsOf, leftovers, podOf, podsOf } from './objects.ts';
import { greeting, labRepository, repositoryOf } from './repositories.ts';
import type { BuildScene } from './setting.ts';

/** Killed while a build runs, which goes on without it. */
export async function controllerKilled(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage, labwright } = scene;
  const say = (what: string) => `for i in $(seq 1 200); do echo "${what} $i"; done`;
  const { url } = await git.addRepository(
    'ada/long',
    repositoryOf(baseImage, [
      say('before'),
      gates.pass('long-1'),
      say('meanwhile'),
      gates.pass('long-2'),
      say('after'),
    ]),
  );
  const { status, state } = await labwright.builds.request({ repository: url });
  transcript.hold('the build begins', status === 201);
  const { id } = state;
  const isAtGate = ({ text = '' }: { text?: string | undefined }) => text.trim() === 'at the gate long-1';
  const before = await follow(scene, labwright, id, { isEnough: isAtGate });
  await gates.reached('long-1');
  const uid = (await podOf(scene, labwright, id)).metadata?.uid;
  await labwright.process.kill('SIGKILL');
  transcript.say(`  killed after ${before.events.length} events; the build goes on`);
  gates.open('long-1');
  await gates.reached('long-2');
  labwright.process.start();
  const { ms } = await labwright.process.firstAnswer();
  transcript.say(`  started again, answers after ${took(ms)}`);
  const found = await timed(() =>
    waitFor('the build', 10_000, async () => {
      const answer = await labwright.builds.get(id);
      return answer.status === 200 ? answer.state : undefined;
    }),
  );
  transcript.hold(
    'the next controller knows the build',
    found.result.phase === 'building',
    `${found.result.phase}, ${took(found.ms)}`,
  );
  const reading = follow(scene, labwright, id, { lastEventId: before.last?.id });
  gates.open('long-2');
  const after = await reading;
  const events = [...before.events, ...after.events];
  holdStream(transcript, 'a reader that came back', events);
  const texts = linesOf(events).map(({ text = '' }) => text.trim());
  for (const what of ['before', 'meanwhile', 'after']) {
    const counted = texts.filter((text) => text.startsWith(`${what} `));
    const isWhole = counted.length === 200 && counted.every((text, at) => text === `${what} ${at + 1}`);
    transcript.hold(`it has the 200 lines "${what}" once and in order`, isWhole, `${counted.length}`);
  }
  await holdReady(scene, 'the build', { last: after.last, state: (await labwright.builds.get(id)).state });
  const whole = await follow(scene, labwright, id);
  const wholeTexts = linesOf(whole.events).map(({ text = '' }) => text.trim());
  transcript.hold(
    'who reads it from the beginning gets the same lines',
    wholeTexts.join('\n') === texts.join('\n'),
    `${wholeTexts.length}`,
  );
  transcript.hold('in the one pod', (await podOf(scene, labwright, id)).metadata?.uid === uid);
  await cleanedUp(scene, labwright, id);
}

/** Killed while a lab waits for its image. */
export async function labSurvivesRestart(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, labImage, labwright } = scene;
  const hello = greeting('Hello from a lab that waited');
  const { url } = await git.addRepository(
    'ada/waiting',
    labRepository(labImage, hello, [gates.pass('lab'), 'echo "and on it goes"']),
  );
  await createLab(scene, 'cyd', { image_repo: url });
  const before = await followLab(scene, 'cyd', { isEnough: ({ message }) => /^STEP \d+.*curl/.test(message) });
  await gates.reached('lab');
  await labwright.process.kill('SIGKILL');
  transcript.say('  killed; starting it again');
  labwright.process.start();
  await labwright.process.firstAnswer();
  const reading = followLab(scene, 'cyd', { lastEventId: before.at(-1)?.id });
  gates.open('lab');
  const after = await reading;
  holdLabStream(scene, 'cyd', [...before, ...after]);
  const ids = new Set(before.map(({ id }) => id));
  transcript.hold('it repeats nothing', !after.some(({ id }) => ids.has(id)));
  await holdLab(scene, 'cyd', hello);
  await deleteLab(scene, 'cyd');
}

/** A cancelled build stops, and its readers are told. */
export async function cancelled(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage, labwright } = scene;
  const { url } = await git.addRepository('ada/cancelled', repositoryOf(baseImage, [gates.pass('cancelled')]));
  const { state } = await labwright.builds.request({ repository: url });
  const reading = follow(scene, labwright, state.id);
  await gates.reached('cancelled');
  const { result, ms } = await timed(() => labwright.builds.cancel(state.id));
  transcript.hold('the cancel is accepted', result.status === 202, `${result.status} after ${took(ms)}`);
  const { events, last } = await reading;
  holdStream(transcript, 'the cancelled build', events);
  transcript.hold('its readers are told', last?.type === 'cancelled' && last.reason === 'Cancelled', describe(last));
  const gone = await timed(() => cleanedUp(scene, labwright, state.id));
  transcript.hold('its pod and its Secret go, its place is free', true, took(gone.ms));
  gates.open('cancelled');
  const again = await build(scene, url);
  await holdReady(scene, 'asked for again, it', again);
}

/** A build that nobody reads does not run for nobody. */
export async function abandoned(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage } = scene;
  const labwright = await scene.another('abandoned', { abandonAfter: '5s', retention: '20s' });
  const { url } = await git.addRepository('ada/abandoned', repositoryOf(baseImage, [gates.pass('abandoned')]));
  const { state } = await labwright.builds.request({ repository: url });
  const start = performance.now();
  const ended = await waitFor(
    'its end',
    90_000,
    async () => {
      const now = (await labwright.builds.get(state.id)).state;
      return now.phase === 'cancelled' || now.phase === 'failed' ? now : undefined;
    },
    200,
  );
  const isAbandoned = ended.phase === 'cancelled' && ended.reason === 'Abandoned';
  transcript.hold(
    'a build without readers is cancelled',
    isAbandoned,
    `${took(performance.now() - start)}: ${ended.message}`,
  );
  await cleanedUp(scene, labwright, state.id);
}

/** Of all that was built no pod runs, no Secret is there and no place is taken; the Jobs go after their retention. */
export async function nothingLeft(scene: BuildScene): Promise<void> {
  const { transcript, labwright, cluster } = scene;
  const left = await leftovers(scene, labwright);
  transcript.hold('no pod runs, no Secret is there, no slot is taken', left.length === 0, left.join(', '));
  const short = { ...labwright, buildNamespace: `${cluster.prefix}-abandoned-builds` };
  const { ms } = await timed(() =>
    waitFor('the Jobs to go', 120_000, async () => ((await jobsOf(scene, short)).length === 0 ? true : undefined), 250),
  );
  transcript.hold(
    'Jobs and pods of finished builds go after their retention',
    (await podsOf(scene, short)).length === 0,
    took(ms),
  );
}
