import { BUILD_LABEL } from '../../../src/domain/build/build-intent.ts';
import { waitFor } from '../../support/wait-for.ts';
import { timed, took } from '../transcript.ts';
import { build, describe, follow, holdReady, holdStream } from './following.ts';
import { createLab, deleteLab } from './labs.ts';
import { cleanedUp, jobsOf, podOf, podsOf } from './objects.ts';
import { repositoryOf } from './repositories.ts';
import type { Labwright } from './labwright.ts';
import type { BuildScene } from './setting.ts';

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

/** Who has asked and does not wait. */
export async function abandoned(scene: BuildScene): Promise<void> {
  const { git, gates, baseImage } = scene;
  const labwright = await scene.another('abandoned', { abandonAfter: '5s', retention: '20s' });
  const { url } = await git.addRepository('ada/abandoned', repositoryOf(baseImage, [gates.pass('abandoned')]));
  const { state } = await labwright.builds.request({ repository: url });
  await holdAbandoned(scene, labwright, state.id, 'a build without readers');

  const lab = await git.addRepository('ada/abandoned-lab', repositoryOf(baseImage, [gates.pass('abandoned-lab')]));
  const there = { ...scene, labwright };
  await createLab(there, 'dee', { image_repo: lab.url });
  await gates.reached('abandoned-lab');
  const build = (await jobsOf(scene, labwright))
    .map(({ metadata }) => metadata?.labels?.[BUILD_LABEL] ?? '')
    .find((id) => id !== state.id);
  await deleteLab(there, 'dee');
  await holdAbandoned(scene, labwright, build ?? '', 'a build whose only lab was deleted');
}

async function holdAbandoned(scene: BuildScene, labwright: Labwright, id: string, what: string): Promise<void> {
  const { result, ms } = await timed(() =>
    waitFor(
      'its end',
      90_000,
      async () => {
        const { state } = await labwright.builds.get(id);
        return state.phase === 'cancelled' || state.phase === 'failed' ? state : undefined;
      },
      200,
    ),
  );
  const isAbandoned = result.phase === 'cancelled' && result.reason === 'Abandoned';
  scene.transcript.hold(`${what} is cancelled`, isAbandoned, `${took(ms)}: ${result.message}`);
  await cleanedUp(scene, labwright, id);
}

/** Of all that was built no pod runs, no Secret is there and no place is taken; the Jobs go after their retention. */
export async function nothingLeft(scene: BuildScene): Promise<void> {
  const { transcript, labwright, cluster } = scene;
  const clean = await timed(() => cleanedUp(scene, labwright));
  transcript.hold('no pod runs, no Secret is there, no slot is taken', true, took(clean.ms));
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

/** Kubernetes itself ends a build that takes too long. */
export async function deadlineWithoutController(scene: BuildScene): Promise<void> {
  const { transcript, git, gates, baseImage } = scene;
  const labwright = await scene.another('deadline', { deadlines: { total: '30s' } });
  const { url } = await git.addRepository('ada/endless', repositoryOf(baseImage, [gates.pass('endless')]));
  const { state } = await labwright.builds.request({ repository: url });
  await gates.reached('endless');
  await labwright.process.kill('SIGKILL');
  const { ms } = await timed(() =>
    waitFor('Kubernetes to end the pod', 120_000, async () => {
      const { status } = await podOf(scene, labwright, state.id);
      return status?.phase === 'Failed' && status.reason === 'DeadlineExceeded' ? true : undefined;
    }),
  );
  transcript.hold('with no controller Kubernetes ends the build after its time', true, took(ms));
  labwright.process.start();
  await labwright.process.firstAnswer();
  const { last } = await follow(scene, labwright, state.id);
  transcript.hold('the next controller says so', last?.reason === 'DeadlineExceeded', describe(last));
  await cleanedUp(scene, labwright, state.id);
}
