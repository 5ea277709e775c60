import type { IncomingHttpHeaders } from 'node:http';
import { Agent, errors, request } from 'undici';
import { errorCode } from '../kubernetes/kube-error.ts';
import { unavailable } from './problems.ts';

export interface RegistryAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Whether a redirect is followed. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

const REDIRECTS = 3;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);
/** The specification's least limit for manifests, and more than any token. */
const BODY_BYTES = 4 * 2 ** 20;
const HEADER_BYTES = 64 * 1024;
const CONNECTIONS = 16;
/** Longest wait that a registry can ask for. */
const RETRY_AFTER_MS = 10 * 60_000;

/**
 * Asks a registry and its token server: one pool of connections, bounded answers, a deadline for each. What is shown to
 * one origin is not shown to another, and what began encrypted does not go on in plain text.
 */
export class RegistryHttp {
  readonly #agent: Agent;
  readonly #host: string;
  readonly #insecure: boolean;
  readonly #timeoutMs: number;

  /**
   * @param host how the registry is called in problems
   * @param timeoutMs for one answer
   */
  constructor(options: { readonly host: string; readonly insecure: boolean; readonly timeoutMs: number }) {
    this.#host = options.host;
    this.#insecure = options.insecure;
    this.#timeoutMs = options.timeoutMs;
    this.#agent = new Agent({
      connections: CONNECTIONS,
      connect: { timeout: options.timeoutMs, rejectUnauthorized: !options.insecure },
      maxResponseSize: BODY_BYTES,
      maxHeaderSize: HEADER_BYTES,
    });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  /** @throws {BuildProblem} `RegistryUnavailable`: no answer, or one that leads nowhere */
  async ask(address: string, options: RegistryRequest): Promise<RegistryAnswer> {
    const first = new URL(address);
    let url = first;
    for (let hop = 0; ; hop += 1) {
      const answer = await this.#exchange(url, options, url.origin === first.origin);
      const { location } = answer.headers;
      if (!REDIRECT_STATUSES.has(answer.status) || location === undefined) return answer;
      if (!options.follow || hop === REDIRECTS) throw unavailable(this.#host, 'redirects where it should answer');
      url = this.#next(url, location);
    }
  }

  async #exchange(url: URL, options: RegistryRequest, mayShow: boolean): Promise<RegistryAnswer> {
    const { method, body, signal } = options;
    const { authorization, ...headers } = options.headers;
    // Not AbortSignal.timeout: its timers live on after the answer.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), this.#timeoutMs);
    try {
      const answer = await request(url, {
        dispatcher: this.#agent,
        method,
        headers: { ...headers, ...(mayShow && authorization !== undefined ? { authorization } : {}) },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.any([signal, late.signal]),
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return { status: answer.statusCode, headers: answer.headers, body: bytes };
    } catch (cause) {
      signal.throwIfAborted();
      if (late.signal.aborted) throw unavailable(this.#host, 'does not answer in time', { cause: new Late() });
      if (cause instanceof errors.ResponseExceededMaxSizeError) {
        throw unavailable(this.#host, 'answers with more than it should');
      }
      const code = cause instanceof Error ? errorCode(cause) : undefined;
      throw unavailable(this.#host, `cannot be reached${code === undefined ? '' : ` (${code})`}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  #next(from: URL, location: string): URL {
    const url = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
    const isPlain = url?.protocol === 'http:' && (from.protocol === 'http:' || this.#insecure);
    if (url !== undefined && (url.protocol === 'https:' || isPlain) && url.username === '' && url.password === '') {
      return url;
    }
    throw unavailable(this.#host, 'redirects to an address that is not followed');
  }
}

/** The time for one answer is over: there is none left to ask again. */
export class Late extends Error {
  override readonly name = 'Late';
}

/** Retry-After in milliseconds, from seconds or a date. */
export function retryAfterMs({ 'retry-after': header }: IncomingHttpHeaders): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), RETRY_AFTER_MS);
}

/** Whether asking again later may have another answer. */
export function isOutage(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}
