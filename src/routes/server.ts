import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Logger } from 'pino';
import type { createApp } from './app.ts';

/** Longer than the 60 s for which proxies keep idle connections: the one that closes first must not be us. */
const KEEP_ALIVE_MS = 65_000;
/** For the whole request to arrive; a create is a few kilobytes. */
const REQUEST_MS = 60_000;

const MALFORMED = JSON.stringify({ detail: [{ msg: 'The request is not valid HTTP', type: 'invalid_request' }] });

export interface ServerOptions {
  readonly app: ReturnType<typeof createApp>;
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly logger: Logger;
}

export interface RunningServer {
  readonly address: AddressInfo;
  /**
   * Stops listening, lets requests in progress finish, and cuts what is left after `graceMs`. Event streams end by
   * themselves once the app's `stopping` signal has been aborted, which is to be done before.
   */
  close(graceMs?: number): Promise<void>;
}

/** Puts the app on a socket. Rejects when the address cannot be had. */
export async function startServer({ app, host, port, logger }: ServerOptions): Promise<RunningServer> {
  const listener = getRequestListener(app.fetch, {
    // Only what the adapter itself cannot make a request of comes here: no host, an address that is none.
    errorHandler: (error) => {
      logger.debug({ err: error }, 'malformed request');
      return new Response(MALFORMED, { status: 400, headers: { 'content-type': 'application/json' } });
    },
  });
  const stopped = new AbortController();
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: REQUEST_MS }, (incoming, outgoing) => {
    // An answer that ends while the server closes leaves an idle connection, which nobody would close before its time.
    outgoing.once('close', () => stopped.signal.aborted && setImmediate(() => server.closeIdleConnections()));
    void listener(incoming, outgoing);
  });
  server.on('clientError', refuseMalformed);
  await listen(server, host, port);
  return {
    address: server.address() as AddressInfo,
    close(graceMs = 5000) {
      stopped.abort();
      return close(server, graceMs);
    },
  };
}

/** Node has given up on parsing; a header section that is too long is the one case with a status of its own. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket | NodeJS.WritableStream): void {
  if (!('destroyed' in socket) || socket.destroyed || !socket.writable) return;
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${String(MALFORMED.length)}\r\n` +
      `Connection: close\r\n\r\n${MALFORMED}`,
  );
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
