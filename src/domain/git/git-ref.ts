import { BuildProblem } from '../build/build.ts';
import { CONTROLS } from './repository-url.ts';

/**
 * What Git lets a ref be called (git-check-ref-format), as long as a file system and so Git can hold it in one name. The
 * empty text is none.
 */
export const REF = new RegExp(
  String.raw`^(?!@$|[-/.]|.*[/.]$|.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^${CONTROLS} ~^:?*[\\]{1,244}$`,
);
const PATH_LENGTH = 1_000;
/** A directory in a repository, with any slashes around it: no part is empty, `.` or `..`, and it is no option. */
export const BUILD_PATH = new RegExp(
  String.raw`^/*(?:(?![-/]|(?:.*/)?\.{1,2}(?:/|$))[^${CONTROLS}\\/]+(?:/[^${CONTROLS}\\/]+)*)?/*$`,
);

/**
 * Branch, tag or commit, by the rules of git-check-ref-format.
 *
 * @returns `HEAD` for the empty text; a full commit hash in lower case
 * @throws {BuildProblem} `RefNotFound` for what could be taken for an option, and for what no ref can be called
 */
export function parseRef(text: string): string {
  if (text === '') return 'HEAD';
  if (!REF.test(text) || !text.isWellFormed())
    throw new BuildProblem({ reason: 'RefNotFound', message: 'No branch or tag can have this name.' });
  return isCommit(text.toLowerCase()) ? text.toLowerCase() : text;
}

/** Whether it is a full commit hash, SHA-1 or SHA-256. */
export function isCommit(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** The names that Git tries for a ref, the first that exists being meant (gitrevisions): a tag wins over a branch. */
export function refCandidates(ref: string): string[] {
  const rules = ['refs/', 'refs/tags/', 'refs/heads/', 'refs/remotes/'].map((prefix) => prefix + ref);
  // Git also tries what stands beside refs/; there is nothing but HEAD that a server shows.
  return ref === 'HEAD' || ref.startsWith('refs/') ? [ref, ...rules] : rules;
}

/**
 * A directory inside a repository, without slashes at its ends; `""` is the whole.
 *
 * @throws {BuildProblem} `RepositoryInvalid` for one that leads out of it, or could be taken for an option
 */
export function parseBuildPath(text: string): string {
  const path = text.replace(/^\/+|\/+$/g, '');
  if (path === '') return '';
  if (path.length <= PATH_LENGTH && path.isWellFormed() && BUILD_PATH.test(path)) return path;
  const message = 'The directory must be a path inside the repository, such as "courses/intro".';
  throw new BuildProblem({ reason: 'RepositoryInvalid', message });
}
