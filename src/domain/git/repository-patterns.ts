import type { Repository } from '../build/build.ts';

const SCHEMES = ['https', 'http', 'ssh'];

/** Lists of regular expressions that say which repositories may be built. */
export class RepositoryPatterns {
  readonly #allowed: readonly RegExp[];
  readonly #denied: readonly RegExp[];

  constructor({ allowed, denied }: { readonly allowed: readonly string[]; readonly denied: readonly string[] }) {
    this.#allowed = allowed.map((source) => new RegExp(source, 'i'));
    this.#denied = denied.map((source) => new RegExp(source, 'i'));
  }

  /** Whether every repository is admitted. */
  get isOpen(): boolean {
    return this.#allowed.length === 0 && this.#denied.length === 0;
  }

  /**
   * A repository is denied in whatever way it can be written, and allowed as it is written in full: with and without `.git`,
   * or, of GitHub, as BinderHub has it in its lists (`owner/name/ref`).
   */
  admits(repository: Repository, ref: string): boolean {
    const some = (patterns: readonly RegExp[], texts: readonly string[]) =>
      patterns.some((pattern) => texts.some((text) => pattern.test(text)));
    const isAllowed = this.#allowed.length === 0 || some(this.#allowed, ownSpellings(repository, ref));
    return isAllowed && !some(this.#denied, allSpellings(repository, ref));
  }
}

/**
 * Why a pattern can match no repository, as half a sentence; undefined where nothing is known against it.
 *
 * @param denies it is one of those that deny, for which more spellings are looked at
 */
export function whyMatchesNothing(source: string, denies = false): string | undefined {
  const start = /^\^?([a-z+]+):(?:\\?\/){2}/i.exec(source)?.[1]?.toLowerCase();
  if (start !== undefined && source.startsWith('^') && !SCHEMES.includes(start)) {
    return `no repository has a URL that begins with ${start}://`;
  }
  if (!denies && /^\^?[\w.-]+@[\w.\\-]+:(?!\d)/.test(source))
    return 'URLs are written as ssh://user@host/path and not as user@host:path';
  if (/\\\?|\\?#/.test(source)) return 'no repository has a query or a fragment';
  if (/(?<!\[[^\]]*)(?:\s|\\s(?![*?]))/.test(source)) return 'no repository has a space in it';
  if (/(?<!\\|\[)[^\\[(|]\^/.test(source) && !source.includes('[^')) return 'its "^" is not at its beginning';
  return undefined;
}

function withAndWithoutGit(url: string): string[] {
  const bare = url.replace(/(?:\.git)+$/i, '');
  return [url, bare, `${bare}.git`];
}

function ownSpellings(repository: Repository, ref: string): string[] {
  const { provider, url } = repository;
  if (provider === 'zenodo') return [url];
  return [...withAndWithoutGit(url), ...(provider === 'gh' ? binderSpellings(repository, ref) : [])];
}

/** However somebody may have written it in a list: what a pattern was not written for passes it otherwise, and nobody is told. */
function allSpellings(repository: Repository, ref: string): string[] {
  const { provider, url } = repository;
  const binder = refSpellings(ref).flatMap((each) => binderSpellings(repository, each));
  if (provider === 'zenodo') return [url, `doi:${url}`, `https://doi.org/${url}`, ...recordSpellings(url), ...binder];
  const { hostname, host, port, pathname } = new URL(url);
  const hosts = [host, hostname, `www.${host}`, ...(port === '' ? [`${hostname}:443`, `${hostname}:22`] : [])];
  const paths = [pathname, decoded(pathname)];
  const places = hosts.flatMap((each) => paths.map((path) => `${each}${path}`));
  const urls = [
    url,
    ...SCHEMES.flatMap((scheme) => places.flatMap((place) => [`${scheme}://${place}`, `${scheme}://git@${place}`])),
  ];
  const written = [...urls, ...places, ...paths.map((path) => `git@${hostname}:${path.slice(1)}`)];
  return [...written.flatMap(withAndWithoutGit).flatMap((each) => [each, `${each}/`]), ...binder];
}

/** A record of Zenodo by its number, as its pages are called. */
function recordSpellings(doi: string): string[] {
  const number = /zenodo\.(\d+)$/i.exec(doi)?.[1];
  return number === undefined ? [] : [`https://zenodo.org/records/${number}`, `https://zenodo.org/record/${number}`];
}

/** A branch or a tag, with and without what Git has before its name. */
function refSpellings(ref: string): string[] {
  const name = ref.replace(/^(?:refs\/)?(?:heads|tags)\//, '');
  return [...new Set([ref, name, `refs/heads/${name}`, `refs/tags/${name}`])];
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** As BinderHub's `banned_specs` have them, with and without the ref and the provider. */
function binderSpellings({ provider, url }: Repository, ref: string): string[] {
  const path = provider === 'zenodo' || provider === 'git' ? url : new URL(url).pathname.slice(1);
  const bare = path.replace(/(?:\.git)+$/i, '');
  const names = provider === 'gl' || provider === 'git' ? [bare, encodeURIComponent(bare)] : [bare];
  return names.flatMap((name) => [name, `${name}/${ref}`, `${provider}/${name}`, `${provider}/${name}/${ref}`]);
}
