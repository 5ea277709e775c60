import { BinderRepository } from '@jupyterhub/binderhub-client/client.js';
import { watchText } from '../../support/canary.ts';
import { describe } from './following.ts';
import { repositoryOf } from './repositories.ts';
import type { BuildScene } from './setting.ts';

type Line = Readonly<Record<string, unknown>>;

/** The stream of a BinderHub, read by hand. */
export async function binderStream(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage, labwright, registry } = scene;
  const { url } = await git.addRepository('ada/binder', repositoryOf(baseImage, ['echo "for a BinderHub"']));
  const path = `/build/git/${encodeURIComponent(url)}/main?build_only=true`;
  const lines: Line[] = [];
  for await (const frame of labwright.builds.frames(path, {}, AbortSignal.timeout(300_000))) {
    const data = frame.get('data');
    if (data !== undefined) lines.push(JSON.parse(data) as Line);
  }
  const phases = lines
    .map(({ phase }) => String(phase))
    .filter((phase) => phase !== 'undefined')
    .filter((phase, at, all) => phase !== all[at - 1]);
  transcript.hold('it waits, fetches, builds, pushes and is ready', isInOrder(phases), phases.join(' '));
  transcript.hold(
    'every event has a message',
    lines.every(({ message }) => typeof message === 'string'),
  );
  transcript.hold(
    'the step has its line',
    lines.some(({ message }) => message === 'for a BinderHub\n'),
  );
  const last = lines.at(-1) ?? {};
  const image = String(last['imageName']);
  const name = image.slice(0, image.indexOf('@'));
  const state = (await labwright.builds.get(String(last['buildId']))).state;
  const digest = await registry.digestOf(state.image);
  const isNamed = image === `${name}@${digest ?? ''}` && state.image.startsWith(`${name}:`);
  transcript.hold('its image is named by the digest in the registry', isNamed, image);
}

function isInOrder(phases: readonly string[]): boolean {
  const places = ['waiting', 'fetching', 'building', 'pushing', 'ready'].map((phase) => phases.indexOf(phase));
  return places.every((place, at) => place >= 0 && place > (places[at - 1] ?? -1)) && phases.at(-1) === 'ready';
}

/** Its own client: a build, and then an image that is there. */
export async function binderClient(scene: BuildScene): Promise<void> {
  const { transcript, git, baseImage, labwright } = scene;
  const { url } = await git.addRepository('ada/binder-client', repositoryOf(baseImage, ['echo "for its client"']));
  // The client is for browsers, and asks them whether the page is visible.
  const page = { cookie: '', hidden: false, addEventListener() {}, removeEventListener() {} };
  Object.assign(globalThis, { window: globalThis, document: page });
  const read = async (): Promise<Line[]> => {
    const repository = new BinderRepository(`git/${encodeURIComponent(url)}/main`, new URL(`${labwright.url}/build/`), {
      apiToken: labwright.token,
      buildOnly: true,
    });
    const lines: Line[] = [];
    for await (const line of repository.fetch()) {
      watchText(JSON.stringify(line), 'line of the BinderHub client');
      lines.push(line);
      if (line['phase'] === 'ready' || line['phase'] === 'failed') break;
    }
    repository.close();
    return lines;
  };
  const built = await read();
  const last = built.at(-1);
  transcript.hold('the client of BinderHub gets an image', last?.['phase'] === 'ready', sentence(last));
  transcript.hold(
    'and the line of the step',
    built.some(({ message }) => message === 'for its client\n'),
  );
  const again = await read();
  const isFound = again.length === 1 && again[0]?.['imageName'] === last?.['imageName'];
  transcript.hold('asked again it gets the same in one event', isFound, sentence(again.at(-1)));
}

function sentence(line: Line | undefined): string {
  return line === undefined
    ? 'nothing'
    : describe({ id: '', type: String(line['phase']), message: String(line['message']) });
}
