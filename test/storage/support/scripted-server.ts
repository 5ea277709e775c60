import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** One request as it arrived, and the ways to answer it. */
export class Exchange {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** The body as JSON, or undefined. */
  readonly body: unknown;
  readonly #response: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse, body: string) {
    const url = new URL(request.url ?? '/', 'http://localhost');
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = url.searchParams;
    this.headers = request.headers;
    this.body = body === '' ? undefined : (JSON.parse(body) as unknown);
    this.#response = response;
  }

  get isWatch(): boolean {
    return this.query.get('watch') === 'true';
  }

  /** Whether the client has gone away or has been answered. */
  get closed(): boolean {
    return this.#response.closed;
  }

  json(body: unknown, status = 200, headers: Record<string, string> = {}): void {
    this.text(JSON.stringify(body), status, headers);
  }

  text(body: string, status = 200, headers: Record<string, string> = {}): void {
    this.#response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  }

  /** A Status as the API server writes it. */
  status(code: number, reason: string, headers: Record<string, string> = {}, details: object = {}): void {
    const message = `scripted ${reason}`;
    this.json({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, details }, code, headers);
  }

  /** Breaks the connection. */
  reset(): void {
    (this.#response.socket as Socket).resetAndDestroy();
  }

  /** Begins a watch: the header goes out at once. */
  open(status = 200): this {
    this.#response.writeHead(status, { 'content-type': 'application/json' }).flushHeaders();
    return this;
  }

  write(chunk: string | Buffer): this {
    this.#response.write(chunk);
    return this;
  }

  /** One event of a watch. */
  event(type: string, object: object): this {
    return this.write(`${JSON.stringify({ type, object })}\n`);
  }

  end(): void {
    this.#response.end();
  }
}

export type Answer = (exchange: Exchange) => void;

/** An API server that says what the test tells it to, on a loopback address. */
export class ScriptedServer implements AsyncDisposable {
  readonly server: string;
  /** Every request that has arrived, in order. */
  readonly exchanges: Exchange[] = [];
  /** Answers for the next requests; after them `otherwise` answers. */
  readonly answers: Answer[] = [];
  otherwise: Answer = (exchange) => exchange.status(500, 'NotScripted');
  /** How many connections have ever been opened, and those that are open. */
  connections = 0;
  readonly #open = new Set<Socket>();
  readonly #http: Server;

  constructor(http: Server) {
    this.#http = http;
    this.server = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    http.on('connection', (socket) => {
      this.connections += 1;
      this.#open.add(socket);
      socket.on('close', () => this.#open.delete(socket));
    });
    http.on('request', (request, response) => void this.#receive(request, response));
  }

  static async start(): Promise<ScriptedServer> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return new ScriptedServer(http);
  }

  get openConnections(): number {
    return this.#open.size;
  }

  get lists(): Exchange[] {
    return this.exchanges.filter(({ isWatch, method }) => method === 'GET' && !isWatch);
  }

  get watches(): Exchange[] {
    return this.exchanges.filter(({ isWatch }) => isWatch);
  }

  /** Stops listening, so that further connections are refused. */
  async close(): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const exchange = new Exchange(request, response, Buffer.concat(chunks).toString());
    this.exchanges.push(exchange);
    (this.answers.shift() ?? this.otherwise)(exchange);
  }
}
