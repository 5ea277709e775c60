import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';

/** What a party said; `body` is what its JSON says, undefined where it sent something else. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** No answer came, or none that can be read. The message says why and holds nothing of the request but its address. */
export class HttpClientError extends Error {
  override readonly name = 'HttpClientError';
}

/** Asks other parties over HTTP: with a deadline, a bound on the answer, and no redirects. */
export interface HttpClient {
  /** @throws {HttpClientError} */
  get(url: string, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface HttpClientOptions {
  /** For one attempt, in milliseconds. */
  readonly timeoutMs?: number;
  /** How often a question is asked when no answer comes at all. */
  readonly attempts?: number;
}

const TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;
const PAUSE_MS = 100;
const BODY_BYTES = 1024 * 1024;

/** Connections are kept for a few seconds between questions. */
export function createHttpClient({ timeoutMs = TIMEOUT_MS, attempts = ATTEMPTS }: HttpClientOptions = {}): HttpClient {
  const dispatcher = new Agent({
    connections: 16,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: BODY_BYTES,
    connect: { timeout: timeoutMs },
  });

  async function ask(url: string, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await request(url, { dispatcher, signal, headers: { accept: 'application/json', ...headers } });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: parse(text) };
  }

  return {
    async get(url, headers = {}) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await ask(url, headers);
        } catch (cause) {
          const { origin, pathname } = new URL(url);
          const why = cause instanceof Error ? cause.message : String(cause);
          if (attempt >= attempts) throw new HttpClientError(`no answer from ${origin}${pathname}: ${why}`, { cause });
          await delay(PAUSE_MS * (1 + Math.random()));
        }
      }
    },
    close: () => dispatcher.destroy(),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
