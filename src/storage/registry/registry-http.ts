import type { IncomingHttpHeaders } from 'node:http';
import type { Agent } from 'undici';
import {
  addressOf,
  ask,
  certificateTrouble,
  type HttpAnswer,
  HttpFailure,
  inTime,
  nextHop,
  pool,
} from '../../util/http.ts';
import { Authorities } from '../outbound/authorities.ts';
import { unavailable } from './problems.ts';

export interface RegistryAnswer extends HttpAnswer {
  /** Whether it came from another origin than the one that was asked: what it wants to be shown is nothing to it. */
  readonly isElsewhere: boolean;
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
  constructor(options: {
    readonly host: string;
    readonly insecure: boolean;
    readonly timeoutMs: number;
    readonly authorities?: Authorities | undefined;
  }) {
    const { authorities = new Authorities(undefined), timeoutMs: timeout, insecure } = options;
    this.#host = options.host;
    this.#insecure = options.insecure;
    this.#timeoutMs = options.timeoutMs;
    this.#agent = pool({
      connections: CONNECTIONS,
      connect: authorities.connector({ timeout, allowH2: false, rejectUnauthorized: !insecure }),
      maxHeaderSize: HEADER_BYTES,
    });
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  /** @throws {RegistryProblem} `RegistryUnavailable`: no answer, or one that leads nowhere */
  async ask(address: string, options: RegistryRequest): Promise<RegistryAnswer> {
    const first = new URL(address);
    let url = first;
    for (let hop = 0; ; hop += 1) {
      const isElsewhere = url.origin !== first.origin;
      const answer = await this.#exchange(url, options, !isElsewhere);
      const next = nextHop(url, answer, this.#insecure);
      if (next === undefined) return { ...answer, isElsewhere };
      if (!options.follow || hop === REDIRECTS) throw unavailable(this.#host, 'redirects where it should answer');
      if (next === 'refused') throw unavailable(this.#host, 'redirects to an address that is not followed');
      url = next;
    }
  }

  async #exchange(url: URL, options: RegistryRequest, mayShow: boolean): Promise<HttpAnswer> {
    const { method, body } = options;
    const { authorization, ...others } = options.headers;
    const headers = { ...others, ...(mayShow && authorization !== undefined ? { authorization } : {}) };
    try {
      return await inTime(this.#timeoutMs, options.signal, (signal) =>
        ask(this.#agent, { ...addressOf(url), method, headers, body, signal }, BODY_BYTES),
      );
    } catch (cause) {
      options.signal.throwIfAborted();
      const { reason, code } = cause instanceof HttpFailure ? cause : {};
      if (reason === 'late') throw unavailable(this.#host, 'does not answer in time', { cause });
      if (reason === 'too long') throw unavailable(this.#host, 'answers with more than it should');
      const certificate = certificateTrouble(cause);
      if (certificate !== undefined) {
        throw unavailable(this.#host, `has a certificate that is not trusted here: it ${certificate}`, { cause });
      }
      throw unavailable(this.#host, `cannot be reached${code === undefined ? '' : ` (${code})`}`, { cause });
    }
  }
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
