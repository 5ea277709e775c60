import { z } from 'zod';
import { unusableCredentials } from './problems.ts';

/** What a registry is shown. */
export type RegistryCredential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** A refresh token, which the registry's token server changes for a token. */
  | { readonly kind: 'identity'; readonly token: string }
  /** A token that the registry takes as it is. */
  | { readonly kind: 'token'; readonly token: string };

const text = z.string().optional();
const file = z.looseObject({
  auths: z
    .record(
      z.string(),
      z.looseObject({ auth: text, username: text, password: text, identitytoken: text, registrytoken: text }),
    )
    .default({}),
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: z.string().default(''),
});

/** Docker Hub has had many names. */
const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']);

/** The credentials of a docker `config.json`, by the registry, or the part of it, that they are for. */
export class DockerConfig {
  readonly #credentials: ReadonlyMap<string, RegistryCredential>;

  /** @param credentials by host, or host and path, without a scheme and without slashes at their ends */
  constructor(credentials: ReadonlyMap<string, RegistryCredential>) {
    this.#credentials = credentials;
  }

  /** Those of the longest path that the repository lies in, as in containers-auth.json(5); else those of the host. */
  find(registry: string, repository: string): RegistryCredential | undefined {
    const parts = [DOCKER_HUB.has(registry) ? 'docker.io' : registry, ...repository.split('/')];
    for (let length = parts.length; length > 0; length -= 1) {
      const found = this.#credentials.get(parts.slice(0, length).join('/'));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/**
 * Reads a docker `config.json`. Credential helpers are programs on somebody's machine: a file that relies on one holds no
 * credential, and is refused.
 *
 * @throws {RegistryProblem} `RegistryDenied`; it says why, and quotes nothing of the file
 */
export function parseDockerConfig(json: string): DockerConfig {
  const { auths, credHelpers, credsStore } = readFile(json);
  if (credsStore !== '' || Object.keys(credHelpers).length > 0) {
    throw unusableCredentials('it names credential helpers (credsStore, credHelpers), which are not supported');
  }
  const credentials = new Map<string, RegistryCredential>();
  for (const [address, entry] of Object.entries(auths)) {
    const credential = readEntry(entry);
    if (credential !== undefined) credentials.set(placeOf(address), credential);
  }
  return new DockerConfig(credentials);
}

function readFile(json: string): z.output<typeof file> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw unusableCredentials('it is not JSON');
  }
  const parsed = file.safeParse(value);
  if (parsed.success) return parsed.data;
  throw unusableCredentials('it has not the shape of such a file');
}

function readEntry(entry: z.output<typeof file>['auths'][string]): RegistryCredential | undefined {
  if (hasText(entry.identitytoken)) return { kind: 'identity', token: entry.identitytoken };
  if (hasText(entry.registrytoken)) return { kind: 'token', token: entry.registrytoken };
  if (hasText(entry.auth)) {
    // Docker has filled it up with zeros at a time.
    const pair = Buffer.from(entry.auth, 'base64').toString().replace(/\0+$/, '');
    const colon = pair.indexOf(':');
    if (colon < 1) throw unusableCredentials('an "auth" in it is no name and password in base64');
    return { kind: 'password', username: pair.slice(0, colon), password: pair.slice(colon + 1) };
  }
  if (!hasText(entry.username)) return undefined;
  return { kind: 'password', username: entry.username, password: entry.password ?? '' };
}

function hasText(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

/** `https://index.docker.io/v1/` and its like are the host alone; without a scheme there may be a path that counts. */
function placeOf(address: string): string {
  const bare = address.replace(/^https?:\/\//, '');
  const place = bare === address ? bare.replace(/(?:\/v[12])?\/*$/, '') : (bare.split('/', 1)[0] ?? '');
  const [host = '', ...path] = place.split('/');
  return [DOCKER_HUB.has(host) ? 'docker.io' : host, ...path].join('/');
}
