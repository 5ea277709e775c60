import { LRUCache } from 'lru-cache';
import { Memo } from '../util/memo.ts';

export interface AnswerCacheOptions {
  /** How long an answer holds, in milliseconds. */
  readonly lifetimeMs: number;
  /** How long "no such thing" holds; as long as an answer when absent. */
  readonly missingMs?: number;
  /** Most answers that are kept, of each of both kinds. */
  readonly size?: number;
  /** Milliseconds from any beginning but 0. */
  readonly now?: () => number;
}

const SIZE = 10_000;

/**
 * Answers of a party about something, kept for a while: what it is, or undefined for "no such thing". However many ask
 * about one thing at once, the party is asked once. A question that fails is not kept.
 *
 * Both kinds have room of their own, so that a flood of names or tokens that do not exist drives out no good one.
 */
export class AnswerCache<Answer extends object> {
  readonly #found: LRUCache<string, Answer>;
  readonly #missing: LRUCache<string, true>;
  readonly #asking = new Memo<Answer | undefined>();

  constructor({ lifetimeMs, missingMs = lifetimeMs, size = SIZE, now = () => performance.now() }: AnswerCacheOptions) {
    const options = { max: size, ttlResolution: 0, perf: { now } };
    this.#found = new LRUCache({ ...options, ttl: lifetimeMs });
    this.#missing = new LRUCache({ ...options, ttl: missingMs });
  }

  /** @throws whatever `ask` throws, for all who wait for it */
  async get(key: string, ask: () => Promise<Answer | undefined>): Promise<Answer | undefined> {
    const found = this.#found.get(key);
    if (found !== undefined || this.#missing.has(key)) return found;
    return this.#asking.get(key, undefined, async () => {
      const answer = await ask();
      if (answer === undefined) this.#missing.set(key, true);
      else this.#found.set(key, answer);
      return answer;
    });
  }
}
