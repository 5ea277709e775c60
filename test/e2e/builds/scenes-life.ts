import { timed, took } from '../transcript.ts';
import { build, describe, follow, holdReady, holdStream, linesOf, logOf } from './following.ts';
import { createLab, deleteLab, followLab, holdLab, holdLabStream } from './labs.ts';
import { cleanedUp, jobsOf, podLog, podOf, podsOf } from './objects.ts';
import { greeting, labRepository, moveBranch, repositoryOf } from './repositories.ts';
import type { BuildScene } from './setting.ts';

const STAGES = ['Looking for', 'Queued', 'Cloning', 'STEP 1/', 'Pushing', 'pulling'];
const HELLO = greeting('Hello from a repository');

/** A build is asked for and followed; what it has said can be read again, and is what its pod wrote. */
export async function publicRepository(scene: BuildScene): Promise<void> {
  const { transcript, git, labImage, labwright } = scene;
  const steps = [
    'for i in $(seq 1 500); do echo "line $i of the step"; done',
    'echo "no newline at the end \\303\\050"',
  ];
  const { url } = await git.addRepository('ada/notebooks', labRepository(labImage, HELLO, steps));
  const built = await build(scene, url);
  holdStream(transcript, 'the build', built.events);
  await holdReady(scene, 'the build', built);
  const texts = linesOf(built.events).map(({ text }) => text?.trimEnd());
  const counted = texts.filter((text) => /^line \d+ of the step$/.test(text ?? ''));
  transcript.hold(
    'all 500 lines of its step are there, in order',
    counted.every((text, at) => text === `line ${at + 1} of the step`) && counted.length === 500,
    `${counted.length}`,
  );
  const log = await labwright.builds.log(built.id);
  transcript.hold('its log is what the events said', log === logOf(built.events), `${log.length} characters`);
  const written = await podLog(scene, labwright, await podOf(scene, labwright, built.id));
  const lines = written.split('\n').filter((line) => line !== '').length;
  transcript.hold('and has every line that its pod wrote', lines === linesOf(built.events).length, `${lines} lines`);
  const again = await follow(scene, labwright, built.id);
  const isSame = JSON.stringify(again.events) === JSON.stringify(built.events);
  transcript.hold('who reads its events afterwards gets the same', isSame, `${again.events.length} events`);
  const { ms } = await timed(() => cleanedUp(scene, labwright, built.id));
  transcript.hold('nothing of it runs, its Secret is gone and its place is free', true, took(ms));
}

/** One operation from a repository to a running lab. */
export async function labFromRepository(scene: BuildScene): Promise<void> {
  const { transcript, git, labImage } = scene;
  const hello = greeting('Hello from a repository that became a lab');
  const { url } = await git.addRepository('ada/lab', labRepository(labImage, hello, ['echo prepared']));
  const { result: events, ms } = await timed(async () => {
    await createLab(scene, 'ada', { image_repo: url, image_ref: 'main' });
    return followLab(scene, 'ada');
  });
  holdLabStream(scene, 'ada', events);
  transcript.say(`  from the request to the end in ${took(ms)}`);
  const messages = events.map(({ message }) => message).join('\n');
  for (const stage of STAGES)
    transcript.hold(`its stream says "${stage}"`, messages.toLowerCase().includes(stage.toLowerCase()));
  await holdLab(scene, 'ada', hello);
  await deleteLab(scene, 'ada');
}

/** What is in the registry is not built again, until the branch moves. */
export async function sameAgain(scene: BuildScene): Promise<void> {
  const { transcript, git, labwright, registry } = scene;
  const repository = `${git.url}/ada/notebooks.git`;
  const before = await jobsOf(scene, labwright);
  const { result, ms } = await timed(() => labwright.builds.request({ repository, ref: 'main' }));
  const { status, state } = result;
  transcript.hold('the same repository is found', status === 200 && state.cached, `${status} after ${took(ms)}`);
  transcript.hold(
    'with the digest that the registry has',
    state.image_digest === (await registry.digestOf(state.image)),
  );
  const events = await follow(scene, labwright, state.id);
  transcript.hold('its events say so', events.last?.type === 'ready', describe(events.last));
  const lab = await timed(async () => {
    await createLab(scene, 'bob', { image_repo: repository });
    return followLab(scene, 'bob');
  });
  holdLabStream(scene, 'bob', lab.result);
  transcript.say(`  a lab from it is complete after ${took(lab.ms)}`);
  await holdLab(scene, 'bob', HELLO);
  await deleteLab(scene, 'bob');
  const uids = (jobs: Awaited<ReturnType<typeof jobsOf>>) =>
    jobs
      .map(({ metadata }) => metadata?.uid)
      .toSorted()
      .join();
  transcript.hold('no Job was made for it', uids(await jobsOf(scene, labwright)) === uids(before));
}

/** A branch that has moved is another build; the commit before it is still there. */
export async function movedBranch(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage, labwright } = scene;
  const { url, commit } = await git.addRepository('ada/moving', repositoryOf(baseImage, ['echo "as it was"']));
  const first = await build(scene, url, { ref: 'main' });
  transcript.hold(
    'the branch is built',
    first.last?.type === 'ready' && first.state.commit === commit,
    describe(first.last),
  );
  const next = await moveBranch(git, 'ada/moving', repositoryOf(baseImage, ['echo "as it is"']));
  const second = await build(scene, url, { ref: 'main' });
  await holdReady(scene, 'the moved branch', second);
  transcript.hold('it is another build', second.id !== first.id && second.state.commit === next);
  transcript.hold('of the new commit', logOf(second.events).includes('as it is'));
  const { status, state } = await labwright.builds.request({ repository: url, ref: commit });
  transcript.hold('the commit before it is found', status === 200 && state.cached && state.id === first.id);
}

/** Of many who ask at the same moment one begins the build, and all see it. */
export async function manyAtOnce(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage, labwright } = scene;
  const { url } = await git.addRepository('ada/popular', repositoryOf(baseImage, ['echo "for all of you"']));
  const before = (await jobsOf(scene, labwright)).length;
  const answers = await Promise.all(Array.from({ length: 20 }, () => labwright.builds.request({ repository: url })));
  const begun = answers.filter(({ status }) => status === 201).length;
  const joined = answers.filter(({ status }) => status === 200).length;
  transcript.hold('of 20 at once one begins the build', begun === 1 && joined === 19, `${begun} and ${joined}`);
  const ids = [...new Set(answers.map(({ state }) => state.id))];
  transcript.hold(
    'they have the same build',
    ids.length === 1 && (await jobsOf(scene, labwright)).length === before + 1,
  );
  const readings = await Promise.all(answers.map(({ state }) => follow(scene, labwright, state.id, { quiet: true })));
  const texts = new Set(readings.map(({ events }) => logOf(events) + describe(events.at(-1))));
  transcript.hold('and are told the same', texts.size === 1, describe(readings[0]?.last));
  transcript.hold('by one pod', (await podsOf(scene, labwright, ids[0])).length === 1);
}

/** The Dockerfile of a directory counts, and that of the whole does not. */
export async function subdirectory(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage } = scene;
  const { url } = await git.addRepository('ada/course', {
    ...repositoryOf(baseImage, ['echo "of the whole" && false']),
    'week/one/Dockerfile': repositoryOf(baseImage, ['echo "of week one"'])['Dockerfile'] ?? '',
  });
  const built = await build(scene, url, { path: 'week/one' });
  holdStream(transcript, 'the directory', built.events);
  await holdReady(scene, 'the directory', built);
  transcript.hold('it was made by its own Dockerfile', logOf(built.events).includes('of week one'));
}
