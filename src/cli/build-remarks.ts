import { access, constants, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replacedVariables } from '../builder/build/build-command.ts';
import { whyMatchesNothing } from '../domain/git/repository-patterns.ts';
import type { BuildsConfig, Config, ExecutorConfig } from '../config/index.ts';

/**
 * What can be seen from here that will keep builds from running, or their images from being offered, though the configuration can be used; a
 * sentence each.
 */
export async function remarksOnBuilds({
  builds,
  images,
}: Pick<Config, 'images'> & { readonly builds: BuildsConfig }): Promise<string[]> {
  const { executors, repositories, certificateAuthorities } = builds;
  const { allowed, denied } = repositories;
  const patterns = [
    ...allowed.map((source) => [source, false] as const),
    ...denied.map((source) => [source, true] as const),
    ...images.sources.flatMap((source) => source.builds?.repositories ?? []).map((source) => [source, false] as const),
  ];
  const useless = patterns.flatMap(([source, denies]) => {
    const why = whyMatchesNothing(source, denies);
    return why === undefined
      ? []
      : [`the pattern "${source.replaceAll('\\/', '/')}" of repositories matches nothing: ${why}.`];
  });
  return [
    ...(await Promise.all(executors.map(unreadable))).flat(),
    ...(await unreadableAuthorities(certificateAuthorities)),
    ...useless,
    ...replaced(builds),
  ];
}

/** What is set to no purpose, at any of the places where builds run. */
function replaced(config: BuildsConfig): string[] {
  const backends = [config.backend, ...config.executors.flatMap((each) => ('backend' in each ? [each.backend] : []))];
  const names = new Set(backends.flatMap((backend) => replacedVariables(config, backend ?? config.backend)));
  if (names.size === 0) return [];
  return [
    `builds.pod.env: ${[...names].join(', ')} ${names.size === 1 ? 'is' : 'are'} replaced by what Labwright sets.`,
  ];
}

async function unreadableAuthorities(file: string | undefined): Promise<string[]> {
  if (file === undefined) return [];
  const text = await readFile(file, 'utf8').catch((error: unknown) => error as NodeJS.ErrnoException);
  if (typeof text === 'string') {
    return text.includes('-----BEGIN CERTIFICATE-----') ? [] : [`${file} holds no certificate authorities in PEM.`];
  }
  return [
    `the certificate authorities ${file} (${text.code ?? 'unreadable'}) cannot be read here: where Labwright runs, no build begins without them.`,
  ];
}

/** It may be checked elsewhere than where Labwright runs: a file that is missing here is no fault of the configuration. */
async function unreadable(executor: ExecutorConfig): Promise<string[]> {
  const missing = await Promise.all(
    filesOf(executor).map(async (file) => {
      try {
        await access(file, constants.R_OK);
        return [];
      } catch (error) {
        return [`${file} (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`];
      }
    }),
  );
  const names = missing.flat();
  if (names.length === 0) return [];
  return [
    `the executor "${executor.name}" cannot be used here: ${names.join(', ')} cannot be read. ` +
      'Where Labwright runs, builds wait or go to other executors until that can be read.',
  ];
}

function filesOf(executor: ExecutorConfig): string[] {
  if (executor.kind === 'kubernetes') return [executor.kubeconfig];
  if (executor.kind !== 'docker' || executor.tls === undefined) return [];
  const { tls } = executor;
  return ['ca.pem', 'cert.pem', 'key.pem'].map((name) => join(tls, name));
}
