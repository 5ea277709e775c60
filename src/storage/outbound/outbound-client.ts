import type { IncomingHttpHeaders } from 'node:http';
import type { Agent, buildConnector } from 'undici';
import { retry } from '../../util/backoff.ts';
import {
  addressOf,
  HttpFailure,
  type HttpStream,
  inTime,
  nextHop,
  pool,
  readAll as readBounded,
  send,
} from '../../util/http.ts';
import { type AddressGuard, AddressRefused } from './address-guard.ts';
import { Authorities } from './authorities.ts';

export interface OutboundRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Value of the Authorization header for a URL, asked for each hop: what is for one address goes to no other. */
  readonly authorization?: (url: URL) => string | undefined;
  readonly signal: AbortSignal;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** Not longer than the client's limit; ends with OutboundRefused beyond it. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** A redirect or an answer that is not followed or read: it leads where it must not, or has no end. */
export class OutboundRefused extends Error {
  override readonly name = 'OutboundRefused';
}

const REDIRECTS = 5;
const HEADER_BYTES = 16 * 1024;
/** Far more than the refs of the largest public repositories take. */
const BODY_BYTES = 64 * 1024 * 1024;
const CONNECTIONS = 8;
const DISCARDED_BYTES = 16 * 1024;
const RETRY = { attempts: 2, firstMs: 100, longestMs: 100 };

/**
 * Asks hosts that users name, over HTTP, and lets none of them send it where it must not go: connections are made to
 * addresses that the guard allows; redirects are followed by hand, each checked as the first address is, never from
 * https to http; answers are bounded. The deadline is the caller's signal.
 */
export class OutboundClient {
  readonly #agent: Agent;
  readonly #timeoutMs: number;
  readonly #bodyBytes: number;

  constructor(
    guard: AddressGuard,
    options: {
      readonly timeoutMs: number;
      readonly bodyBytes?: number;
      readonly authorities?: Authorities | undefined;
    },
  ) {
    const { timeoutMs, bodyBytes = BODY_BYTES, authorities = new Authorities(undefined) } = options;
    this.#bodyBytes = bodyBytes;
    this.#timeoutMs = timeoutMs;
    this.#agent = pool({
      connect: guardedConnector(guard, authorities, timeoutMs),
      connections: CONNECTIONS,
      maxHeaderSize: HEADER_BYTES,
      keepAliveMaxTimeout: 10_000,
    });
  }

  /**
   * Asks, and gives the answer to `read`; what that leaves of it is thrown away.
   *
   * @throws {AddressRefused | OutboundRefused} it leads where it must not
   * @throws {HttpFailure} no answer comes, or it stays away for too long
   * @throws the reason of the signal, and what `read` throws
   */
  async ask<T>(address: string, options: OutboundRequest, read: (answer: OutboundAnswer) => Promise<T>): Promise<T> {
    let url = new URL(address);
    for (let hop = 0; ; hop += 1) {
      const answer = await this.#request(url, options);
      try {
        const next = nextHop(url, answer);
        if (next === undefined) {
          return await read({ ...answer, url, body: bounded(answer.body, this.#bodyBytes) });
        }
        if (options.method === 'POST') throw new OutboundRefused('a redirect of a POST');
        if (hop === REDIRECTS) throw new OutboundRefused('too many redirects');
        if (next === 'refused') throw new OutboundRefused('a redirect to an address that is not followed');
        url = next;
      } finally {
        discard(answer.body, options.signal);
      }
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #request(url: URL, options: OutboundRequest): Promise<HttpStream> {
    const { method = 'GET', body, signal } = options;
    const authorization = options.authorization?.(url);
    const shown = authorization === undefined ? {} : { authorization };
    const headers = { 'user-agent': USER_AGENT, ...options.headers, ...shown };
    const request = { ...addressOf(url), method, headers, body, silenceMs: this.#timeoutMs };
    // A connection that was kept may be closed by the other side just as it is used: once more on a new one.
    const again = (error: unknown) =>
      error instanceof HttpFailure && error.code === 'UND_ERR_SOCKET' && method === 'GET' ? 0 : undefined;
    try {
      return await retry({ ...RETRY, again, signal }, () =>
        inTime(this.#timeoutMs, signal, (either) => send(this.#agent, { ...request, signal: either })),
      );
    } catch (error) {
      throw error instanceof HttpFailure && isRefusal(error.cause) ? error.cause : error;
    }
  }
}

/** Git hosts tell clients of Git by this: some answer others with a web page. */
const USER_AGENT = 'git/2.0 (labwright)';

/** All bytes of an answer that is known to be small. @throws {OutboundRefused} when it is not */
export function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  return readBounded(body, maxBytes, tooLong);
}

/** The chunks of an answer. @throws {OutboundRefused} beyond so many bytes */
export async function* bounded(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw tooLong();
    yield chunk;
  }
}

function tooLong(): OutboundRefused {
  return new OutboundRefused('an answer that is too long');
}

function guardedConnector(guard: AddressGuard, authorities: Authorities, timeout: number): buildConnector.connector {
  const options = { timeout, allowH2: false };
  const trusted = authorities.connector(options);
  const guarded = authorities.connector({ ...options, lookup: guard.lookup });
  return (target, callback) => {
    const port = Number(target.port || (target.protocol === 'https:' ? 443 : 80));
    if (guard.isTrusted(target.hostname, port)) return trusted(target, callback);
    try {
      guard.checkLiteral(target.hostname);
    } catch (error) {
      callback(error as Error, null);
      return;
    }
    guarded(target, callback);
  };
}

/** Ends an answer. One that nobody has looked at is read to its end if that is near: the connection then serves again. */
function discard(body: HttpStream['body'], signal: AbortSignal): void {
  body.on('error', () => undefined);
  if (body.bodyUsed || signal.aborted) body.destroy();
  else body.dump({ limit: DISCARDED_BYTES, signal }).catch(() => body.destroy());
}

/** Whether it was we who would not go there. */
export function isRefusal(error: unknown): boolean {
  return error instanceof AddressRefused || error instanceof OutboundRefused;
}
