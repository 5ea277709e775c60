import type { Repository } from '../../domain/build/build.ts';
import { LabwrightError } from '../../domain/errors.ts';

/** What BinderHub says where Labwright refuses a repository: its readers know the sentences. */
export function inBinderWords(error: unknown, repository: Repository, ref: string): unknown {
  if (!(error instanceof LabwrightError)) return error;
  const name = nameOf(repository);
  switch (error.code) {
    case 'repository_not_allowed':
      return reworded(error, `Sorry, ${name} is not allowed to launch. Please contact admins for more info!`);
    case 'unknown_repository':
      return reworded(
        error,
        `Could not resolve ref for ${name}/${ref}. Double check your URL and that your repo is public.`,
      );
    default:
      return error;
  }
}

/** What the one event about an error says. Who is not known and who may not are one thing to BinderHub. */
export function refusalOf(error: unknown, status: number): { readonly status: number; readonly message: string } {
  if (!(error instanceof LabwrightError)) return { status, message: 'Internal Server Error' };
  const { code, message, retryAfter } = error;
  if (status === 401) return { status: 403, message };
  if (code === 'too_many_requests' && retryAfter !== undefined) {
    return { status, message: `Rate limit exceeded. Try again in ${String(retryAfter)} seconds.` };
  }
  return { status, message };
}

/** `gh:ada/notebooks`; whatever has a known place is named without it. */
function nameOf({ provider, url }: Repository): string {
  const path = /^https?:\/\/[^/]+\/(.+?)(?:\.git)?$/.exec(url)?.[1];
  return `${provider}:${provider === 'git' || path === undefined ? url : path}`;
}

function reworded(error: LabwrightError, message: string): LabwrightError {
  const { code, status, retryAfter } = error;
  return new LabwrightError(code, status, message, {
    cause: error,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });
}
