import type { Dispatcher } from 'undici';
import { raceAbort } from '../../util/abort.ts';
import { retry } from '../../util/backoff.ts';
import {
  ask,
  errorCode,
  HttpFailure,
  type HttpRequest,
  type HttpStream,
  inTime,
  readAll,
  send,
  textOf,
} from '../../util/http.ts';
import { type RunContext, runContext } from '../../util/run-context.ts';
import type { Headers, KubeConnection } from './connection.ts';
import { errorFromAnswer, KubeError, type Target } from './kube-error.ts';
import { type Priority, RequestLimiter } from './request-limiter.ts';
import { writeFence } from '../../util/write-fence.ts';

export interface CallOptions {
  /** Ends the call early. */
  readonly signal?: AbortSignal;
  /** For the whole call, its waiting and its retries included; default from the client. */
  readonly timeoutMs?: number;
  readonly priority?: Priority;
  /** Ask the API server to check everything and store nothing. */
  readonly dryRun?: boolean;
  /** Ask the API server to refuse fields that it does not know. */
  readonly strict?: boolean;
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

const RETRY = { attempts: 4, firstMs: 100, longestMs: 1_000 };
/** Far more than a page of the largest objects that there are. */
const BODY_BYTES = 256 * 2 ** 20;
const COMPLAINT_BYTES = 2 ** 20;
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
  /** Where the connection leads; from the first call on, since only then has it been made. */
  #way: Way | undefined;
  #isClosed = false;
  readonly #timeoutMs: number;
  readonly #limiter: RequestLimiter;

  constructor(options: KubeTransportOptions) {
    const { connection, timeoutMs = 10_000, requestsPerSecond = 1000, burst = 1000, inFlight = 64 } = options;
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#limiter = new RequestLimiter({ requestsPerSecond, burst, inFlight });
  }

  get server(): string {
    return this.#connection.server;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#way?.dispatcher.destroy();
  }

  /**
   * Opens a stream, outside of the limiter: streams are few and held for long. The deadline is for the answer to begin;
   * after that, `silenceMs` without a byte ends it; 0 is never. That the other side is gone is then noticed by the
   * probes of the connection (TCP keepalive, which undici turns on).
   */
  async stream(call: Call, signal: AbortSignal, silenceMs: number): Promise<HttpStream['body']> {
    try {
      return await inTime(this.#timeoutMs, signal, async (either) => {
        return this.#trusted(call, either, async (dispatcher, request) => {
          const { status, headers, body } = await send(dispatcher, { ...request, silenceMs });
          // 204 is the log of a pod that has no node yet.
          if (status === 200 || status === 204) return body;
          const text = (await readAll(body, COMPLAINT_BYTES)).toString();
          throw errorFromAnswer(call.target, status, text, headers['retry-after']);
        });
      });
    } catch (cause) {
      throw asKubeError(call.target, cause);
    }
  }

  /** One call, from its turn in the limiter to the parsed answer. */
  async call(call: Call): Promise<unknown> {
    const { timeoutMs = this.#timeoutMs } = call.options;
    const endsAt = performance.now() + timeoutMs;
    // Read here: the limiter goes on in the context of whoever gives it a turn.
    const run = runContext.getStore();
    const callers = [call.options.signal, run?.signal].filter((each) => each !== undefined);
    return inTime(timeoutMs, callers.length > 1 ? AbortSignal.any(callers) : callers[0], (signal) => {
      const again = (error: unknown) => {
        const isWanted = callers.every(({ aborted }) => !aborted);
        // Not a moment earlier than the server asks for.
        return isWanted && error instanceof KubeError && mayRetry(call, error) ? (error.retryAfterMs ?? 0) : undefined;
      };
      return retry({ ...RETRY, again, endsAt, signal }, () => this.#attempt(call, signal, run));
    });
  }

  async #attempt(call: Call, signal: AbortSignal, run: RunContext | undefined): Promise<unknown> {
    try {
      await this.#limiter.acquire(call.options.priority ?? 'interactive', signal);
      try {
        if (call.method !== 'GET' && run?.mayWrite() === false) throw leadershipLost(call.target);
        return await this.#trusted(call, signal, (dispatcher, request) => this.#ask(call, dispatcher, request));
      } finally {
        this.#limiter.release();
      }
    } catch (cause) {
      throw asKubeError(call.target, cause);
    }
  }

  /**
   * Sends a request, and once more with what is read anew where the two do not trust each other: credentials that were
   * good a moment ago may have been replaced. A server that does not know who asks has done nothing.
   */
  async #trusted<T>(
    call: Call,
    signal: AbortSignal,
    sendIt: (dispatcher: Dispatcher, request: HttpRequest) => Promise<T>,
  ): Promise<T> {
    const sendWith = async (credentials: Headers) => {
      if (this.#isClosed) throw new TypeError('the client is closed');
      const way = (this.#way ??= wayOf(this.#connection));
      return sendIt(way.dispatcher, requestOf(call, way, credentials, signal));
    };
    // An exec plugin that hangs must not hold the call beyond its deadline.
    const used = await raceAbort(this.#connection.headers(), signal);
    try {
      return await sendWith(used);
    } catch (error) {
      if (!isDistrust(error) || this.#connection.renew?.(used) !== true) throw error;
      return await sendWith(await raceAbort(this.#connection.headers(), signal));
    }
  }

  async #ask(call: Call, dispatcher: Dispatcher, request: HttpRequest): Promise<unknown> {
    const { status, headers, body } = await ask(dispatcher, request, BODY_BYTES);
    const text = body.toString();
    if (status < 200 || status > 299) throw errorFromAnswer(call.target, status, text, headers['retry-after']);
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // Without the cause: it quotes the answer, which may be a Secret.
      throw new KubeError(call.target, { status: 0, reason: 'NoAnswer', message: 'the answer is not JSON' });
    }
  }
}

interface Way {
  readonly origin: string;
  readonly basePath: string;
  readonly dispatcher: Dispatcher;
}

function wayOf({ server, dispatcher }: KubeConnection): Way {
  const { origin, pathname } = new URL(server);
  return { origin, basePath: pathname.replace(/\/$/, ''), dispatcher: dispatcher.compose(writeFence) };
}

function requestOf(call: Call, { origin, basePath }: Way, credentials: Headers, signal: AbortSignal): HttpRequest {
  const accept = call.accept ?? (call.options.metadataOnly === true ? METADATA : JSON_TYPE);
  const headers: Record<string, string> = { ...credentials, accept };
  if (call.body !== undefined) headers['content-type'] = call.contentType ?? JSON_TYPE;
  return {
    origin,
    path: `${basePath}${call.path}${queryString(call.query ?? {})}`,
    method: call.method,
    headers,
    body: call.body === undefined ? undefined : JSON.stringify(call.body),
    signal,
  };
}

/** The server refuses our credentials, or a certificate is refused before anything is sent. */
function isDistrust(error: unknown): boolean {
  if (error instanceof KubeError) return error.status === 401;
  return error instanceof HttpFailure && /CERT|ISSUER|SIGNATURE|UNKNOWN_CA/.test(error.code ?? '');
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

function asKubeError(target: Target, cause: unknown): KubeError {
  if (cause instanceof KubeError) return cause;
  const isLate = cause instanceof HttpFailure && cause.reason === 'late';
  const message = isLate ? 'no answer in time' : cause instanceof Error ? textOf(cause) : 'no answer';
  return new KubeError(target, { status: 0, reason: isLate ? 'Timeout' : 'NoAnswer', message }, { cause });
}

/** Nothing reached the server, or the server said that it did nothing. */
function mayRetry(call: Call, error: KubeError): boolean {
  if (error.reason === 'Timeout' || error.reason === 'LeadershipLost') return false;
  if (error.status === 429) return true;
  if (call.idempotent) return error.status === 0 || error.status >= 500;
  return errorCode(error.cause) === 'ECONNREFUSED';
}
