import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { type RunContext, runContext } from '../../util/run-context.ts';
import { unlessAborted } from '../../util/unless-aborted.ts';
import type { KubeConnection } from './connection.ts';
import { errorCode, errorFromAnswer, KubeError, type Target } from './kube-error.ts';
import { type Priority, RequestLimiter } from './request-limiter.ts';
import { writeFence } from './write-fence.ts';

export interface CallOptions {
  /** Ends the call early. */
  readonly signal?: AbortSignal;
  /** For the whole call, its waiting and its retries included; default from the client. */
  readonly timeoutMs?: number;
  readonly priority?: Priority;
  /** Ask the API server to check everything and store nothing. */
  readonly dryRun?: boolean;
  /** Ask for `metadata` alone of the objects in the answer: no status, no data, no secrets. */
  readonly metadataOnly?: boolean;
}

/** For writes of whose answer only the metadata is looked at: parsing the rest would be a tenth of a spawn's CPU. */
export const METADATA_ONLY = { metadataOnly: true } as const;

export type Query = Record<string, string | undefined>;

/** One request as the client means it. */
export interface Call {
  readonly method: Dispatcher.HttpMethod;
  readonly target: Target;
  readonly path: string;
  readonly query?: Query;
  readonly body?: object;
  readonly contentType?: string;
  readonly accept?: string;
  /** Whether doing it twice is the same as doing it once. */
  readonly idempotent: boolean;
  readonly options: CallOptions;
}

export interface KubeTransportOptions {
  readonly connection: KubeConnection;
  /** Deadline of one call unless it says otherwise. */
  readonly timeoutMs?: number;
  readonly requestsPerSecond?: number;
  readonly burst?: number;
  readonly inFlight?: number;
}

const ATTEMPTS = 4;
const FIRST_RETRY_MS = 100;
const JSON_TYPE = 'application/json';
/** What the Accept header says for metadata alone, of one object and of a list. */
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
export const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

/**
 * How requests reach the API server: one pool of connections, credentials, a turn in the limiter, a deadline, retries.
 *
 * What failed without an answer, with 429 or with 5xx is tried again when doing it twice is the same as doing it once;
 * anything else only where the server certainly did nothing. `Retry-After` is honoured. Every failure is one `KubeError`.
 */
export class KubeTransport {
  readonly #connection: KubeConnection;
  readonly #origin: string;
  readonly #basePath: string;
  readonly #timeoutMs: number;
  readonly #limiter: RequestLimiter;

  constructor(options: KubeTransportOptions) {
    const { connection, timeoutMs = 10_000, requestsPerSecond = 1000, burst = 1000, inFlight = 64 } = options;
    const { origin, pathname } = new URL(connection.server);
    this.#connection = { ...connection, dispatcher: connection.dispatcher.compose(writeFence) };
    this.#origin = origin;
    this.#basePath = pathname.replace(/\/$/, '');
    this.#timeoutMs = timeoutMs;
    this.#limiter = new RequestLimiter({ requestsPerSecond, burst, inFlight });
  }

  get server(): string {
    return this.#connection.server;
  }

  close(): Promise<void> {
    return this.#connection.dispatcher.destroy();
  }

  /**
   * Opens a stream, outside of the limiter: streams are few and held for long. The deadline is for the answer to begin;
   * after that, `silenceMs` without a byte ends it; 0 is never. That the other side is gone is then noticed by the
   * probes of the connection (TCP keepalive, which undici turns on).
   */
  async stream(call: Call, signal: AbortSignal, silenceMs: number): Promise<Dispatcher.ResponseData['body']> {
    const deadline = AbortSignal.timeout(this.#timeoutMs);
    const credentials = AbortSignal.any([signal, deadline]);
    const timeouts = { headersTimeout: this.#timeoutMs, bodyTimeout: silenceMs };
    const answer = await this.#send(call, signal, timeouts, credentials).catch((cause: unknown) => {
      throw asKubeError(call.target, cause, deadline);
    });
    // 204 is the log of a pod that has no node yet.
    if (answer.statusCode === 200 || answer.statusCode === 204) return answer.body;
    const body = await unlessAborted(answer.body.text(), credentials).catch((cause: unknown) => {
      answer.body.destroy();
      throw asKubeError(call.target, cause, deadline);
    });
    throw errorFromAnswer(call.target, answer.statusCode, body, answer.headers['retry-after']);
  }

  /** One call, from its turn in the limiter to the parsed answer. */
  async call(call: Call): Promise<unknown> {
    const timeoutMs = call.options.timeoutMs ?? this.#timeoutMs;
    const endsAt = performance.now() + timeoutMs;
    // Not AbortSignal.timeout: its timers live on after the call, thousands of them in a rush.
    const ended = new AbortController();
    const timer = setTimeout(
      () => ended.abort(new DOMException('no answer before the timeout', 'TimeoutError')),
      timeoutMs,
    );
    const deadline = ended.signal;
    // Read here: the limiter goes on in the context of whoever gives it a turn.
    const run = runContext.getStore();
    const signal = AbortSignal.any([deadline, call.options.signal, run?.signal].filter((each) => each !== undefined));
    try {
      return await this.#attempts(call, signal, deadline, endsAt, run);
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempts(
    call: Call,
    signal: AbortSignal,
    deadline: AbortSignal,
    endsAt: number,
    run: RunContext | undefined,
  ): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#limiter.acquire(call.options.priority ?? 'interactive', signal);
        try {
          if (call.method !== 'GET' && run?.mayWrite() === false) throw leadershipLost(call.target);
          return await this.#attempt(call, signal);
        } finally {
          this.#limiter.release();
        }
      } catch (cause) {
        const error = asKubeError(call.target, cause, deadline);
        const isUnwanted = call.options.signal?.aborted === true || run?.signal.aborted === true;
        if (isUnwanted || attempt === ATTEMPTS || !mayRetry(call, error)) throw error;
        const jitter = Math.random() / 2;
        // Not a moment earlier than the server asks for, and not at all when there is no time left then.
        const wait =
          error.retryAfterMs === undefined
            ? FIRST_RETRY_MS * 2 ** (attempt - 1) * (0.75 + jitter)
            : error.retryAfterMs + FIRST_RETRY_MS * jitter;
        if (performance.now() + wait >= endsAt) throw error;
        await delay(wait, undefined, { signal }).catch(() => {
          throw error;
        });
      }
    }
  }

  async #attempt(call: Call, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#send(call, signal);
    const text = await answer.body.text();
    if (answer.statusCode >= 200 && answer.statusCode < 300) {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        // Without the cause: it quotes the answer, which may be a Secret.
        throw new KubeError(call.target, { status: 0, reason: 'NoAnswer', message: 'the answer is not JSON' });
      }
    }
    throw errorFromAnswer(call.target, answer.statusCode, text, answer.headers['retry-after']);
  }

  /** @param patience for the credentials */
  async #send(
    call: Call,
    signal: AbortSignal,
    timeouts: { headersTimeout?: number; bodyTimeout?: number } = {},
    patience = signal,
  ) {
    // An exec plugin that hangs must not hold the call beyond its deadline.
    const credentials = await unlessAborted(this.#connection.headers(), patience);
    const accept = call.accept ?? (call.options.metadataOnly === true ? METADATA : JSON_TYPE);
    const headers: Record<string, string> = { ...credentials, accept };
    if (call.body !== undefined) headers['content-type'] = call.contentType ?? JSON_TYPE;
    return this.#connection.dispatcher.request({
      origin: this.#origin,
      path: `${this.#basePath}${call.path}${queryString(call.query ?? {})}`,
      method: call.method,
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      // undici would close the connection after a DELETE with a body, and open another one for the next call.
      reset: false,
      signal,
      ...timeouts,
    });
  }
}

/** The lease of this replica is over: another one may be writing. */
function leadershipLost(target: Target): KubeError {
  return new KubeError(target, { status: 0, reason: 'LeadershipLost', message: 'this replica does not lead any more' });
}

function queryString(query: Query): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') parts.push(`${name}=${encodeURIComponent(value)}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

function asKubeError(target: Target, cause: unknown, deadline: AbortSignal): KubeError {
  if (cause instanceof KubeError) return cause;
  if (deadline.aborted) {
    return new KubeError(target, { status: 0, reason: 'Timeout', message: 'no answer in time' }, { cause });
  }
  return new KubeError(target, { status: 0, reason: 'NoAnswer', message: causeText(cause) }, { cause });
}

function causeText(cause: unknown): string {
  if (!(cause instanceof Error)) return 'no answer';
  return [errorCode(cause), cause.message].filter((part) => part !== undefined && part !== '').join(': ');
}

/** Nothing reached the server, or the server said that it did nothing. */
function mayRetry(call: Call, error: KubeError): boolean {
  if (error.reason === 'Timeout' || error.reason === 'LeadershipLost') return false;
  if (error.status === 429) return true;
  if (call.idempotent) return error.status === 0 || error.status >= 500;
  return error.cause instanceof Error && errorCode(error.cause) === 'ECONNREFUSED';
}
