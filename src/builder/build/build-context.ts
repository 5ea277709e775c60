import type { BackendConfig, BuildsConfig } from '../../config/config.ts';
import type { BuildSpec } from '../../domain/build/build.ts';

/** Where builds run, and for whom. */
export interface BuildPlace {
  /** Namespace of the controller: what its objects are labelled with. */
  readonly controller: string;
  /** Namespace of builds. */
  readonly namespace: string;
  readonly backend: BackendConfig;
}

/** What the builders of the single parts of a build share. */
export interface BuildPodContext extends BuildPlace {
  readonly config: BuildsConfig;
  readonly spec: BuildSpec;
}

/** Volumes, and where they are mounted. Their names leave those of the administrator's own volumes alone. */
export const SECRETS_VOLUME = 'labwright-secrets';
export const SCRATCH_VOLUME = 'labwright-scratch';
