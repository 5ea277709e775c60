import { isRecord } from '../../util/is-record.ts';
import type { BuildState, Repository, RepositoryProvider, ResolvedRepository } from '../build/build.ts';
import { isCommit } from '../git/git-ref.ts';
import { parseImageReference } from './image-reference.ts';

/** An image that was built here, as it is remembered after its build is gone. */
export interface BuiltImage {
  /** `registry/name@sha256:…` */
  readonly reference: string;
  readonly repository: Repository & Pick<ResolvedRepository, 'ref' | 'commit'>;
  /** Directory of the repository that was built; `""` is the whole. */
  readonly path: string;
  /** When its build was over, in milliseconds since the epoch. */
  readonly builtAt: number;
}

/** Most images of one source, whatever the number of repositories: each is asked for when the source is read. */
const MOST = 300;
const PROVIDERS: readonly RepositoryProvider[] = ['gh', 'gl', 'git', 'gist', 'zenodo'];
const GITHUB = 'github.com';
/** As Git shortens a hash. */
const SHORT_COMMIT = 7;

/** The image of a build; undefined where it has made none. */
export function builtImageOf({ spec, phase, image, finishedAt }: BuildState): BuiltImage | undefined {
  if (phase !== 'ready' || image === null || finishedAt === null) return undefined;
  const { provider, url, ref, commit, isFallback = false } = spec.repository;
  // There is no branch of that name: what was built is the default branch.
  const repository = { provider, url, ref: isFallback ? 'HEAD' : ref, commit };
  return { reference: image, repository, path: spec.path, builtAt: finishedAt };
}

/**
 * The newest images of each repository, repository by repository, each digest once. The same images in another order, or the result
 * with images that it has left out, give the same result.
 */
export function newestBuilt(images: readonly BuiltImage[], newest: number): BuiltImage[] {
  const digests = new Set<string>();
  const counts = new Map<string, number>();
  const kept = images.toSorted(byAge).filter(({ reference, repository: { url } }) => {
    const digest = reference.slice(reference.indexOf('@'));
    const count = counts.get(url) ?? 0;
    if (digests.has(digest) || count >= newest) return false;
    digests.add(digest);
    counts.set(url, count + 1);
    return true;
  });
  return kept.slice(0, MOST).sort(byRepository);
}

/** What an image is called for people: `ada/notebooks (main, 1a2b3c4)`. The host is left out where it is GitHub's. */
export function nameOfBuilt({ repository: { provider, url, ref, commit }, path }: BuiltImage): string {
  const name = ref.replace(/^refs\/(?:heads|tags)\//, '');
  const details = [
    ...(name === 'HEAD' || isCommit(name) ? [] : [name]),
    ...(path === '' ? [] : [path]),
    isCommit(commit) ? commit.slice(0, SHORT_COMMIT) : commit,
  ];
  return `${provider === 'zenodo' ? url : placeOf(url)} (${details.join(', ')})`;
}

/**
 * Whether a ref says by itself that a branch or a tag of the repository has the commit. A hash does not, and neither does a name with a
 * slash, which can be that of a pull request (`pull/7/head`): anybody can make those.
 */
export function isReached({ provider, ref }: Pick<ResolvedRepository, 'provider' | 'ref'>): boolean {
  if (provider === 'zenodo' || /^refs\/(?:heads|tags)\//.test(ref)) return true;
  return !ref.includes('/') && !isCommit(ref);
}

export function isBuiltImage(value: unknown): value is BuiltImage {
  if (!isRecord(value) || !isRecord(value['repository'])) return false;
  const { reference, path, builtAt, repository } = value;
  const { provider, url, ref, commit } = repository;
  return (
    typeof reference === 'string' &&
    typeof parseImageReference(reference)?.digest === 'string' &&
    typeof url === 'string' &&
    (provider === 'zenodo' || (isProvider(provider) && URL.canParse(url))) &&
    [path, ref, commit].every((text) => typeof text === 'string') &&
    typeof builtAt === 'number'
  );
}

function isProvider(value: unknown): boolean {
  return PROVIDERS.some((provider) => provider === value);
}

/** Newest first; builds that ended in the same moment have an order too. */
function byAge(one: BuiltImage, other: BuiltImage): number {
  return other.builtAt - one.builtAt || compare(one.reference, other.reference) || compare(textOf(one), textOf(other));
}

function byRepository(one: BuiltImage, other: BuiltImage): number {
  return compare(one.repository.url, other.repository.url) || byAge(one, other);
}

function textOf({ repository: { url, ref, commit }, path }: BuiltImage): string {
  return JSON.stringify([url, ref, commit, path]);
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

function placeOf(url: string): string {
  const { host, pathname } = new URL(url);
  const path = pathname.slice(1).replace(/\.git$/, '');
  return host === GITHUB ? path : `${host}/${path}`;
}
