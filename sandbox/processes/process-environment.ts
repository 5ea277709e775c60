import { delimiter } from 'node:path';

type Environment = Readonly<Record<string, string>>;

/** What a lab needs to know of the machine. Nothing else of ours goes to a lab: our environment may hold secrets. */
const INHERITED = ['PATH', 'LANG', 'LANGUAGE', 'TZ', 'USER', 'LOGNAME', 'SHELL', 'TMPDIR'];
const INHERITED_PREFIX = 'LC_';
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

export interface ProcessEnvironment {
  /** The environment of this program. */
  readonly ours: NodeJS.ProcessEnv;
  /** That of the container. */
  readonly container: Environment;
  /** Variables that nothing in a pod may change. */
  readonly fixed: Environment;
  /** Folder where commands are looked for first. */
  readonly firstPath: string;
  readonly podIP: string;
}

/** The whole environment of a lab's process. */
export function processEnvironment(given: ProcessEnvironment): Record<string, string> {
  const { ours, container, fixed, firstPath, podIP } = given;
  const inherited = Object.entries(ours).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && (INHERITED.includes(entry[0]) || entry[0].startsWith(INHERITED_PREFIX)),
  );
  const env: Record<string, string> = { ...Object.fromEntries(inherited), ...container, ...fixed };
  env['PATH'] = [firstPath, env['PATH'] ?? DEFAULT_PATH].join(delimiter);
  const url = env['JUPYTERHUB_SERVICE_URL'];
  if (url !== undefined) env['JUPYTERHUB_SERVICE_URL'] = withHost(url, podIP);
  return env;
}

/**
 * The URL with another host. JupyterHub's server listens at this URL, which for a pod names every address of the pod
 * (`http://:8888/`, which is no URL to a parser); here those would be every address of the machine.
 */
export function withHost(url: string, host: string): string {
  return url.replace(/^(https?:\/\/)(?:\[[^\]/]*\]|[^/:?#[\]]*)(?=[:/?#]|$)/i, `$1${host}`);
}
