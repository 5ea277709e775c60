import { parseImageReference } from '../../domain/image/image-reference.ts';
import { parseDockerConfig, type RegistryCredential } from '../registry/docker-config.ts';

/** What engines call Docker Hub by. */
const DOCKER_HUB = 'https://index.docker.io/v1/';

/**
 * The header `X-Registry-Auth` for one image: what a docker `config.json` has for it.
 *
 * @returns undefined when it has nothing, or cannot be read
 */
export function registryAuth(config: string | null, image: string): string | undefined {
  const reference = parseImageReference(image);
  const credential = reference && find(config, reference);
  if (reference === undefined || credential === undefined) return undefined;
  const { registry } = reference;
  const auth = { ...shown(credential), serveraddress: registry === 'docker.io' ? DOCKER_HUB : registry };
  return Buffer.from(JSON.stringify(auth)).toString('base64url');
}

function find(config: string | null, { registry, repository }: { registry: string; repository: string }) {
  try {
    return config === null ? undefined : parseDockerConfig(config).find(registry, repository);
  } catch {
    return undefined;
  }
}

/** The AuthConfig of the Docker Engine API. */
function shown(credential: RegistryCredential): Readonly<Record<string, string>> {
  switch (credential.kind) {
    case 'password':
      return { username: credential.username, password: credential.password };
    case 'identity':
      return { identitytoken: credential.token };
    case 'token':
      return { registrytoken: credential.token };
  }
}
