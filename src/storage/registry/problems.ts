import { Problem } from '../../domain/problem.ts';

/** What a registry was asked for cannot be had. Builds and catalogues tell it in the same words. */
export class RegistryProblem extends Problem {
  override readonly name = 'RegistryProblem';
}

/** No answer, or none that says anything: it may pass by itself. */
export function unavailable(
  host: string,
  why: string,
  options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined; readonly transient?: boolean } = {},
): RegistryProblem {
  const { cause, retryAfterMs, transient = true } = options;
  return new RegistryProblem(
    { reason: 'RegistryUnavailable', message: `The registry ${host} ${why}.` },
    { transient, ...(cause === undefined ? {} : { cause }), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  );
}

export function denied(host: string, hadCredentials: boolean): RegistryProblem {
  const message = hadCredentials
    ? `The registry ${host} does not accept the credentials of this site, or they are not for this image.`
    : `The registry ${host} asks for credentials, and this site has none for it.`;
  return new RegistryProblem({ reason: 'RegistryDenied', message: `${message} Tell an administrator.` });
}

/** The registry names a token server that the credentials are not meant for. */
export function foreignTokenServer(host: string, realm: string): RegistryProblem {
  const message =
    `The registry ${host} wants its credentials to be shown to ${realm}, which is not of its domain. ` +
    'If that is right, an administrator has to add that host to the "tokenHosts" of the registry.';
  return new RegistryProblem({ reason: 'RegistryDenied', message });
}

export function repositoryMissing(host: string, repository: string): RegistryProblem {
  const message = `The registry ${host} has no repository ${repository}, or does not show it to this site.`;
  return new RegistryProblem({ reason: 'RegistryRepositoryMissing', message });
}

/** What the credentials of this site are kept in cannot be used. `why` quotes nothing of it. */
export function unusableCredentials(why: string): RegistryProblem {
  const message = `The registry credentials of this site cannot be used: ${why}. Tell an administrator.`;
  return new RegistryProblem({ reason: 'RegistryDenied', message });
}
