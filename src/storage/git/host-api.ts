import type { IncomingHttpHeaders } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Repository } from '../../domain/build/build.ts';
import type { GitCredential } from '../../domain/git/git-credential.ts';
import { type Clock, SYSTEM_CLOCK } from '../../util/clock.ts';
import { type OutboundAnswer, type OutboundClient, readAll } from '../outbound/outbound-client.ts';
import { emptyRepository, problemOfStatus, refNotFound, unavailable } from './problems.ts';

/** How the API of one kind of host is asked for a commit. */
export interface HostApi {
  question(repository: Repository, ref: string): { readonly url: string; readonly accept: string };
  /** The commit of a good answer; undefined for one that cannot be read. */
  commitOf(body: string): string | undefined;
  /** Whether an answer that is none says that the repository is there and has no such ref. */
  saysNoRef(status: number, body: string): boolean;
  /** Whether it says that nothing is in the repository yet, where it has an answer for that. */
  saysEmpty?(status: number): boolean;
}

/** What the API said: a commit, no such ref, or that it must not be asked for so many milliseconds. */
export type ApiAnswer =
  | {
      readonly commit: string | undefined;
      /** The host has sent the question on: the repository has another name by now. */
      readonly isMoved?: true;
    }
  | { readonly limitedForMs: number };

interface Known {
  readonly etag: string;
  readonly commit: string;
}

const KNOWN = 2_000;
const BODY_BYTES = 1024 * 1024;
const ETAG_LENGTH = 200;
/** Where a host does not say for how long, and the longest it is believed. */
const REST_MS = 60_000;
const LONGEST_REST_MS = 60 * 60_000;

/**
 * Asks the API of a Git host, with what it said before at hand: an answer that has not changed costs nothing of the rate
 * limit (GitHub's `304`). Once the limit is reached, the API is left alone until it is over.
 */
export class HostApiClient {
  readonly #client: OutboundClient;
  readonly #api: HostApi;
  readonly #clock: Clock;
  readonly #known = new LRUCache<string, Known>({ max: KNOWN });
  /** Until when the API is left alone, by credential: a limit is that of an account. Of the monotonic clock. */
  readonly #limitedUntil = new Map<string, number>();

  constructor(client: OutboundClient, api: HostApi, clock = SYSTEM_CLOCK) {
    this.#client = client;
    this.#api = api;
    this.#clock = clock;
  }

  /** @throws {BuildProblem} when the host says that the repository cannot be had; whatever the client throws */
  async find(
    repository: Repository,
    ref: string,
    credential: GitCredential | undefined,
    signal: AbortSignal,
  ): Promise<ApiAnswer> {
    const account = credential?.url ?? '';
    const limitedForMs = (this.#limitedUntil.get(account) ?? 0) - this.#clock.monotonic();
    if (limitedForMs > 0) return { limitedForMs };
    const { url, accept } = this.#api.question(repository, ref);
    const key = `${account} ${url}`;
    const known = this.#known.get(key);
    const { origin } = new URL(url);
    const headers = { accept, ...(known === undefined ? {} : { 'if-none-match': known.etag }) };
    const authorization = (target: URL) =>
      credential?.kind === 'http' && target.origin === origin ? `Bearer ${credential.password}` : undefined;
    return this.#client.ask(url, { headers, authorization, signal }, async (answer) => {
      const restMs = restOf(answer, this.#clock.now());
      if (restMs > 0) this.#limitedUntil.set(account, this.#clock.monotonic() + restMs);
      if (isLimited(answer)) return { limitedForMs: Math.max(restMs, 1_000) };
      const moved = answer.url.href === new URL(url).href ? {} : { isMoved: true as const };
      if (answer.status === 304 && known !== undefined) return { commit: known.commit, ...moved };
      const text = (await readAll(answer.body, BODY_BYTES)).toString('utf8');
      if (saysLimited(answer.status, text)) {
        this.#limitedUntil.set(account, this.#clock.monotonic() + REST_MS);
        return { limitedForMs: REST_MS };
      }
      const commit = this.#read(answer.status, text, repository, ref, credential);
      const etag = answer.headers.etag;
      if (commit !== undefined && etag !== undefined && etag.length <= ETAG_LENGTH) {
        this.#known.set(key, { etag, commit });
      }
      return { commit, ...moved };
    });
  }

  #read(
    status: number,
    text: string,
    { url }: Repository,
    ref: string,
    credential: GitCredential | undefined,
  ): string | undefined {
    const { host } = new URL(url);
    if (status === 200) {
      const commit = this.#api.commitOf(text);
      if (commit === undefined) throw unavailable(host);
      return commit;
    }
    if (this.#api.saysEmpty?.(status) === true) throw emptyRepository();
    if (this.#api.saysNoRef(status, text)) return undefined;
    // A ref that no URL can name there is one that does not exist.
    if (status === 400 || status === 422) throw refNotFound(ref);
    throw problemOfStatus(status, host, credential !== undefined);
  }
}

function isLimited({ status, headers }: OutboundAnswer): boolean {
  if (status === 429) return true;
  return status === 403 && (headers['retry-after'] !== undefined || remaining(headers) === '0');
}

/** GitHub's secondary limits come as a 403 that says so in its text alone. */
function saysLimited(status: number, body: string): boolean {
  return status === 403 && /rate limit|abuse detection/i.test(body);
}

/** Milliseconds for which the API wants to be left alone, as far as it says; 0 when it can be asked on. */
function restOf(answer: OutboundAnswer, now: number): number {
  const { headers } = answer;
  if (!isLimited(answer) && remaining(headers) !== '0') return 0;
  const seconds = Number(headers['retry-after']);
  const resetAt = Number(headers['x-ratelimit-reset'] ?? headers['ratelimit-reset']) * 1_000;
  const ms = seconds > 0 ? seconds * 1_000 : resetAt > now ? resetAt - now : REST_MS;
  return Math.min(ms, LONGEST_REST_MS);
}

function remaining(headers: IncomingHttpHeaders): string | string[] | undefined {
  return headers['x-ratelimit-remaining'] ?? headers['ratelimit-remaining'];
}
