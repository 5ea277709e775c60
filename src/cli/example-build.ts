import type { KubernetesObject, V1Job, V1Secret } from '@kubernetes/client-node';
import { builderDigest, imageOf } from '../builder/build/build-image.ts';
import { BuildPodBuilder, type BuildNamespaceObjects } from '../builder/build/build-pod-builder.ts';
import { DEFAULT_NAMESPACE, type BuildsConfig, type Config } from '../config/index.ts';
import { identifyBuild } from '../domain/build/build-identity.ts';
import type { BuildSpec } from '../domain/build/build.ts';
import { PLACEHOLDER } from './example-lab.ts';

/** What is asked for: a commit, and who asks. */
export type ExampleBuild = Pick<BuildSpec, 'repository' | 'path' | 'requestedBy'>;

export interface BuildObjects {
  /** What has to be there for all builds. */
  readonly ground: BuildNamespaceObjects;
  readonly job: V1Job;
  readonly secret: V1Secret;
}

/** The objects of a build, with placeholders where secrets would be. It asks neither a cluster nor a Git host. */
export function buildExampleBuild({ kubernetes }: Config, builds: BuildsConfig, asked: ExampleBuild): BuildObjects {
  const controller = kubernetes.namespace ?? DEFAULT_NAMESPACE;
  const builder = new BuildPodBuilder(builds, { controller, namespace: builds.namespace ?? `${controller}-builds` });
  const { repository, path } = asked;
  const identity = identifyBuild(repository, path, builderDigest(builds));
  const image = imageOf(builds, { repository, path, key: identity.key });
  const spec = { ...identity, ...asked, image, detached: false, createdAt: 0 };
  const secrets = { dockerConfig: builds.registry.credentials === undefined ? null : PLACEHOLDER, git: {} };
  return {
    ground: builder.buildNamespaceObjects(),
    job: builder.buildJob(spec, { suspend: true, interestExpiresAt: 0 }),
    secret: builder.buildSecret(spec, secrets, { uid: PLACEHOLDER }),
  };
}

/** The objects that have to be there for all builds, in the order in which they can be made. */
export function listGround({ namespace, serviceAccount, networkPolicy }: BuildNamespaceObjects): KubernetesObject[] {
  return [namespace, serviceAccount, networkPolicy].filter((object) => object !== undefined);
}
