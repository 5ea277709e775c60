import { BuildProblem } from '../../domain/build/build.ts';

/** No answer, or none that says anything: it may pass by itself. */
export function unavailable(
  host: string,
  why: string,
  options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined; readonly transient?: boolean } = {},
): BuildProblem {
  const { cause, retryAfterMs, transient = true } = options;
  return new BuildProblem(
    { reason: 'RegistryUnavailable', message: `The registry ${host} ${why}.` },
    { transient, ...(cause === undefined ? {} : { cause }), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  );
}

export function denied(host: string, hadCredentials: boolean): BuildProblem {
  const message = hadCredentials
    ? `The registry ${host} does not accept the credentials of this site, or they are not for this image.`
    : `The registry ${host} asks for credentials, and this site has none for it.`;
  return new BuildProblem({ reason: 'RegistryDenied', message: `${message} Tell an administrator.` });
}

/** What the credentials of this site are kept in cannot be used. `why` quotes nothing of it. */
export function unusableCredentials(why: string): BuildProblem {
  const message = `The registry credentials of this site cannot be used: ${why}. Tell an administrator.`;
  return new BuildProblem({ reason: 'RegistryDenied', message });
}
