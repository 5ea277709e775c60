import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import { follow, holdReady, holdStream, linesOf, logOf } from './following.ts';
import { createLab, deleteLab, followLab, holdLab, holdLabStream } from './labs.ts';
import { cleanedUp, podOf } from './objects.ts';
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
  // At once, while it does not know yet how far the build is.
  const reading = follow(scene, labwright, id, { lastEventId: before.last?.id });
  const found = await timed(() =>
    waitFor('the build to be known', 10_000, async () =>
      (await labwright.builds.get(id)).state.phase === 'building' ? true : undefined,
    ),
  );
  transcript.hold('the next controller knows that it is building', true, took(found.ms));
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

/** Killed right after it has said yes, and again until the build is over. */
export async function controllerAway(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage, labwright } = scene;
  const { url } = await git.addRepository(
    'ada/away',
    repositoryOf(baseImage, [gates.pass('away'), 'echo "nobody hears"']),
  );
  const { status, state } = await labwright.builds.request({ repository: url });
  await labwright.process.kill('SIGKILL');
  transcript.hold('the build is accepted, and the controller killed', status === 201);
  labwright.process.start();
  await gates.reached('away');
  transcript.hold('the next one goes on without another request', true);
  await labwright.process.kill('SIGKILL');
  gates.open('away');
  await waitFor('the end of the pod', 60_000, async () =>
    (await podOf(scene, labwright, state.id)).status?.phase === 'Succeeded' ? true : undefined,
  );
  transcript.say('  the build has ended with nobody there');
  labwright.process.start();
  await labwright.process.firstAnswer();
  const { events, last } = await follow(scene, labwright, state.id);
  holdStream(transcript, 'the build', events);
  await holdReady(scene, 'the build', { last, state: (await labwright.builds.get(state.id)).state });
  transcript.hold('what it said with nobody there is told', logOf(events).includes('nobody hears'));
  await cleanedUp(scene, labwright, state.id);
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
