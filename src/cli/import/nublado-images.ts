import { compact } from './pod-pieces.ts';
import type { Json, Source } from './source.ts';

const CATALOGUE =
  'images are not read from the registry yet: these are written out, newer ones have to be added, best with a class (latest-release, …)';
const PULLS =
  'no image is pulled before it is needed: a DaemonSet that runs it does that, such as the continuous prePuller of the chart of the hub';

/** What is known of the images without asking their registry: those that are named. */
export function importNubladoImages(images: Source): Json {
  const source = images.at('source');
  const repository = source === undefined ? 'registry.example.org/lab' : repositoryOf(source);
  const recommended = images.at('recommendedTag');
  source?.remarked('images.list', CATALOGUE);
  recommended?.mapped('images.list[].reference');
  const [pinned, aliases] = ['pin', 'aliasTags'].map((key) => {
    const list = images.at(key);
    list?.mapped('images.list[].reference');
    return list?.entries().flatMap(([, tag]) => tag.text() ?? []) ?? [];
  });
  for (const key of ['numReleases', 'numWeeklies', 'numDailies', 'prepullTimeout']) {
    images.at(key)?.remarked('images.list', PULLS);
  }
  for (const key of ['refreshInterval', 'cycle']) images.at(key)?.remarked('images.list', CATALOGUE);
  images
    .at('dockerCredentialsPath')
    ?.remarked('lab.pullSecret', 'the registry is asked by the machines that pull, with lab.pullSecret');
  const first = recommended?.text() ?? 'recommended';
  // Nublado starts what the registry says of a tag; without asking it, only a machine that asks each time has what the tag moved to.
  const moving = new Set([first, ...(aliases ?? [])]);
  const list = [...new Set([first, ...(pinned ?? []), ...moving])].map((tag) =>
    compact({
      reference: `${repository}:${tag}`,
      name: tag,
      class: tag === first ? 'recommended' : undefined,
      lab: moving.has(tag) ? { imagePullPolicy: 'Always' } : undefined,
    }),
  );
  return { list };
}

function repositoryOf(source: Source): string {
  const text = (key: string) => source.at(key)?.text() ?? '';
  if (text('type') === 'google') {
    return `${text('location')}-docker.pkg.dev/${text('projectId')}/${text('repository')}/${text('image')}`;
  }
  return `${text('registry') || 'docker.io'}/${text('repository')}`;
}
