import { z } from 'zod';
import { Memo } from '../../util/memo.ts';
import { parseJson } from './parse-json.ts';
import { unavailable } from './problems.ts';
import type { RegistryHttp } from './registry-http.ts';
import { isOutage, retryAfterMs } from './registry-http.ts';

const form = z.looseObject({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  expires_in: z.number().positive(),
});
/** A token is renewed so long before its end, or after half of its life. */
const SPARE_MS = 60_000;

/**
 * The token of the service account that Labwright's pod has, from the metadata server of its node. The server is asked in
 * plain HTTP, as it knows nothing else; it is on the node, and shows by a header of its own that it is what it should be.
 */
export class GoogleToken {
  readonly #http: RegistryHttp;
  readonly #address: string;
  readonly #host: string;
  readonly #running = new Memo<string>();
  #kept: { readonly token: string; readonly until: number } | undefined;

  /** @param host how the registry is called in problems */
  constructor(http: RegistryHttp, address: string, host: string) {
    this.#http = http;
    this.#address = address;
    this.#host = host;
  }

  forget(): void {
    this.#kept = undefined;
  }

  /** @throws {RegistryProblem} `RegistryUnavailable`; it does not pass by itself where there is no service account */
  async get(signal: AbortSignal): Promise<string> {
    const kept = this.#kept;
    if (kept !== undefined && performance.now() < kept.until) return kept.token;
    return this.#running.get('token', signal, (shared) => this.#fetch(shared));
  }

  async #fetch(signal: AbortSignal): Promise<string> {
    const headers = { 'metadata-flavor': 'Google', accept: 'application/json' };
    const answer = await this.#http
      .ask(this.#address, { method: 'GET', headers, follow: false, signal })
      .catch((cause: unknown) => {
        signal.throwIfAborted();
        throw unavailable(this.#host, 'cannot be asked: the metadata server gives no token', { cause });
      });
    const { status, body } = answer;
    if (status !== 200 || answer.headers['metadata-flavor'] !== 'Google') {
      const why = `cannot be asked: the metadata server gives no token (it answers with ${status})`;
      throw unavailable(this.#host, why, {
        retryAfterMs: retryAfterMs(answer.headers),
        transient: isOutage(status),
      });
    }
    const parsed = form.safeParse(parseJson(body));
    if (!parsed.success) throw unavailable(this.#host, 'cannot be asked: the metadata server gives no token');
    const { access_token: token, expires_in: seconds } = parsed.data;
    const lifeMs = seconds * 1000;
    this.#kept = { token, until: performance.now() + Math.max(lifeMs - SPARE_MS, lifeMs / 2) };
    return token;
  }
}
