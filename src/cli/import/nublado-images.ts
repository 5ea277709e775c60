import { compact } from './pod-pieces.ts';
import type { Json, Source, Table } from './source.ts';

const NAME = 'labs';
const TAGS = 'images.sources[].tags';
/** Nublado's names of the kinds of tags in its menu, and ours. */
const KINDS = {
  release: 'release',
  weekly: 'weekly',
  daily: 'daily',
  releaseCandidate: 'candidate',
  experimental: 'experimental',
} as const;
type NubladoKind = keyof typeof KINDS;
/** How many of the newest of each kind Nublado pulls ahead where nothing is said. */
const WANTED = { release: ['numReleases', 1], weekly: ['numWeeklies', 2], daily: ['numDailies', 3] } as const;

/** @param menu `dropdownMenu`, which says what is in the menu of all images */
export function importNubladoImages(images: Source, menu: Source | undefined): Json {
  const text = (key: string) => {
    images.at(key)?.mapped(`${TAGS}.${key === 'cycle' ? 'cycle' : 'recommended'}`);
    return images.at(key)?.text();
  };
  const cycle = text('cycle');
  const refresh = images.at('refreshInterval');
  refresh?.mapped('images.refresh');
  const timeout = images.at('prepullTimeout');
  timeout?.remarked(
    'images.prepull.timeout',
    'images are pulled ahead whenever a machine lacks one; it needs the rights in deploy/kubernetes-prepull',
  );
  images
    .at('dockerCredentialsPath')
    ?.remarked(
      'lab.pullSecret',
      'the registry is asked with lab.pullSecret, or with the credentials of images.registries',
    );
  const tags = compact({
    grammar: 'rubin',
    recommended: text('recommendedTag') ?? 'recommended',
    aliases: tagsAt(images, 'aliasTags', `${TAGS}.aliases`),
    pinned: tagsAt(images, 'pin', `${TAGS}.pinned`),
    cycle: cycle === undefined ? undefined : Number(cycle),
    kinds: importKinds(images, menu),
  });
  return {
    sources: [compact({ name: NAME, ...importSource(images.at('source')), tags })],
    ...compact({ refresh: refresh?.text() }),
    prepull: compact({ timeout: timeout?.text() }),
  };
}

function importSource(source: Source | undefined): Table {
  const text = (key: string) => source?.at(key)?.text() ?? '';
  if (text('type') !== 'google') {
    source?.mapped('images.sources[].repository');
    const repository =
      source === undefined ? 'registry.example.org/lab' : `${text('registry') || 'docker.io'}/${text('repository')}`;
    return { repository };
  }
  source?.remarked(
    'images.sources[].artifactRegistry',
    'read with the account of the pod of Labwright, which needs the role Artifact Registry Reader',
  );
  return {
    artifactRegistry: {
      location: text('location'),
      project: text('projectId'),
      repository: text('repository'),
      image: text('image'),
    },
  };
}

function tagsAt(images: Source, key: string, to: string): string[] | undefined {
  const list = images.at(key);
  const tags = list?.entries().flatMap(([, tag]) => tag.text() ?? []) ?? [];
  list?.mapped(to);
  return tags.length === 0 ? undefined : tags;
}

function importKinds(images: Source, menu: Source | undefined): Table {
  const kinds = (Object.keys(KINDS) as NubladoKind[]).map((kind) => {
    const listed = menu?.at(kind);
    return [KINDS[kind], compact({ wanted: wantedOf(images, kind), ...(listed && importMenu(listed, kind)) })] as const;
  });
  return Object.fromEntries(kinds.filter(([, rules]) => Object.keys(rules).length > 0));
}

function wantedOf(images: Source, kind: NubladoKind): number | undefined {
  if (!Object.hasOwn(WANTED, kind)) return undefined;
  const [key, fallback] = WANTED[kind as keyof typeof WANTED];
  const said = images.at(key);
  said?.mapped(`${TAGS}.kinds.${KINDS[kind]}.wanted`);
  return Number(said?.text() ?? fallback);
}

function importMenu(listed: Source, kind: NubladoKind): Table {
  const to = `${TAGS}.kinds.${KINDS[kind]}`;
  const take = (key: string, name: string) => {
    listed.at(key)?.mapped(`${to}.${name}`);
    return listed.at(key)?.text();
  };
  const number = take('number', 'listed');
  const version = take('cutoffVersion', 'since');
  const day = take('cutoffDate', 'since');
  listed.at('cutoffBuild')?.lost('tags are not told by their build alone: see since, include and exclude of a source');
  return compact({
    listed: number === undefined ? undefined : Number(number),
    maxAge: asDuration(take('age', 'maxAge')),
    since: version === undefined ? day?.slice(0, 10) : oldestTag(kind, version),
  });
}

/** Weeks are no unit here. */
function asDuration(age: string | undefined): string | undefined {
  const [, weeks] = /^(\d+)w$/.exec(age ?? '') ?? [];
  return weeks === undefined ? age : `${Number(weeks) * 7}d`;
}

function oldestTag(kind: NubladoKind, version: string): string {
  const [major = '0', minor = '0', patch = '0'] = version.split('.');
  return `r${major}_${minor}_${patch}${kind === 'releaseCandidate' ? '_rc0' : ''}`;
}
