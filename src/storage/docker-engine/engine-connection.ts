import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildConnector, type Dispatcher } from 'undici';
import { pool } from '../../util/http.ts';
import { writeFence } from '../../util/write-fence.ts';

/** Where a Docker-compatible engine listens. */
export interface EngineAddress {
  /** `unix:///path` or `tcp://host:port`, as in `DOCKER_HOST`. */
  readonly address: string;
  /** Directory with `ca.pem`, `cert.pem` and `key.pem`, as in `DOCKER_CERT_PATH`; without it, tcp is not encrypted. */
  readonly tls?: string | undefined;
}

/** How requests reach an engine. */
export interface EngineConnection {
  /** What URLs begin with; over a Unix socket the host in it means nothing. */
  readonly origin: string;
  /** For requests that are answered at once. What a run of a controller writes is fenced by its leadership. */
  readonly calls: Dispatcher;
  /** For logs and events, which hold a connection each for as long as they last. */
  readonly streams: Dispatcher;
}

/** Calls under way at the same moment; more wait for their turn. */
const CALLS = 16;
const CONNECT_TIMEOUT_MS = 5_000;

export function connectEngine({ address, tls }: EngineAddress): EngineConnection {
  const connect = connector(address, tls);
  return {
    origin: originOf(address, tls),
    calls: pool({ connect, connections: CALLS }).compose(writeFence),
    streams: pool({ connect, pipelining: 0 }),
  };
}

function originOf(address: string, tls: string | undefined): string {
  if (address.startsWith('unix://')) return 'http://engine';
  return `${tls === undefined ? 'http' : 'https'}://${address.slice('tcp://'.length)}`;
}

function connector(address: string, tls: string | undefined): buildConnector.connector {
  if (address.startsWith('unix://')) {
    return buildConnector({ socketPath: address.slice('unix://'.length), timeout: CONNECT_TIMEOUT_MS });
  }
  if (tls === undefined) return buildConnector({ timeout: CONNECT_TIMEOUT_MS });
  return (options, callback) => {
    // Read for each connection: certificates are renewed while we run.
    readCertificates(tls).then(
      (certificates) => buildConnector({ ...certificates, timeout: CONNECT_TIMEOUT_MS })(options, callback),
      (error: unknown) => callback(error as Error, null),
    );
  };
}

async function readCertificates(directory: string): Promise<{ ca: Buffer; cert: Buffer; key: Buffer }> {
  const [ca, cert, key] = await Promise.all(
    ['ca.pem', 'cert.pem', 'key.pem'].map((name) => readFile(join(directory, name))),
  );
  return { ca: ca as Buffer, cert: cert as Buffer, key: key as Buffer };
}
