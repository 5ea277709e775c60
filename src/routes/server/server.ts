import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Logger } from 'pino';
import { addressKey } from '../../auth/limits/address-key.ts';
import { FloodGuard } from '../../auth/limits/flood-guard.ts';
import { DEFAULT_LIMITS, type Limits } from '../../config/limits.ts';
import type { createApp } from './app.ts';
import { Connections, refuseTunnel } from './connections.ts';
import { methodsOf } from './errors.ts';
import { type Fault, faultBody, faultOf, MALFORMED, NO_METHOD, type ShapeLimits } from './requests/request-shape.ts';

/** Longer than the 60 s for which proxies keep idle connections: the one that closes first must not be us. */
const KEEP_ALIVE_MS = 65_000;
/** How often connections are looked through for slow ones, at most. */
const CHECK_MS = 5_000;
/** When a silent peer is asked whether it is there, by TCP itself. */
const PROBE_MS = 60_000;

export type ServerLimits = ShapeLimits &
  Pick<Limits, 'headerSize' | 'headersTimeout' | 'requestTimeout' | 'connections'>;

type App = ReturnType<typeof createApp>;

export interface ServerOptions {
  readonly app: App;
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly logger: Logger;
  /** What requests may weigh and how long they may take; the defaults of the configuration when absent. */
  readonly limits?: ServerLimits;
}

export interface RunningServer {
  readonly address: AddressInfo;
  /** Requests that come from now on are for this app; those in progress, and event streams, go on with the one before. */
  use(app: App): void;
  /**
   * Stops listening, lets requests in progress finish, and cuts what is left after `graceMs`. Event streams end by
   * themselves once the app's `stopping` signal has been aborted, which is to be done before.
   */
  close(graceMs?: number): Promise<void>;
}

/** Puts the app on a socket. Rejects when the address cannot be had. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, port, logger, limits = DEFAULT_LIMITS } = options;
  let { app } = options;
  const listener = getRequestListener((request, env) => app.fetch(request, env), {
    // Only what the adapter itself cannot make a request of comes here: a host or an address that is none.
    errorHandler: (error) => {
      logger.debug({ err: error }, 'malformed request');
      return new Response(faultBody(MALFORMED), {
        status: MALFORMED.status,
        headers: { 'content-type': 'application/json' },
      });
    },
  });
  const stopped = new AbortController();
  const connections = new Connections();
  const server = createServer(nodeOptions(limits));
  server.maxConnections = limits.connections;
  // The section's size is bounded and its lines are counted below; beyond a limit of its own Node would drop lines.
  server.maxHeadersCount = 0;

  function receive(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const fault = faultFor(app, incoming, limits);
    const isWanted = connections.begin(incoming, outgoing, fault);
    // An answer that ends while the server closes leaves an idle connection, which nobody would close before its time.
    outgoing.once('close', () => stopped.signal.aborted && setImmediate(() => server.closeIdleConnections()));
    if (fault !== undefined) logger.debug({ fault, remoteAddress: incoming.socket.remoteAddress }, 'request refused');
    if (!isWanted) return;
    if (incoming.headers.expect !== undefined) outgoing.writeContinue();
    void listener(incoming, outgoing);
  }

  // Whoever asks first whether to go on is told after its headers have been looked at.
  server.on('request', receive).on('checkContinue', receive).on('checkExpectation', receive);
  server.on('connect', (_incoming, socket) => refuseTunnel(socket as Socket));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => connections.refuse(error, socket as Socket));
  reportDrops(server, logger, limits.connections);
  await listen(server, host, port);
  return {
    address: server.address() as AddressInfo,
    use(next) {
      app = next;
    },
    close(graceMs = 5000) {
      stopped.abort();
      return close(server, graceMs);
    },
  };
}

/** A method that nobody here knows is refused before the app sees it, which knows those of the path. */
function faultFor(app: App, incoming: IncomingMessage, limits: ServerLimits): Fault | undefined {
  const fault = faultOf(incoming, limits);
  if (fault !== NO_METHOD) return fault;
  const path = incoming.url?.split('?', 1)[0] ?? '';
  return { ...fault, allow: methodsOf(app, path).join(', ') };
}

function nodeOptions({ headerSize, headersTimeout, requestTimeout }: ServerLimits) {
  // The whole of a request cannot have less time than its beginning.
  const whole = Math.max(headersTimeout, requestTimeout);
  return {
    maxHeaderSize: headerSize,
    headersTimeout,
    requestTimeout: whole,
    connectionsCheckingInterval: Math.min(CHECK_MS, Math.max(10, headersTimeout / 4)),
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAlive: true,
    keepAliveInitialDelay: PROBE_MS,
    // A request without a host is refused by us, in the one error format.
    requireHostHeader: false,
    insecureHTTPParser: false,
  };
}

function reportDrops(server: Server, logger: Logger, connections: number): void {
  const report = (more: object) => logger.warn({ connections, ...more }, 'too many connections: new ones are closed');
  const guard = new FloodGuard({ perKey: 1, total: 1, report });
  server.on('drop', (drop: { remoteAddress?: string } | undefined) => {
    const remoteAddress = drop?.remoteAddress;
    if (guard.admits(addressKey(remoteAddress))) report({ remoteAddress });
  });
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function close(server: Server, graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await promise;
  clearTimeout(timer);
}
