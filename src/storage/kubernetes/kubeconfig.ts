import type { Cluster, KubeConfig } from '@kubernetes/client-node';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { isIPv4 } from 'node:net';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { Dispatcher } from 'undici';
import { parse } from 'yaml';
import { SetupError } from '../../domain/setup-error.ts';
import { errorCode } from '../../util/http.ts';
import { connect, type Headers, type KubeConnection, type TlsOptions } from './connection.ts';
import { type Credentials, rotatingConnection } from './rotating-connection.ts';

interface Loaded {
  readonly config: KubeConfig;
  readonly cluster: Cluster;
  /** What client-node does not know of: a file with the token of this user. */
  readonly tokenFile: string | undefined;
  /** What the files say, to see when they are replaced. */
  readonly texts: readonly string[];
}

/**
 * The connection a kubeconfig describes, with everything client-node knows about it: client certificates, exec plugins,
 * OIDC, proxies. The file, and what it names, may be replaced at any time; the address of the server stays.
 *
 * @param file path of the kubeconfig; undefined for `$KUBECONFIG` or `~/.kube/config`
 * @throws {SetupError} when the file, the context or its cluster is missing, or the server must not be reached like that
 */
export async function kubeconfigConnection(file: string | undefined, context?: string): Promise<KubeConnection> {
  let loaded = await load(file, context);
  const read = async (afresh: boolean): Promise<Credentials> => {
    // An exec plugin's credential is kept by the config that asked for it; as long as nobody refuses it, it is not asked again.
    if (afresh || (await hasChanged(file, loaded))) loaded = await load(file, context);
    const options: RequestOptions = { headers: {} };
    await loaded.config.applyToHTTPSOptions(options);
    return { headers: { ...headersOf(options), ...(await tokenOf(loaded)) }, tls: tlsOf(options) };
  };
  const first = await read(false);
  const { cluster, config } = loaded;
  const proxied = cluster.proxyUrl === undefined ? undefined : await throughProxy(config);
  return rotatingConnection({
    server: cluster.server,
    read,
    first,
    connect: (tls) => proxied ?? connect(tls),
  });
}

async function load(file: string | undefined, context: string | undefined): Promise<Loaded> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const texts = await Promise.all(filesOf(file).map((each) => readFile(each, 'utf8').catch(() => '')));
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    // What a parser says quotes the file, which has credentials in it.
    const why = errorCode(error) ?? 'it cannot be read as one';
    throw new SetupError(`The kubeconfig ${file ?? 'of this account'} cannot be used: ${why}`);
  }
  if (context !== undefined) config.setCurrentContext(context);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new SetupError(`The kubeconfig has no cluster for the context "${config.getCurrentContext()}"`);
  }
  if (isPlain(cluster)) allowPlain(config, cluster);
  return { config, cluster, tokenFile: tokenFileOf(config, filesOf(file), texts), texts };
}

async function hasChanged(file: string | undefined, { texts }: Loaded): Promise<boolean> {
  const now = await Promise.all(filesOf(file).map((each) => readFile(each, 'utf8').catch(() => undefined)));
  // One that is missing for a moment is being replaced.
  return now.some((text, at) => text !== undefined && text !== texts[at]);
}

function filesOf(file: string | undefined): string[] {
  if (file !== undefined) return [file];
  const named = (process.env['KUBECONFIG'] ?? '').split(delimiter).filter((each) => each !== '');
  return named.length > 0 ? named : [join(homedir(), '.kube', 'config')];
}

/** `users[].user.tokenFile` of the current user; client-node only knows the spelling `token-file`, which is not Kubernetes'. */
function tokenFileOf(config: KubeConfig, files: readonly string[], texts: readonly string[]): string | undefined {
  const name = config.getCurrentUser()?.name;
  for (const [at, text] of texts.entries()) {
    const { users = [] } = (readYaml(text) ?? {}) as { users?: { name?: string; user?: { tokenFile?: unknown } }[] };
    const tokenFile = users.find((user) => user.name === name)?.user?.tokenFile;
    if (typeof tokenFile === 'string' && tokenFile !== '') return resolve(dirname(files[at] ?? ''), tokenFile);
  }
  return undefined;
}

function readYaml(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** As client-go has it, the file counts for more than a token beside it. */
async function tokenOf({ tokenFile }: Loaded): Promise<Headers> {
  if (tokenFile === undefined) return {};
  return { Authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` };
}

function isPlain({ server }: Cluster): boolean {
  return /^http:/i.test(server);
}

/**
 * `kubectl proxy` has no certificate and needs none. Elsewhere, credentials and secrets would go over the network for
 * anybody to read.
 */
function allowPlain(config: KubeConfig, cluster: Cluster): void {
  if (cluster.skipTLSVerify === true) return;
  if (!URL.canParse(cluster.server) || !isLoopback(new URL(cluster.server).hostname)) {
    throw new SetupError(
      `The kubeconfig reaches the cluster "${cluster.name}" over plain HTTP, which is possible on this machine alone ` +
        '(kubectl proxy): give the https address of its API server',
    );
  }
  config.clusters = config.clusters.map((each) =>
    each.name === cluster.name ? { ...each, skipTLSVerify: true } : each,
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}

/** client-node makes pools of its own, with HTTP/2 and for four seconds; only the way through a proxy is taken from it. */
async function throughProxy(config: KubeConfig): Promise<Dispatcher | undefined> {
  const { HttpMethod, RequestContext } = await import('@kubernetes/client-node');
  const request = new RequestContext(config.getCurrentCluster()?.server ?? '', HttpMethod.GET);
  await config.applySecurityAuthentication(request);
  return request.getDispatcher();
}

function tlsOf({ ca, cert, key, rejectUnauthorized, servername }: RequestOptions): TlsOptions {
  const given = Object.entries({ ca, cert, key, rejectUnauthorized, servername });
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

function headersOf({ headers = {}, auth }: RequestOptions): Headers {
  const basic = typeof auth === 'string' ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
  return { ...(headers as Headers), ...basic };
}
