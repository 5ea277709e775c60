import type { KubeConfig } from '@kubernetes/client-node';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { readFileSync } from 'node:fs';
import type { Agent, Dispatcher } from 'undici';
import { SetupError } from '../../domain/setup-error.ts';
import { errorCode, pool } from '../../util/http.ts';
import { reread } from '../../util/memo.ts';

type Headers = Record<string, string>;

/**
 * How to reach an API server and prove who we are. Credentials are asked for on every request, so they may rotate; `server` and
 * `dispatcher` are read after the first of them are there.
 */
export interface KubeConnection {
  /** Origin and optional path prefix of the API server, without a slash at the end. */
  readonly server: string;
  readonly dispatcher: Dispatcher;
  /** Headers that authenticate a request. */
  headers(): Promise<Headers>;
  close(): Promise<void>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Tokens and exec credentials are replaced minutes before they expire; looking again every half minute is plenty. */
const CREDENTIALS_REREAD_MS = 30_000;

/** How to know the API server, and for client certificates how to be known to it. */
interface TlsOptions {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
}

/** Connections kept alive below the API server's own idle limit of 90 s. */
function connect(tls: TlsOptions): Agent {
  return pool({ keepAliveTimeout: 60_000, connect: { timeout: 10_000, ...tls } });
}

/** A connection with a fixed bearer token: the sandbox and tests. */
export function tokenConnection(options: { server: string; token: string; ca?: string }): KubeConnection {
  const dispatcher = connect(options.ca === undefined ? {} : { ca: options.ca });
  const headers = { authorization: `Bearer ${options.token}` };
  return {
    server: options.server.replace(/\/$/, ''),
    dispatcher,
    headers: () => Promise.resolve(headers),
    close: () => dispatcher.close(),
  };
}

/** Whether this process runs in a pod that may talk to its API server. */
export function isInCluster(env: NodeJS.ProcessEnv): boolean {
  return env['KUBERNETES_SERVICE_HOST'] !== undefined && env['KUBERNETES_SERVICE_PORT'] !== undefined;
}

/** The namespace of the pod this process runs in, or undefined outside of a cluster. */
export function ownNamespace(folder = SERVICE_ACCOUNT): string | undefined {
  try {
    return readFileSync(`${folder}/namespace`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * The connection of a pod: its service account's token and CA.
 *
 * Read by ourselves, not through client-node, whose import costs 0.3 s and 50 MB before the first request
 * (docs/decisions/kubernetes-client.md).
 */
export function inClusterConnection(env: NodeJS.ProcessEnv, folder = SERVICE_ACCOUNT): KubeConnection {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const dispatcher = connect({ ca: readFileSync(`${folder}/ca.crt`, 'utf8') });
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    dispatcher,
    headers: reread(CREDENTIALS_REREAD_MS, async () => {
      const token = (await readFile(`${folder}/token`, 'utf8')).trim();
      return { authorization: `Bearer ${token}` };
    }),
    close: () => dispatcher.close(),
  };
}

/**
 * The connection a kubeconfig describes, with everything client-node knows about it: client certificates, exec plugins,
 * OIDC, proxies.
 *
 * @param file path of the kubeconfig; undefined for `$KUBECONFIG` or `~/.kube/config`
 * @throws {SetupError} when the file, the context or its cluster is missing
 */
export async function kubeconfigConnection(file: string | undefined, context?: string): Promise<KubeConnection> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
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
  const authenticate = async () => {
    const options: RequestOptions = { headers: {} };
    await config.applyToHTTPSOptions(options);
    return options;
  };
  const first = await authenticate();
  const tls = tlsOf(first);
  const dispatcher = (cluster.proxyUrl === undefined ? undefined : await throughProxy(config)) ?? connect(tls);
  return {
    server: cluster.server.replace(/\/$/, ''),
    dispatcher,
    headers: reread(CREDENTIALS_REREAD_MS, async () => headersOf(await authenticate()), headersOf(first)),
    close: () => dispatcher.close(),
  };
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
