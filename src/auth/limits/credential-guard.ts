import { LRUCache } from 'lru-cache';
import { LabwrightError } from '../../domain/errors.ts';
import { type Rate, RateLimiter } from './rate-limiter.ts';
import { admit } from './too-many.ts';

/** How long a credential that was good is looked at from an address that sends many bad ones. */
const GOOD_MS = 600_000;
const GOOD_CREDENTIALS = 20_000;

export interface CredentialGuardOptions {
  /** Credentials of one address that may be refused. */
  readonly failures: Rate;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

/**
 * Stands before those who judge credentials, and are asked about no more bad ones from one address than it may have.
 *
 * One that nobody has judged yet may turn out to be bad. So each takes the place of a refused one while it is looked at:
 * otherwise all that come before the first answer would go through, however many. What was good a moment ago always goes
 * through: one bad credential in a hub's rush must not lock the hub out.
 */
export class CredentialGuard {
  readonly #failures: RateLimiter;
  readonly #good: LRUCache<string, true>;
  /** By address: what is being judged and was not known to be good. */
  readonly #unknown = new Map<string, Set<string>>();

  constructor({ failures, now }: CredentialGuardOptions) {
    this.#failures = new RateLimiter({ ...failures, ...(now === undefined ? {} : { now }) });
    this.#good = new LRUCache({
      max: GOOD_CREDENTIALS,
      ttl: GOOD_MS,
      ...(now === undefined ? {} : { perf: { now }, ttlResolution: 0 }),
    });
  }

  /**
   * @param credential its hash
   * @throws {LabwrightError} `too_many_requests` (429), and what `ask` throws
   */
  async judge<Judgement>(address: string, credential: string, ask: () => Promise<Judgement>): Promise<Judgement> {
    const release = this.#good.has(credential) ? () => undefined : this.#admit(address, credential);
    try {
      const judgement = await ask();
      this.#good.set(credential, true);
      return judgement;
    } catch (error) {
      if (isRefusal(error)) {
        this.#good.delete(credential);
        this.#failures.take(address);
      }
      throw error;
    } finally {
      release();
    }
  }

  /** The same credential counts once, however many requests bring it at once. */
  #admit(address: string, credential: string): () => void {
    const unknown = this.#unknown.get(address) ?? new Set<string>();
    if (unknown.has(credential)) return () => undefined;
    admit(this.#failures.wait(address, unknown.size));
    this.#unknown.set(address, unknown.add(credential));
    return () => {
      unknown.delete(credential);
      if (unknown.size === 0) this.#unknown.delete(address);
    };
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof LabwrightError && (error.status === 401 || error.status === 403);
}
