import { BuildProblem } from '../build/build.ts';
import { CONTROL } from './repository-url.ts';

/** What a file system and so Git can hold in one name. */
const REF_LENGTH = 244;
const PATH_LENGTH = 1_000;
/** What Git forbids anywhere in a ref (git-check-ref-format), control characters apart. */
const FORBIDDEN = /[ ~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)/;

/**
 * Branch, tag or commit, by the rules of git-check-ref-format.
 *
 * @returns `HEAD` for the empty text; a full commit hash in lower case
 * @throws {BuildProblem} `RefNotFound` for what could be taken for an option, and for what no ref can be called
 */
export function parseRef(text: string): string {
  if (text === '') return 'HEAD';
  const isRef =
    text.length <= REF_LENGTH &&
    text !== '@' &&
    text.isWellFormed() &&
    !/^[-/.]|[/.]$/.test(text) &&
    !FORBIDDEN.test(text) &&
    !CONTROL.test(text);
  if (!isRef) throw new BuildProblem({ reason: 'RefNotFound', message: 'No branch or tag can have this name.' });
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
  const isPath =
    path.length <= PATH_LENGTH &&
    path.isWellFormed() &&
    !path.startsWith('-') &&
    !path.includes('\\') &&
    !CONTROL.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  if (isPath) return path;
  const message = 'The directory must be a path inside the repository, such as "courses/intro".';
  throw new BuildProblem({ reason: 'RepositoryInvalid', message });
}
