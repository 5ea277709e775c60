import { BuildProblem } from '../../domain/build/build.ts';
import { certificateTrouble, HttpFailure } from '../../util/http.ts';
import { isRefusal } from '../outbound/outbound-client.ts';
import { PktLineError, RemoteError } from './pkt-line.ts';
import { EmptyRepositoryError } from './remote-refs.ts';

/** What is said to whoever asked for a repository. The words of hosts are not: they are not ours to pass on. */

export function repositoryNotFound(host: string): BuildProblem {
  const message = `The repository does not exist on ${host}, or it is private and may not be read from here.`;
  return new BuildProblem({ reason: 'RepositoryNotFound', message });
}

export function accessDenied(host: string): BuildProblem {
  const message =
    `The repository may not be read: ${host} does not take the credentials that are set for it, or they do not cover ` +
    'this repository. Check its name, or ask an administrator.';
  return new BuildProblem({ reason: 'RepositoryNotFound', message });
}

export function refNotFound(ref: string): BuildProblem {
  if (ref === 'HEAD') {
    const message = 'The repository has no default branch: give the name of a branch.';
    return new BuildProblem({ reason: 'RefNotFound', message });
  }
  const message = /^[0-9a-f]{4,39}$/i.test(ref)
    ? `There is no branch or tag "${ref}" in the repository; a commit must be given with its full hash.`
    : `There is no branch, tag or commit "${ref}" in the repository.`;
  return new BuildProblem({ reason: 'RefNotFound', message });
}

export function emptyRepository(): BuildProblem {
  const message = 'The repository is empty: nothing has been committed to it yet.';
  return new BuildProblem({ reason: 'RefNotFound', message });
}

export function commitNotOffered(commit: string, host: string): BuildProblem {
  const message = `${host} does not have the commit ${commit} in this repository, or does not give it.`;
  return new BuildProblem({ reason: 'RefNotFound', message });
}

function certificateNotTrusted(host: string, why: string, cause: unknown): BuildProblem {
  const message = `The certificate of ${host} is not trusted here: it ${why}.`;
  return new BuildProblem({ reason: 'CertificateNotTrusted', message }, { transient: true, cause });
}

export function noGit(host: string): BuildProblem {
  const message = `At this address ${host} has no Git repository.`;
  return new BuildProblem({ reason: 'RepositoryNotFound', message });
}

export function notAllowed(message: string, cause?: unknown): BuildProblem {
  return new BuildProblem({ reason: 'RepositoryNotAllowed', message }, { cause });
}

export function unavailable(host: string, cause?: unknown): BuildProblem {
  const message = `${host} does not answer at the moment, so that the repository cannot be looked at.`;
  return new BuildProblem({ reason: 'RepositoryUnavailable', message }, { transient: true, cause });
}

/** @param retryAfterMs until the host answers again */
export function rateLimited(host: string, retryAfterMs: number): BuildProblem {
  const minutes = Math.ceil(retryAfterMs / 60_000);
  const message = `${host} answers no more questions for now; try again in ${minutes === 1 ? 'a minute' : `${minutes} minutes`}.`;
  return new BuildProblem({ reason: 'RateLimited', message }, { transient: true, retryAfterMs });
}

export function tooManyQuestions(): BuildProblem {
  const message = 'You ask for too many repositories at the same moment; try again when some of them have answered.';
  return new BuildProblem({ reason: 'QueueFull', message }, { transient: true, retryAfterMs: 5_000 });
}

const REST_MS = 60_000;
const LONGEST_REST_MS = 60 * 60_000;

/** How long a host asks to be left alone: seconds or a date; a minute where it does not say. */
function restOf(retryAfter: string | undefined, now: number): number {
  const seconds = Number(retryAfter ?? Number.NaN);
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(retryAfter ?? '') - now;
  return ms > 0 ? Math.min(ms, LONGEST_REST_MS) : REST_MS;
}

/** What a status of HTTP says of a repository, where it is no success. */
export function problemOfStatus(
  status: number,
  host: string,
  hasCredential: boolean,
  retryAfter?: string,
  now = Date.now(),
): BuildProblem {
  if (status === 429 || (status === 403 && retryAfter !== undefined)) return rateLimited(host, restOf(retryAfter, now));
  if (status === 401 || status === 403) return hasCredential ? accessDenied(host) : repositoryNotFound(host);
  if (status === 404 || status === 410 || status === 451) return repositoryNotFound(host);
  if (status >= 500) return unavailable(host);
  return noGit(host);
}

/** Whatever was thrown while a host was asked, as a problem. */
export function toProblem(error: unknown, host: string): BuildProblem {
  if (error instanceof BuildProblem) return error;
  if (isRefusal(error)) {
    const message = `${host} may not be reached from here: it has no public address, or sends on to where it must not.`;
    return notAllowed(message, error);
  }
  if (error instanceof EmptyRepositoryError) return emptyRepository();
  if (error instanceof RemoteError) return repositoryNotFound(host);
  if (error instanceof PktLineError) return noGit(host);
  const certificate = certificateTrouble(error);
  if (certificate !== undefined) return certificateNotTrusted(host, certificate, error);
  // What keeps a connection from being made may be ours to mend.
  if (error instanceof HttpFailure && error.cause instanceof BuildProblem) return error.cause;
  return unavailable(host, error);
}
