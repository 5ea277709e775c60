import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { unlessAborted } from '../../util/unless-aborted.ts';
import { type EngineVersion, negotiate } from './api-version.ts';
import { connectEngine, type EngineAddress, type EngineConnection } from './engine-connection.ts';
import { EngineError, errorFromAnswer, errorWithoutAnswer } from './engine-error.ts';

export interface EngineRequest {
  /** For messages: `start the container`. */
  readonly what: string;
  readonly method: Dispatcher.HttpMethod;
  /** Below the version. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or a tar archive. */
  readonly body?: object | Buffer;
}

export interface EngineAnswer {
  readonly status: number;
  /** What the engine's clock says, in whole seconds; milliseconds since the epoch. */
  readonly date: number;
  readonly text: string;
}

const LONGEST_COMPLAINT = 64 * 2 ** 10;

/**
 * Requests to one engine: a deadline each, nothing is tried twice. Every failure is an `EngineError`.
 */
export class EngineTransport {
  readonly #connection: EngineConnection;
  readonly #timeoutMs: number;
  #version: Promise<EngineVersion> | undefined;

  /** @param timeoutMs for one call, and for a stream to begin */
  constructor(address: EngineAddress, timeoutMs: number) {
    this.#connection = connectEngine(address);
    this.#timeoutMs = timeoutMs;
  }

  async close(): Promise<void> {
    await Promise.all([this.#connection.calls.destroy(), this.#connection.streams.destroy()]);
  }

  /** The version that is spoken; asked for once, and again after `forgetVersion`. */
  version(): Promise<EngineVersion> {
    this.#version ??= this.#askVersion().catch((error: unknown) => {
      this.#version = undefined;
      throw error;
    });
    return this.#version;
  }

  /** The engine may have been replaced by another one. */
  forgetVersion(): void {
    this.#version = undefined;
  }

  /**
   * @param accepted statuses besides 2xx that are no failure
   */
  async call(request: EngineRequest, signal?: AbortSignal, accepted: readonly number[] = []): Promise<EngineAnswer> {
    const ended = new AbortController();
    const timer = setTimeout(
      () => ended.abort(new EngineError(0, `${request.what}: no answer in time`)),
      this.#timeoutMs,
    );
    const either = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
    try {
      const { api } = await unlessAborted(this.version(), either);
      const answer = await this.#send(this.#connection.calls, `/v${api}`, request, either);
      const text = await answer.body.text();
      const { statusCode: status } = answer;
      if ((status < 200 || status > 299) && !accepted.includes(status))
        throw errorFromAnswer(request.what, status, text);
      return { status, date: dateOf(answer), text };
    } catch (cause) {
      throw this.#failure(request, cause, ended.signal, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Opens a stream. It ends with `signal`; silence on it means nothing. */
  async stream(request: EngineRequest, signal: AbortSignal): Promise<Readable> {
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new EngineError(0, `${request.what}: no answer in time`)),
      this.#timeoutMs,
    );
    const either = AbortSignal.any([late.signal, signal]);
    try {
      const { api } = await unlessAborted(this.version(), either);
      const answer = await this.#send(this.#connection.streams, `/v${api}`, request, either);
      if (answer.statusCode === 200) return answer.body;
      const text = await beginningOf(answer.body);
      throw errorFromAnswer(request.what, answer.statusCode, text);
    } catch (cause) {
      throw this.#failure(request, cause, late.signal, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #askVersion(): Promise<EngineVersion> {
    const request = { what: 'ask for the version', method: 'GET', path: '/version' } as const;
    try {
      const answer = await this.#send(this.#connection.calls, '', request, AbortSignal.timeout(this.#timeoutMs));
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw errorFromAnswer(request.what, answer.statusCode, text);
      return negotiate(asJson(text));
    } catch (cause) {
      throw errorWithoutAnswer(request.what, cause);
    }
  }

  #send(
    dispatcher: Dispatcher,
    prefix: string,
    { method, path, query, headers, body }: EngineRequest,
    signal: AbortSignal,
  ) {
    const parameters = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
    const type = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    return dispatcher.request({
      origin: this.#connection.origin,
      path: `${prefix}${path}${parameters}`,
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': type }) },
      body: body === undefined || Buffer.isBuffer(body) ? (body ?? null) : JSON.stringify(body),
      signal,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  #failure({ what }: EngineRequest, cause: unknown, late: AbortSignal, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted === true) return signal.reason;
    return late.aborted ? late.reason : errorWithoutAnswer(what, cause);
  }
}

/** The value of an answer. @throws {EngineError} it is not JSON */
export function asJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Without the cause: it quotes the answer.
    throw new EngineError(0, 'the engine answers with what is not JSON');
  }
}

async function beginningOf(body: Readable): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += String(chunk);
    if (text.length > LONGEST_COMPLAINT) break;
  }
  return text;
}

function dateOf({ headers }: Dispatcher.ResponseData): number {
  const date = Date.parse(String(headers['date']));
  return Number.isNaN(date) ? Date.now() : date;
}
