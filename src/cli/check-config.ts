import { readFile } from 'node:fs/promises';
import { ConfigError, loadConfig } from '../config/index.ts';
import { remarksOnBuilds } from './build-remarks.ts';
import { buildsHere, tryBuild } from './check-builds.ts';
import { checkLabs, tryLabs } from './check-labs.ts';
import { remarksOnLabs } from './lab-remarks.ts';
import { remarksOnUsers } from './user-remarks.ts';
import { printed, refused, type CommandResult } from './result.ts';
import { summarize } from './summary.ts';
import type { TryInCluster } from './try-in-cluster.ts';

/**
 * `labwright check-config FILE`: says what is wrong with a configuration, all of it, or that nothing is, and what it means.
 *
 * @param tryInCluster where the cluster is to be asked as well
 */
export async function checkConfig(file: string, tryInCluster?: TryInCluster): Promise<CommandResult> {
  try {
    const config = await loadConfig(file);
    const { builds } = config;
    const wrong = checkLabs(config);
    const triesBuild = builds !== undefined && buildsHere(builds);
    if (wrong.length === 0 && tryInCluster !== undefined) {
      wrong.push(...(await tryLabs(config, tryInCluster)));
      if (triesBuild) wrong.push(...(await tryBuild(config, builds, tryInCluster)));
    }
    if (wrong.length > 0) return refused([`${file} cannot be used:`, ...wrong].join('\n  '));
    const remarks = [
      ...remarksOnUsers(config),
      ...remarksOnLabs(config),
      ...(builds === undefined ? [] : await remarksOnBuilds(builds)),
    ];
    const asked =
      tryInCluster === undefined
        ? ''
        : ` The cluster takes a lab of each size${config.lab.profiles.length > 0 ? ' and each profile' : ''}${triesBuild ? ', and the pod of a build' : ''}.`;
    return printed(
      `${file} can be used.${asked}\n${summarize(config, await readFile(file, 'utf8'))}` +
        remarks.map((remark) => `note: ${remark}\n`).join(''),
    );
  } catch (error) {
    if (error instanceof ConfigError) return refused(error.message);
    throw error;
  }
}
