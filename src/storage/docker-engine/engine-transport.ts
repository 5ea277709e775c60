import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { raceAbort } from '../../util/abort.ts';
import { ask, type HttpRequest, inTime, send } from '../../util/http.ts';
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

/** No answer that we ask for comes near; a list has about 2 KiB for each container. */
const MOST_BYTES = 32 * 2 ** 20;
/** The one path without a version. */
const VERSION = '/version';
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
  call(request: EngineRequest, signal?: AbortSignal, accepted: readonly number[] = []): Promise<EngineAnswer> {
    return this.#inTime(request, signal, async (sent) => {
      const { status, headers, body } = await ask(this.#connection.calls, sent, MOST_BYTES);
      const text = body.toString();
      if ((status < 200 || status > 299) && !accepted.includes(status))
        throw errorFromAnswer(request.what, status, text);
      return { status, date: dateOf(headers), text };
    });
  }

  /** Opens a stream. It ends with `signal`; silence on it means nothing. */
  stream(request: EngineRequest, signal: AbortSignal): Promise<Readable> {
    return this.#inTime(request, signal, async (sent) => {
      const { status, body } = await send(this.#connection.streams, sent);
      if (status === 200) return body;
      throw errorFromAnswer(request.what, status, await beginningOf(body));
    });
  }

  async #askVersion(): Promise<EngineVersion> {
    const { text } = await this.call({ what: 'ask for the version', method: 'GET', path: VERSION });
    return negotiate(asJson(text));
  }

  /** @throws {EngineError} and the reason of the signal */
  async #inTime<T>(
    request: EngineRequest,
    signal: AbortSignal | undefined,
    work: (sent: HttpRequest) => Promise<T>,
  ): Promise<T> {
    const { what, method, path, query, headers, body } = request;
    const parameters = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
    const type = Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json';
    try {
      return await inTime(this.#timeoutMs, signal, async (either) => {
        const prefix = path === VERSION ? '' : `/v${(await raceAbort(this.version(), either)).api}`;
        return work({
          origin: this.#connection.origin,
          path: `${prefix}${path}${parameters}`,
          method,
          headers: { ...headers, ...(body === undefined ? {} : { 'content-type': type }) },
          body: body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body),
          signal: either,
        });
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw errorWithoutAnswer(what, cause);
    }
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

async function beginningOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LONGEST_COMPLAINT) break;
  }
  return text;
}

function dateOf({ date }: IncomingHttpHeaders): number {
  const at = Date.parse(date ?? '');
  return Number.isNaN(at) ? Date.now() : at;
}
