import { builderDigest, imageOf } from '../builder/build/build-image.ts';
import { BuildPodBuilder } from '../builder/build/build-pod-builder.ts';
import { writeManifest } from '../builder/manifest.ts';
import { ConfigError, DEFAULT_NAMESPACE, loadConfig, type Config } from '../config/index.ts';
import { binderSlugOf } from '../domain/build/binder-slug.ts';
import { BuildProblem, type BuildSpec } from '../domain/build/build.ts';
import { identifyBuild } from '../domain/build/build-identity.ts';
import { parseBuildPath, parseRepository } from '../domain/git/repository.ts';
import type { RenderBuildCommand } from './arguments.ts';
import { printed, refused, type CommandResult } from './result.ts';

/** Stands for what only a real request knows. */
const PLACEHOLDER = 'placeholder';

/**
 * `labwright render-build`: the objects of a build as YAML, and before them what has to be there for all builds, with
 * placeholders where secrets would be. It asks neither a cluster nor a Git host, so the commit has to be said.
 */
export async function renderBuild(command: RenderBuildCommand): Promise<CommandResult> {
  try {
    const config = await loadConfig(command.config);
    const { builds } = config;
    if (builds === undefined) return refused('render-build: no builds are configured (`builds`)', 2);
    const controller = config.kubernetes.namespace ?? DEFAULT_NAMESPACE;
    const builder = new BuildPodBuilder(builds, { controller, namespace: builds.namespace ?? `${controller}-builds` });
    const spec = specOf(command, builds);
    const { namespace, serviceAccount, networkPolicy } = builder.buildNamespaceObjects();
    const secrets = { dockerConfig: builds.registry.credentials === undefined ? null : PLACEHOLDER, git: {} };
    const objects = [
      ...[namespace, serviceAccount, networkPolicy].filter((object) => object !== undefined),
      builder.buildJob(spec, { suspend: true, interestExpiresAt: 0 }),
      builder.buildSecret(spec, secrets, { uid: PLACEHOLDER }),
    ];
    return printed(writeManifest(objects));
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    if (error instanceof BuildProblem) return refused(`render-build: ${error.message}`, 2);
    throw error;
  }
}

function specOf(
  { repository, commit, path, user }: RenderBuildCommand,
  builds: NonNullable<Config['builds']>,
): BuildSpec {
  const parsed = parseRepository(repository, builds.repositories);
  const resolved = { ...parsed, ref: commit, commit, binderSlug: binderSlugOf(parsed, commit) };
  const directory = parseBuildPath(path);
  const identity = identifyBuild(resolved, directory, builderDigest(builds));
  return {
    ...identity,
    repository: resolved,
    path: directory,
    image: imageOf(builds, { repository: resolved, path: directory, key: identity.key }),
    requestedBy: user,
    detached: false,
    createdAt: 0,
  };
}
