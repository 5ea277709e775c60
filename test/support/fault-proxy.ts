import { createServer, Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage, Server, ServerResponse } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { watchObject, watchText } from './canary.ts';
import { type KubeRequest, parseKubeRequest, RequestLog } from './cluster-requests.ts';
import { type WatchFault, WatchFrames } from './fault-proxy-frames.ts';

/**
 * What happens to one call.
 *
 * - `pass`: nothing.
 * - `reset-before`: the connection breaks before the server saw the call.
 * - `reset-after`: the server did it, and the connection breaks before its answer.
 * - `hold-before`, `hold-after`: as above, but the call waits until the test releases it or the client goes away.
 * - `stall`: the server never sees it and it is never answered.
 * - `duplicate`: the server gets it twice, one after the other; the client sees the second answer.
 * - `status`: answered by the proxy with a Kubernetes Status; the server never sees it.
 * - `delayMs`: passed on at once, answered so much later.
 * - `watch`: see `WatchFault`.
 */
export type Fault =
  | 'pass'
  | 'reset-before'
  | 'reset-after'
  | 'hold-before'
  | 'hold-after'
  | 'stall'
  | 'duplicate'
  | { readonly status: number; readonly reason?: string; readonly message?: string; readonly retryAfter?: number }
  | { readonly delayMs: number }
  | { readonly watch: WatchFault };

/** Decides what happens to call `n` (1 for the first). Health probes and watches are calls, too. */
export type OnCall = (n: number, request: KubeRequest) => Fault;

/** A call that waits. */
export interface HeldCall {
  readonly request: KubeRequest;
  readonly fault: 'hold-before' | 'hold-after';
  /** Lets it go on; does nothing when the client has gone. */
  release(): void;
}

export interface FaultProxyOptions {
  /** The API server: `http://…` or `https://…`. */
  readonly server: string;
  /** PEM of its certificate authority, for https. */
  readonly ca?: string;
  /** Default: everything passes. */
  readonly onCall?: OnCall;
}

/**
 * An HTTP proxy between a client and an API server that does as it is told with every call. It listens on plain HTTP on
 * a loopback address; credentials pass through.
 */
export class FaultProxy {
  /** The address for the client: `http://127.0.0.1:PORT`. */
  readonly server: string;
  /** Everything that arrived here, whatever became of it. */
  readonly requests = new RequestLog();
  /** Calls that wait now. */
  readonly held = new Set<HeldCall>();
  onCall: OnCall;
  readonly #http: Server;
  readonly #upstream: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #delays = new Set<NodeJS.Timeout>();
  #onHold: (() => void)[] = [];
  #calls = 0;

  /** Starts one on a free port. */
  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const http = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject);
      http.listen(0, '127.0.0.1', resolve);
    });
    return new FaultProxy(http, options);
  }

  private constructor(http: Server, options: FaultProxyOptions) {
    this.server = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    this.onCall = options.onCall ?? (() => 'pass');
    this.#http = http;
    this.#upstream = new URL(options.server);
    this.#agent =
      this.#upstream.protocol === 'https:'
        ? new HttpsAgent({ keepAlive: true, ...(options.ca === undefined ? {} : { ca: options.ca }) })
        : new HttpAgent({ keepAlive: true });
    http.on('request', (request, response) => this.#take(request, response));
  }

  /** The next call that waits, or one that waits already. */
  async nextHeld(timeoutMs: number): Promise<HeldCall> {
    const [waiting] = this.held;
    if (waiting !== undefined) return waiting;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`No call was held within ${timeoutMs} ms`)), timeoutMs);
      this.#onHold.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    return this.nextHeld(timeoutMs);
  }

  /** Breaks every connection, as a network does: watches and calls in flight alike. */
  reset(): void {
    this.#http.closeAllConnections();
  }

  async close(): Promise<void> {
    for (const timer of this.#delays) clearTimeout(timer);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }

  #take(incoming: IncomingMessage, response: ServerResponse): void {
    this.#calls += 1;
    const request = parseKubeRequest(this.#calls, incoming.method ?? 'GET', incoming.url ?? '/');
    response.once('close', this.requests.add(request));
    watchWrite(incoming);
    response.on('error', () => undefined);
    const fault = this.onCall(request.n, request);
    if (fault === 'reset-before') {
      incoming.socket.destroy();
    } else if (fault === 'stall') {
      incoming.resume();
    } else if (fault === 'hold-before') {
      const body = collect(incoming);
      this.#hold(request, fault, response, () => void body.then((bytes) => this.#forward(incoming, response, bytes)));
    } else if (typeof fault === 'object' && 'status' in fault) {
      incoming.resume();
      answer(response, fault);
    } else if (fault === 'pass' || typeof fault === 'object') {
      this.#pass(incoming, response, fault);
    } else {
      void collect(incoming).then((body) => this.#withAnswer(incoming, response, body, request, fault));
    }
  }

  /** The calls whose answer must be known as a whole before anything of it goes on. */
  async #withAnswer(
    incoming: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
    request: KubeRequest,
    fault: 'reset-after' | 'hold-after' | 'duplicate',
  ): Promise<void> {
    let upstream = await this.#ask(incoming, body);
    if (fault === 'duplicate' && upstream !== undefined) upstream = await this.#ask(incoming, body);
    const finish = (): void => {
      if (upstream === undefined || fault === 'reset-after') incoming.socket.destroy();
      else response.writeHead(upstream.head.statusCode ?? 502, upstream.head.headers).end(upstream.body);
    };
    if (fault === 'hold-after') this.#hold(request, fault, response, finish);
    else finish();
  }

  #hold(request: KubeRequest, fault: HeldCall['fault'], response: ServerResponse, goOn: () => void): void {
    const call: HeldCall = {
      request,
      fault,
      release: () => {
        if (this.held.delete(call)) goOn();
      },
    };
    response.once('close', () => this.held.delete(call));
    this.held.add(call);
    const waiting = this.#onHold;
    this.#onHold = [];
    for (const tell of waiting) tell();
  }

  #forward(incoming: IncomingMessage, response: ServerResponse, body: Buffer): void {
    const upstream = this.#open(incoming, (head) => relay(head, response));
    upstream.on('error', () => incoming.socket.destroy());
    response.once('close', () => upstream.destroy());
    upstream.end(body);
  }

  #pass(
    incoming: IncomingMessage,
    response: ServerResponse,
    fault: 'pass' | { delayMs: number } | { watch: WatchFault },
  ): void {
    const upstream = this.#open(incoming, (head) => {
      if (fault === 'pass') return relay(head, response);
      if ('watch' in fault) return relay(head, response, new WatchFrames(fault.watch, () => incoming.socket.destroy()));
      const timer = setTimeout(() => {
        this.#delays.delete(timer);
        relay(head, response);
      }, fault.delayMs);
      this.#delays.add(timer);
    });
    upstream.on('error', () => incoming.socket.destroy());
    response.once('close', () => upstream.destroy());
    incoming.pipe(upstream);
  }

  /** Sends one call and reads its whole answer; undefined when the server broke off. */
  #ask(incoming: IncomingMessage, body: Buffer): Promise<{ head: IncomingMessage; body: Buffer } | undefined> {
    return new Promise((resolve) => {
      const upstream = this.#open(incoming, (head) => {
        collect(head).then(
          (bytes) => resolve({ head, body: bytes }),
          () => resolve(undefined),
        );
      });
      upstream.on('error', () => resolve(undefined));
      upstream.end(body);
    });
  }

  #open(incoming: IncomingMessage, onAnswer: (head: IncomingMessage) => void): ClientRequest {
    const send = this.#upstream.protocol === 'https:' ? httpsRequest : httpRequest;
    return send(
      new URL(incoming.url ?? '/', this.#upstream),
      { method: incoming.method, headers: { ...incoming.headers, host: this.#upstream.host }, agent: this.#agent },
      onAnswer,
    );
  }
}

/** Passes an answer on as it comes; when the server breaks it off, so do we. */
function relay(head: IncomingMessage, response: ServerResponse, frames?: WatchFrames): void {
  response.writeHead(head.statusCode ?? 502, head.headers);
  response.flushHeaders();
  const breakOff = (): void => void response.destroy();
  head.once('error', breakOff);
  head.once('aborted', breakOff);
  if (frames === undefined) head.pipe(response);
  else head.pipe(frames).pipe(response);
}

function answer(response: ServerResponse, fault: Extract<Fault, { status: number }>): void {
  const { status, reason = '', message = `The test proxy answers ${status}`, retryAfter } = fault;
  const headers = {
    'content-type': 'application/json',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  };
  const details = retryAfter === undefined ? {} : { details: { retryAfterSeconds: retryAfter } };
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...details,
    code: status,
  };
  response.writeHead(status, headers).end(JSON.stringify(body));
}

async function collect(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Whatever a controller writes to a cluster: planted credentials may be in the data of Secrets alone. */
function watchWrite(incoming: IncomingMessage): void {
  const where = `${incoming.method} ${incoming.url}`;
  watchText(where, 'path of a call to the API server');
  const pieces: Buffer[] = [];
  incoming.on('data', (piece: Buffer) => pieces.push(piece));
  incoming.once('end', () => {
    const text = Buffer.concat(pieces).toString('utf8');
    if (text === '') return;
    // A patch need not say what it is about.
    const isSecret = /\/secrets(?:[/?]|$)/.test(incoming.url ?? '');
    const object = parseObject(text);
    if (object === undefined) watchText(isSecret ? '' : text, where);
    else watchObject(isSecret ? { ...object, kind: 'Secret' } : object, where);
  });
}

function parseObject(text: string): object | undefined {
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}
