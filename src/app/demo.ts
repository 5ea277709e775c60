import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type Logger, pino } from 'pino';
import { requireLoopback, type ServeCommand } from '../cli/index.ts';
import { HUB_TOKEN_FILE, welcome } from '../cli/welcome.ts';
import { sandboxConfig } from '../config/index.ts';
import type { Cluster, Runtime } from './cluster.ts';

/** What the sandbox offers for building. */
interface Surroundings {
  readonly builds?: { readonly registry: string; readonly gitHost: string; readonly repository: string };
  readonly close: () => Promise<void>;
}

/** Started without a configuration: everything on this machine, for trying it. */
export async function demoRuntime(command: ServeCommand): Promise<Runtime> {
  const { host = '127.0.0.1', port = 8080, withLocalLabs } = command;
  if (withLocalLabs) requireLoopback(host);
  const logger = pino({ level: 'warn' });
  const [userToken, hubToken] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
  // Local labs are processes of what is installed here: there is nothing that could run an image.
  const { builds, close } = withLocalLabs ? NOTHING : await startSurroundings();
  try {
    const localLabs = withLocalLabs ? { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 } : undefined;
    const config = sandboxConfig({ host, port, userToken, hubToken, localLabs, builds });
    const banner = welcome({
      address: config.baseUrl,
      pathPrefix: config.pathPrefix,
      username: 'ada',
      userToken,
      hubToken,
      image: config.images.list[0]?.reference ?? '',
      repository: builds?.repository,
      size: config.lab.defaultSize,
      localLabs: withLocalLabs,
    });
    const cluster = await startSandboxCluster(command, logger, hubToken);
    return { config, logger, listen: { host, port }, banner, cluster: withEnd(cluster, close) };
  } catch (error) {
    await close();
    throw error;
  }
}

const NOTHING: Surroundings = { close: () => Promise.resolve() };

/** A registry and a Git host, at any free ports of loopback. They last as long as the process and hold nothing on disk. */
async function startSurroundings(): Promise<Surroundings> {
  const { startGitHost, startRegistry } = await import('../../sandbox/index.ts');
  const registry = await startRegistry();
  const gitHost = await startGitHost();
  return {
    builds: { registry: registry.host, gitHost: gitHost.host, repository: `${gitHost.url}/demo/notebooks` },
    close: async () => {
      await Promise.all([registry.close(), gitHost.close()]);
    },
  };
}

/**
 * The embedded cluster.
 *
 * @param hubToken written beside local labs, where there is no configuration that says who may call
 */
export async function startSandboxCluster(command: ServeCommand, logger: Logger, hubToken?: string): Promise<Cluster> {
  const { DELAYS, LocalLabs, parseFaults, startSandbox } = await import('../../sandbox/index.ts');
  const faults = command.sandboxFaults === undefined ? [] : parseFaults(await readFile(command.sandboxFaults, 'utf8'));
  const localLabs = command.withLocalLabs ? await LocalLabs.open(dirname(HUB_TOKEN_FILE), logger) : undefined;
  if (hubToken !== undefined) await localLabs?.writeSecret(basename(HUB_TOKEN_FILE), hubToken);
  const labs = localLabs === undefined ? { delays: DELAYS.lively } : { localLabs };
  const sandbox = await startSandbox({ serve: true, faults, logger, ...labs });
  const connection = sandbox.connection();
  return withEnd({ connection, isShared: false, close: () => connection.close() }, () => sandbox.close());
}

/** The cluster ends, and then what stood beside it. */
function withEnd({ close, ...cluster }: Cluster, end: () => Promise<void>): Cluster {
  return {
    ...cluster,
    async close() {
      await close();
      await end();
    },
  };
}
