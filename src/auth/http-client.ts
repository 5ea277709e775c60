import { retry } from '../util/backoff.ts';
import { addressOf, ask, inTime, pool } from '../util/http.ts';

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
  /** Questions under way end with an error. */
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
const RETRY = { firstMs: 200, longestMs: 1_000, again: () => 0 };
const BODY_BYTES = 1024 * 1024;

/** Connections are kept for a few seconds between questions. */
export function createHttpClient({ timeoutMs = TIMEOUT_MS, attempts = ATTEMPTS }: HttpClientOptions = {}): HttpClient {
  const dispatcher = pool({ connections: 16, connect: { timeout: timeoutMs } });
  const closed = new AbortController();

  return {
    async get(url, headers = {}) {
      const address = addressOf(new URL(url));
      const request = { ...address, headers: { accept: 'application/json', ...headers } };
      const attempt = () =>
        inTime(timeoutMs, undefined, (signal) => ask(dispatcher, { ...request, signal }, BODY_BYTES));
      try {
        const { status, body } = await retry({ ...RETRY, attempts, signal: closed.signal }, attempt);
        return { status, body: parse(body) };
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        const where = `${address.origin}${address.path.split('?', 1)[0]}`;
        throw new HttpClientError(`no answer from ${where}: ${why}`, { cause });
      }
    },
    async close() {
      closed.abort();
      await dispatcher.destroy();
    },
  };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body)) as unknown;
  } catch {
    return undefined;
  }
}
