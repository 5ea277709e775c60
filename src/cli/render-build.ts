import { writeManifest } from '../builder/manifest.ts';
import { ConfigError, loadConfig, type BuildsConfig } from '../config/index.ts';
import { binderSlugOf } from '../domain/build/binder-slug.ts';
import { BuildProblem } from '../domain/build/build.ts';
import { parseBuildPath, parseRepository } from '../domain/git/repository.ts';
import type { RenderBuildCommand } from './arguments.ts';
import { buildExampleBuild, listGround, type ExampleBuild } from './example-build.ts';
import { printed, refused, type CommandResult } from './result.ts';

/**
 * `labwright render-build`: the objects of a build as YAML, and before them what has to be there for all builds, with
 * placeholders where secrets would be. It asks neither a cluster nor a Git host, so the commit has to be said.
 */
export async function renderBuild(command: RenderBuildCommand): Promise<CommandResult> {
  try {
    const config = await loadConfig(command.config);
    const { builds } = config;
    if (builds === undefined) return refused('render-build: no builds are configured (`builds`)', 2);
    const { ground, job, secret } = buildExampleBuild(config, builds, askedFor(command, builds));
    return printed(writeManifest([...listGround(ground), job, secret]));
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    if (error instanceof BuildProblem) return refused(`render-build: ${error.message}`, 2);
    throw error;
  }
}

function askedFor({ repository, commit, path, user }: RenderBuildCommand, builds: BuildsConfig): ExampleBuild {
  const parsed = parseRepository(repository, builds.repositories);
  const resolved = { ...parsed, ref: commit, commit, binderSlug: binderSlugOf(parsed, commit) };
  return { repository: resolved, path: parseBuildPath(path), requestedBy: user };
}
