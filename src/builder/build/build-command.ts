import type { BackendConfig, BuildsConfig } from '../../config/config.ts';
import { buildsUnreached } from '../../config/builds/repositories.ts';
import type { BuildSpec } from '../../domain/build/build.ts';
import { BUILDKIT_SOCKET, BUILDKIT_TLS_DIRECTORY } from './build-backend.ts';
import { AUTHORITIES_FILE, SECRETS_DIRECTORY } from '../../domain/build/build-secrets.ts';

/** The configuration of repo2docker in the builder image: from where it fetches, and that it asks nobody before. */
const REPO2DOCKER_CONFIG = '/etc/labwright/repo2docker_config.py';
const ENGINES = { buildah: 'labwright-buildah', buildkit: 'labwright-buildkit', socket: 'labwright-docker' } as const;

/** What runs in the builder container, whatever runs the container. */
export interface BuildCommand {
  readonly command: string[];
  readonly args: string[];
  /** Nothing in here is secret: it says where secrets are. */
  readonly env: Record<string, string>;
}

/**
 * repo2docker and what it is told (BinderHub's build.py has the same command). Values are joined to their options, so
 * that none can be read as an option, and what follows the repository would be a command to run: it is last.
 */
export function buildCommand(config: BuildsConfig, backend: BackendConfig, spec: BuildSpec): BuildCommand {
  const { builder } = config;
  const { repository, path } = spec;
  // Only the name of a local folder could begin with it, and nobody may build that.
  if (repository.url.startsWith('-')) throw new Error('a repository is no option');
  const args = [
    `--config=${REPO2DOCKER_CONFIG}`,
    `--engine=${ENGINES[backend.kind]}`,
    `--ref=${repository.commit}`,
    `--image-name=${spec.image}`,
    '--no-clean',
    '--no-run',
    '--json-logs',
    '--push',
    `--user-name=${builder.userName}`,
    `--user-id=${builder.userId}`,
    ...(path === '' ? [] : [`--subdir=${path}`]),
    ...(builder.repositoryDirectory === undefined ? [] : [`--target-repo-dir=${builder.repositoryDirectory}`]),
    ...(builder.appendix === '' ? [] : [`--appendix=${builder.appendix}`]),
    ...pairs(builder.labels).map((pair) => `--label=${pair}`),
    ...pairs(builder.buildArgs).map((pair) => `--build-arg=${pair}`),
    ...builder.cacheFrom.map((image) => `--cache-from=${image}`),
    ...builder.extraArgs,
    sourceOf(repository),
  ];
  return { command: ['repo2docker'], args, env: { ...config.pod.env, ...environmentOf(config, backend, spec.image) } };
}

/** Names that are not what `pod.env` says they are, whatever is built. */
export function replacedVariables(config: BuildsConfig, backend: BackendConfig): string[] {
  const ours = environmentOf(config, backend, '');
  return Object.keys(config.pod.env).filter((name) => name in ours);
}

function environmentOf(config: BuildsConfig, backend: BackendConfig, image: string): Record<string, string> {
  return {
    LABWRIGHT_IMAGE: image,
    ...(config.registry.insecure ? { LABWRIGHT_REGISTRY_INSECURE: '1' } : {}),
    ...(buildsUnreached(config.repositories) ? { LABWRIGHT_FETCH_UNREACHED: '1' } : {}),
    ...(config.certificateAuthorities === undefined ? {} : { LABWRIGHT_CERTIFICATE_AUTHORITIES: AUTHORITIES_FILE }),
    DOCKER_CONFIG: SECRETS_DIRECTORY,
    REGISTRY_AUTH_FILE: `${SECRETS_DIRECTORY}/config.json`,
    GIT_CONFIG_GLOBAL: `${SECRETS_DIRECTORY}/gitconfig`,
    GIT_TERMINAL_PROMPT: '0',
    // A submodule whose address is a path would be a file of the builder, or one of its secrets.
    GIT_ALLOW_PROTOCOL: 'https:http:ssh',
    ...backendEnvironment(backend),
  };
}

function backendEnvironment(backend: BackendConfig): Record<string, string> {
  switch (backend.kind) {
    case 'buildah':
      return {};
    case 'buildkit':
      return {
        BUILDKIT_HOST: backend.address ?? `unix://${BUILDKIT_SOCKET}`,
        ...(backend.address !== undefined && backend.tls !== undefined
          ? { LABWRIGHT_BUILDKIT_TLS: BUILDKIT_TLS_DIRECTORY }
          : {}),
        ...(backend.cacheRepository === undefined ? {} : { LABWRIGHT_BUILDKIT_CACHE: backend.cacheRepository }),
      };
    case 'socket':
      return { DOCKER_HOST: `unix://${backend.path}` };
  }
}

function pairs(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).map(([key, value]) => `${key}=${value}`);
}

/** What repo2docker fetches. The DOI of a project leads to its newest version at any time: what is built is the one that was found. */
function sourceOf({ provider, url, commit }: BuildSpec['repository']): string {
  return provider === 'zenodo' ? url.replace(/(?<=\/zenodo\.)[0-9]+$/, commit) : url;
}
