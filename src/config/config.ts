import type { z } from 'zod';
import type { LabResources } from '../domain/lab/lab.ts';
import type { DeepReadonly } from '../util/deep-readonly.ts';
import type { configSchema } from './schema.ts';

/**
 * The configuration as the program uses it: complete with defaults, checked and frozen. Durations are milliseconds, memory
 * is bytes, CPU is cores. docs/configuration.md describes each key.
 */
export type Config = DeepReadonly<z.output<typeof configSchema>>;
export type LabConfig = Config['lab'];
export type BuildsConfig = NonNullable<Config['builds']>;
export type BackendConfig = BuildsConfig['backend'];
export type ExecutorConfig = BuildsConfig['executors'][number];
export type LabSizeConfig = LabConfig['sizes'][number];
export type ProfileConfig = LabConfig['profiles'][number];
export type ProfileOptionConfig = ProfileConfig['options'][string];
export type VolumeConfig = LabConfig['volumes'][number];
export type VolumeMountConfig = LabConfig['volumeMounts'][number];
export type InitContainerConfig = LabConfig['initContainers'][number];
export type CopiedSecretConfig = LabConfig['secrets'][number];
export type ImagesConfig = Config['images'];
export type ImageConfig = ImagesConfig['list'][number];
export type PrepullConfig = NonNullable<ImagesConfig['prepull']>;
export type ImageSourceConfig = ImagesConfig['sources'][number];
export type TokenConfig = Config['auth']['tokens'][number];

/** What a configuration file may contain. */
export type ConfigInput = z.input<typeof configSchema>;

/** Namespace of a controller that neither runs in one nor is told of one. */
export const DEFAULT_NAMESPACE = 'labwright';

/** The compute of a size. */
export function sizeResources(size: LabSizeConfig): LabResources {
  return {
    limits: { cpu: size.cpu, memory: size.memory },
    requests: { cpu: size.cpuRequest, memory: size.memoryRequest },
  };
}

/** The repository of a source as image references name it. */
export function repositoryOf({ repository, artifactRegistry }: ImageSourceConfig): string {
  if (artifactRegistry === undefined) return repository ?? '';
  const { location, project, repository: name, image } = artifactRegistry;
  // A project of a domain, `example.com:labs`, is two parts of the name.
  return `${location}-docker.pkg.dev/${project.replaceAll(':', '/')}/${name}/${image}`;
}
