import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import pino from 'pino';
import { RegistryClient } from '../../../src/storage/registry/registry-client.ts';

/** What a scripted server says; `hang` is nothing, `cut` the end of the connection. */
export type Script =
  | 'hang'
  | 'cut'
  | { readonly status: number; readonly headers?: Readonly<Record<string, string | string[]>>; readonly body?: string };

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A server that answers as a function says, and remembers what it was asked. */
export class ScriptedServer {
  readonly seen: Seen[] = [];
  readonly #server: Server;
  #respond: (seen: Seen) => Script | Promise<Script> = () => ({ status: 404, body: '' });

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(): Promise<ScriptedServer> {
    const scripted = new ScriptedServer();
    await new Promise<void>((resolve) => scripted.#server.listen(0, '127.0.0.1', resolve));
    return scripted;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  answer(respond: (seen: Seen) => Script | Promise<Script>): void {
    this.#respond = respond;
  }

  /** `HEAD /v2/…` and its like, in order. */
  get lines(): string[] {
    return this.seen.map(({ method, url }) => `${method} ${decodeURIComponent(url)}`);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request as AsyncIterable<Buffer>) body += chunk.toString();
    const { method = '', url = '', headers } = request;
    const seen = { method, url, headers, body };
    this.seen.push(seen);
    const script = await this.#respond(seen);
    if (script === 'hang') return;
    if (script === 'cut') {
      response.destroy();
      return;
    }
    response.writeHead(script.status, script.headers).end(script.body);
  }
}

export interface ClientOptions {
  readonly host: string;
  readonly url?: string;
  readonly insecure?: boolean;
  readonly timeout?: number;
  /** Entries of `auths`. */
  readonly auths?: object;
  readonly dockerConfig?: string;
}

/** A client, and what it has logged. */
export function makeClient(options: ClientOptions): { client: RegistryClient; logs: string[] } {
  const logs: string[] = [];
  const { host, url, insecure = true, timeout = 5_000, auths } = options;
  const text = options.dockerConfig ?? (auths === undefined ? null : JSON.stringify({ auths }));
  const client = new RegistryClient({
    config: { host, url, insecure, timeout, patience: 60_000, credentials: undefined },
    credentials: () => Promise.resolve(text),
    retryMs: 1,
    logger: pino({ level: 'trace' }, { write: (line: string) => void logs.push(line) }),
  });
  return { client, logs };
}
