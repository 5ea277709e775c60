/** Where the Secret of a build is in its container; the engine plugin hides it from `RUN` steps. */
export const SECRETS_DIRECTORY = '/run/labwright/secrets';
const AUTHORITIES = 'certificate-authorities.pem';
/** Where the certificate authorities of the site are there. They are no secret, and come the same way. */
export const AUTHORITIES_FILE = `${SECRETS_DIRECTORY}/${AUTHORITIES}`;

/** What a build is given besides its specification: values that live in Secrets only. */
export interface BuildSecrets {
  /** `config.json` of Docker, to push with and to pull base images with; null where the registry asks for nothing. */
  readonly dockerConfig: string | null;
  /** Files for Git, by name: see git-files.ts. Empty where every repository is public. */
  readonly git: Readonly<Record<string, string>>;
  /** Certificate authorities of the site, in PEM; absent where it has none. */
  readonly authorities?: string | null;
}

/** The files that the build finds in its directory of secrets, by name. */
export function secretFiles({ dockerConfig, git, authorities = null }: BuildSecrets): Record<string, string> {
  return {
    ...git,
    ...(dockerConfig === null ? {} : { 'config.json': dockerConfig }),
    ...(authorities === null ? {} : { [AUTHORITIES]: authorities }),
  };
}
