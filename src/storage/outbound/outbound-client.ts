import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, buildConnector, type Dispatcher, errors, request } from 'undici';
import { type AddressGuard, AddressRefused } from './address-guard.ts';

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
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);
const HEADER_BYTES = 16 * 1024;
/** Far more than the refs of the largest public repositories take. */
const BODY_BYTES = 64 * 1024 * 1024;
const CONNECTIONS = 8;
const DISCARDED_BYTES = 16 * 1024;
const PAUSE_MS = 50;

/**
 * Asks hosts that users name, over HTTP, and lets none of them send it where it must not go: connections are made to
 * addresses that the guard allows; redirects are followed by hand, each checked as the first address is, never from
 * https to http; answers are bounded. The deadline is the caller's signal.
 */
export class OutboundClient {
  readonly #agent: Agent;
  readonly #bodyBytes: number;

  constructor(
    guard: AddressGuard,
    { timeoutMs, bodyBytes = BODY_BYTES }: { readonly timeoutMs: number; readonly bodyBytes?: number },
  ) {
    this.#bodyBytes = bodyBytes;
    this.#agent = new Agent({
      connect: guardedConnector(guard, timeoutMs),
      connections: CONNECTIONS,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxHeaderSize: HEADER_BYTES,
      keepAliveMaxTimeout: 10_000,
      allowH2: false,
    });
  }

  /**
   * Asks, and gives the answer to `read`; what that leaves of it is thrown away.
   *
   * @throws {AddressRefused | OutboundRefused} it leads where it must not
   * @throws whatever undici throws when no answer comes, and `read`
   */
  async ask<T>(address: string, options: OutboundRequest, read: (answer: OutboundAnswer) => Promise<T>): Promise<T> {
    let url = new URL(address);
    for (let hop = 0; ; hop += 1) {
      const answer = await this.#request(url, options);
      try {
        const { statusCode: status, headers } = answer;
        const location = headers.location;
        if (!REDIRECT_STATUSES.has(status) || typeof location !== 'string') {
          return await read({ status, headers, url, body: bounded(answer.body, this.#bodyBytes) });
        }
        if (options.method === 'POST') throw new OutboundRefused('a redirect of a POST');
        if (hop === REDIRECTS) throw new OutboundRefused('too many redirects');
        url = nextHop(url, location);
      } finally {
        discard(answer.body, options.signal);
      }
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #request(url: URL, options: OutboundRequest): Promise<Dispatcher.ResponseData> {
    const { method = 'GET', headers, body, authorization, signal } = options;
    const credential = authorization?.(url);
    const send = () =>
      request(url, {
        dispatcher: this.#agent,
        method,
        signal,
        headers: {
          'user-agent': USER_AGENT,
          ...headers,
          ...(credential === undefined ? {} : { authorization: credential }),
        },
        ...(body === undefined ? {} : { body }),
      });
    try {
      return await send();
    } catch (error) {
      // A connection that was kept may be closed by the other side just as it is used: once more on a new one.
      if (!(error instanceof errors.SocketError) || method !== 'GET') throw error;
      await delay(PAUSE_MS * (1 + Math.random()), undefined, { signal });
      return send();
    }
  }
}

/** Git hosts tell clients of Git by this: some answer others with a web page. */
const USER_AGENT = 'git/2.0 (labwright)';

/** All bytes of an answer that is known to be small. @throws {OutboundRefused} when it is not */
export async function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bounded(body, maxBytes)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function guardedConnector(guard: AddressGuard, timeout: number): buildConnector.connector {
  const options = { timeout, allowH2: false };
  const trusted = buildConnector(options);
  const guarded = buildConnector({ ...options, lookup: guard.lookup });
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

function nextHop(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw new OutboundRefused('a redirect to what is no URL');
  const to = new URL(location, from);
  const isDowngrade = from.protocol === 'https:' && to.protocol !== 'https:';
  if (isDowngrade || (to.protocol !== 'https:' && to.protocol !== 'http:')) {
    throw new OutboundRefused('a redirect to another protocol');
  }
  if (to.username !== '' || to.password !== '') throw new OutboundRefused('a redirect with a credential in it');
  return to;
}

async function* bounded(body: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new OutboundRefused('an answer that is too long');
    yield chunk;
  }
}

/** Ends an answer. One that nobody has looked at is read to its end if that is near: the connection then serves again. */
function discard(body: Dispatcher.ResponseData['body'], signal: AbortSignal): void {
  body.on('error', () => undefined);
  if (body.bodyUsed || signal.aborted) body.destroy();
  else body.dump({ limit: DISCARDED_BYTES, signal }).catch(() => body.destroy());
}

/** Whether it was we who would not go there. */
export function isRefusal(error: unknown): boolean {
  return error instanceof AddressRefused || error instanceof OutboundRefused;
}
