import { readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import type { Agent, Dispatcher } from 'undici';
import { pool } from '../../util/http.ts';
import { rotatingConnection } from './rotating-connection.ts';

export type Headers = Readonly<Record<string, string>>;

/**
 * How to reach an API server and prove who we are. Credentials are asked for on every request, so they may rotate; `server` and
 * `dispatcher` are read after the first of them are there.
 */
export interface KubeConnection {
  /** Origin and optional path prefix of the API server, without a slash at the end. */
  readonly server: string;
  readonly dispatcher: Dispatcher;
  /** Headers that authenticate a request. To be asked for before each one: the way to the server is renewed by it, too. */
  headers(): Promise<Headers>;
  /**
   * The server has refused these headers, or one of the two does not trust the other's certificate: what they came from
   * is read again.
   *
   * @returns whether it makes sense to try once more at once
   */
  renew?(used: Headers): boolean;
  close(): Promise<void>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** How to know the API server, and for client certificates how to be known to it. */
export interface TlsOptions {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
}

/** Connections kept alive below the API server's own idle limit of 90 s. */
export function connect(tls: TlsOptions): Agent {
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
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`;
  return rotatingConnection({
    server,
    read: async () => {
      const [token, ca] = await Promise.all([
        readFile(`${folder}/token`, 'utf8'),
        readFile(`${folder}/ca.crt`, 'utf8'),
      ]);
      return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
    },
    connect,
  });
}
