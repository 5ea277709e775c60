import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { LogQuery } from './container-log.ts';
import { NODE_ADDRESS } from './pod-status.ts';
import { type Certificate, selfSigned } from './self-signed.ts';

/** Whose log is wanted. */
export interface LogPlace {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** Of the run before this one. */
  readonly previous: boolean;
}

/** Finds the log of a container. @throws LogRefusal */
export type OpenLog = (where: LogPlace, query: LogQuery, signal: AbortSignal) => AsyncIterable<Buffer>;

/** Why there is no log; the message is the kubelet's. */
export class LogRefusal extends Error {
  override readonly name = 'LogRefusal';
  readonly status: 400 | 404;

  constructor(status: 400 | 404, message: string) {
    super(message);
    this.status = status;
  }
}

let certificate: Certificate | undefined;

/**
 * The kubelet's own server, of which there is only `/containerLogs/{namespace}/{pod}/{container}`: where an API server gets
 * the logs of pods. It listens on loopback and asks nobody who they are.
 */
export class LogServer {
  readonly #server: Server;
  readonly #open: OpenLog;

  constructor(open: OpenLog) {
    this.#open = open;
    certificate ??= selfSigned('sandbox-kubelet');
    this.#server = createServer(certificate, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  /** @returns the port */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, NODE_ADDRESS, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer({ method, url = '/' }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(url, 'https://kubelet');
    const [root, namespace = '', pod = '', container = '', more] = pathname.slice(1).split('/').map(decodeURIComponent);
    if (method !== 'GET' || root !== 'containerLogs' || container === '' || more !== undefined) {
      refuse(response, 404, '404 page not found');
      return;
    }
    const over = new AbortController();
    response.once('close', () => over.abort());
    try {
      const where = { namespace, pod, container, previous: searchParams.get('previous') === 'true' };
      const log = this.#open(where, readQuery(searchParams), over.signal);
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.flushHeaders();
      await pipeline(Readable.from(log, { objectMode: false }), response);
    } catch (error) {
      if (!(error instanceof LogRefusal)) throw error;
      refuse(response, error.status, error.message);
    }
  }
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}

/** What the API server has checked already. */
function readQuery(query: URLSearchParams): LogQuery {
  const number = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
  const seconds = number('sinceSeconds');
  const time = query.get('sinceTime');
  return {
    follow: query.get('follow') === 'true',
    timestamps: query.get('timestamps') === 'true',
    since: seconds === undefined ? (time === null ? undefined : Date.parse(time)) : Date.now() - seconds * 1000,
    tailLines: number('tailLines'),
    limitBytes: number('limitBytes'),
  };
}
