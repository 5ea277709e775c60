import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type Fault, faultBody, HEADER_TOO_LONG, MALFORMED, NO_METHOD, TOO_SLOW } from './requests/request-shape.ts';

/** How long a refused request may go on arriving, so that its sender gets to read the answer. */
const LINGER_MS = 500;

/** Requests that one connection may bring; nginx closes its connections after as many. */
const MOST_REQUESTS = 1000;

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** We have answered it, and wait for nothing but the end of the connection. */
  readonly isRefused: boolean;
}

/**
 * Knows which requests of each connection have no complete answer yet, so that a refusal never goes out as the answer to
 * another request.
 */
export class Connections {
  readonly #exchanges = new WeakMap<Socket, Set<Exchange>>();
  readonly #counts = new WeakMap<Socket, number>();
  /** Those that end with a refusal, or with the last request they may bring: what comes behind it is nobody's request. */
  readonly #ending = new WeakSet<Socket>();
  /** Those on which a request goes on arriving whose answer is complete. */
  readonly #skipping = new WeakSet<Socket>();
  /** Those whose answers in progress are waited for, with nothing more read. */
  readonly #waiting = new WeakSet<Socket>();

  /**
   * To be called for every request, before anything is answered.
   *
   * @param fault what is wrong with it; then it is answered here, and its connection ended
   * @returns whether it is to be handed on
   */
  begin(incoming: IncomingMessage, outgoing: ServerResponse, fault?: Fault): boolean {
    const { socket } = incoming;
    if (this.#ending.has(socket)) return false;
    if (this.#isLast(incoming)) {
      outgoing.shouldKeepAlive = false;
      this.#ending.add(socket);
    }
    const exchange: Exchange = { incoming, outgoing, isRefused: fault !== undefined };
    const open = this.#exchanges.get(socket) ?? new Set();
    this.#exchanges.set(socket, open.add(exchange));
    outgoing.once('close', () => {
      open.delete(exchange);
      if (incoming.complete || socket.destroyed) return;
      this.#skipping.add(socket);
      incoming.once('end', () => this.#skipping.delete(socket));
      skipRest(socket, incoming);
    });
    if (fault === undefined) return true;
    this.#ending.add(socket);
    refuseRequest(fault, incoming, outgoing);
    return false;
  }

  /**
   * Whether the answer says that it is the last one, behind which Node closes the connection.
   *
   * After many requests: what piles up on a connection is gone with it, and other processes behind the Service get their
   * share of those who come again. After an `Upgrade`, which nobody here follows: Node's parser may drop what comes behind
   * it, and its sender is to know that it got no answer.
   */
  #isLast({ socket, headers }: IncomingMessage): boolean {
    const count = (this.#counts.get(socket) ?? 0) + 1;
    this.#counts.set(socket, count);
    return count >= MOST_REQUESTS || headers.upgrade !== undefined;
  }

  /**
   * Refuses what could not be parsed or did not come in time, and closes the connection: after the answers to requests
   * that came whole before it. Where an answer has been begun to the very request that is broken, only closing is left.
   */
  refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    if (this.#waiting.has(socket)) return;
    // What is wrong is the rest of a request that has its answer: a second one would be taken for the next request's.
    if (this.#skipping.has(socket)) {
      socket.destroySoon();
      return;
    }
    this.#ending.add(socket);
    const open = [...(this.#exchanges.get(socket) ?? [])];
    const [first] = open;
    const last = open.at(-1);
    const answer = rawAnswer(faultOfParser(error));
    if (last === undefined) end(socket, answer);
    else if (last.isRefused) last.outgoing.end();
    else if (last.incoming.complete) this.#refuseAfter(last, socket, answer);
    else if (last === first && !last.outgoing.headersSent) end(socket, answer);
    else socket.destroy();
  }

  #refuseAfter({ outgoing }: Exchange, socket: Socket, answer: string): void {
    this.#waiting.add(socket);
    socket.pause();
    outgoing.once('close', () => end(socket, answer));
  }
}

/** Answers what asks for a tunnel, which is nowhere to be had. */
export function refuseTunnel(socket: Socket): void {
  end(socket, rawAnswer(NO_METHOD));
}

function refuseRequest(fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const body = faultBody(fault);
  outgoing.writeHead(fault.status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...(fault.allow === undefined ? {} : { Allow: fault.allow }),
  });
  if (incoming.complete || incoming.method === 'HEAD') {
    outgoing.end(body);
    return;
  }
  // All of the answer is on its way; the connection stays open a little, since closing it would take the answer back.
  outgoing.write(body);
  const finish = () => void outgoing.end();
  const timer = setTimeout(finish, LINGER_MS);
  outgoing.once('close', () => clearTimeout(timer));
  incoming.once('end', finish).once('error', finish).resume();
}

/** Reads over a body that nobody wanted, for a moment: behind it the next request begins. */
function skipRest(socket: Socket, incoming: IncomingMessage): void {
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  const stop = () => {
    clearTimeout(timer);
    // The connection lives on: one listener for each such request would stay until its end.
    socket.off('close', stop);
  };
  socket.once('close', stop);
  incoming.once('end', stop).once('error', stop).resume();
}

function faultOfParser({ code }: NodeJS.ErrnoException): Fault {
  if (code === 'HPE_HEADER_OVERFLOW') return HEADER_TOO_LONG;
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? TOO_SLOW : MALFORMED;
}

function end(socket: Socket, answer: string): void {
  if (!socket.destroyed && socket.writable) socket.end(answer, () => socket.destroySoon());
}

function rawAnswer(fault: Fault): string {
  const body = faultBody(fault);
  return (
    `HTTP/1.1 ${String(fault.status)} ${STATUS_CODES[fault.status] ?? ''}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${String(Buffer.byteLength(body))}\r\nConnection: close\r\n` +
    `${fault.allow === undefined ? '' : `Allow: ${fault.allow}\r\n`}\r\n${body}`
  );
}
