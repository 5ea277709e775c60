import { createLocalJWKSet, type JSONWebKeySet, type LocalJWKSet } from 'jose';
import type { Logger } from 'pino';
import { LabwrightError } from '../../domain/errors.ts';
import { raceAbort, withTimeout } from '../../util/abort.ts';
import { backoffMs } from '../../util/backoff.ts';
import { withDeadline } from '../../util/deadline.ts';
import { sleep } from '../../util/sleep.ts';

/** What an issuer says of itself. */
export interface IssuerAnswer {
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /** Its JSON Web Key Set, as it came. */
  readonly jwks: unknown;
}

/** Asks an issuer for its keys. It rejects when they cannot be had, with a message that may be logged. */
export type AskIssuer = (signal: AbortSignal) => Promise<IssuerAnswer>;

/** The keys of an issuer at one moment. */
export interface KnownKeys {
  readonly issuer: string;
  readonly find: LocalJWKSet;
}

export interface IssuerKeysOptions {
  /** For the log. */
  readonly name: string;
  readonly ask: AskIssuer;
  readonly logger: Logger;
  /** How old keys may be before they are looked at again, in milliseconds. */
  readonly freshMs?: number;
  /** Least time between the beginnings of two refreshes, whoever wants them. */
  readonly cooldownMs?: number;
  /** Most time one request waits. */
  readonly patienceMs?: number;
  /** Most time one refresh takes. */
  readonly deadlineMs?: number;
  /** Most requests that wait at once. */
  readonly waiters?: number;
  /** Milliseconds that only grow; tests have their own. */
  readonly now?: () => number;
}

const FRESH_MS = 300_000;
const COOLDOWN_MS = 1_000;
const PATIENCE_MS = 2_000;
const DEADLINE_MS = 10_000;
const WAITERS = 500;
const BACKOFF = { firstMs: 7_000, longestMs: 160_000 };
const COMPLAIN_AGAIN_MS = 300_000;

/**
 * The keys of one issuer, through rotations and outages.
 *
 * - **none**: nothing was ever had. Whoever wants keys waits for a refresh.
 * - **fresh**: younger than `freshMs`. Answered from memory.
 * - **stale**: older. Answered from memory too; the request that notices begins a refresh and does not wait for it. While
 *   the issuer cannot be reached it stays like this, however long, and tries again ever less often.
 *
 * A refresh that succeeds replaces all keys: those that the issuer has dropped are gone. One that fails changes nothing.
 *
 * A key that is not among the known ones may have been made a moment ago. Only a refresh that began after the request came
 * can say that there is no such key; the request waits for one, for `patienceMs` at most. Refreshes begin no more often
 * than every `cooldownMs`, whatever is asked for, and one at a time.
 */
export class IssuerKeys {
  readonly #options: Required<Omit<IssuerKeysOptions, 'ask'>>;
  readonly #ask: AskIssuer;
  readonly #closed = new AbortController();
  #known: KnownKeys | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #begunAt = Number.NEGATIVE_INFINITY;
  /** Refreshes that have begun, and the last of them that succeeded and failed. */
  #begun = 0;
  #succeeded = 0;
  #failed = 0;
  /** Failures since the last success, and how long to leave the issuer alone for it where nobody waits. */
  #failures = 0;
  #pauseMs = 0;
  #complained = false;
  #complainedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  /** The one refresh that waits for its time; whoever comes before it begins shares it. */
  #next: Promise<void> | undefined;
  #waiting = 0;

  constructor({ ask, ...options }: IssuerKeysOptions) {
    this.#ask = ask;
    this.#options = {
      freshMs: FRESH_MS,
      cooldownMs: COOLDOWN_MS,
      patienceMs: PATIENCE_MS,
      deadlineMs: DEADLINE_MS,
      waiters: WAITERS,
      now: () => performance.now(),
      ...options,
    };
  }

  /** What is known now, if anything. */
  peek(): KnownKeys | undefined {
    if (this.#known !== undefined && this.#isDue()) void this.#refresh();
    return this.#known;
  }

  /**
   * Tries the known keys, and again those of later refreshes, until the attempt gives something.
   *
   * @param attempt undefined when newer keys may do better; what it throws is thrown
   * @returns undefined when keys that were fetched after this call are of no help either
   * @throws {LabwrightError} `not_ready` (503) when nobody can say in time
   */
  async search<T>(attempt: (known: KnownKeys) => Promise<T | undefined>): Promise<T | undefined> {
    const begunBefore = this.#begun;
    const failedBefore = this.#failed;
    const endsAt = performance.now() + this.#options.patienceMs;
    let known = this.peek();
    for (;;) {
      const found = known === undefined ? undefined : await attempt(known);
      if (found !== undefined) return found;
      // Keys may have come while the attempt ran; then these are tried first.
      if (this.#known === known) {
        if (this.#succeeded > begunBefore) return undefined;
        // Without any keys, the word of a refresh that was under way already will do: there is nothing to fall back on.
        if (this.#failed > (known === undefined ? failedBefore : begunBefore)) throw unavailable();
        await this.#wait(endsAt);
      }
      known = this.#known;
    }
  }

  /** Ends what is under way; whoever waits is told that nobody can say. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all([this.#running, this.#next]);
  }

  /** Old keys, and enough time since the last attempt: the more attempts have failed, the longer. */
  #isDue(): boolean {
    const { now, freshMs } = this.#options;
    if (this.#running !== undefined || this.#next !== undefined || this.#isClosed()) return false;
    const pause = Math.max(this.#pauseMs, this.#options.cooldownMs);
    return now() - this.#fetchedAt > freshMs && now() - this.#begunAt >= pause;
  }

  /** Until a refresh has ended: the running one, or the next, which is made to come when there is none. */
  async #wait(endsAt: number): Promise<void> {
    if (this.#isClosed() || this.#waiting >= this.#options.waiters) throw unavailable();
    const refresh = this.#running ?? this.#refreshInTurn();
    const left = endsAt - performance.now();
    if (left <= 0) throw unavailable();
    this.#waiting += 1;
    try {
      await withTimeout(refresh, left, unavailable);
    } finally {
      this.#waiting -= 1;
    }
    if (this.#isClosed()) throw unavailable();
  }

  #refreshInTurn(): Promise<void> {
    if (this.#restMs() <= 0 && this.#next === undefined) return this.#refresh();
    return (this.#next ??= this.#refreshAfterRest());
  }

  /** How long the issuer is to be left alone. */
  #restMs(): number {
    return this.#begunAt + this.#options.cooldownMs - this.#options.now();
  }

  async #refreshAfterRest(): Promise<void> {
    const { signal } = this.#closed;
    do {
      await sleep(Math.ceil(this.#restMs()), signal);
      // A timer may be early by a little.
    } while (this.#restMs() > 0 && !this.#isClosed());
    this.#next = undefined;
    if (!this.#isClosed()) await this.#refresh();
  }

  #isClosed(): boolean {
    return this.#closed.signal.aborted;
  }

  /** Never rejects: its outcome is in the fields. */
  #refresh(): Promise<void> {
    this.#begun += 1;
    this.#begunAt = this.#options.now();
    this.#running = this.#fetch(this.#begun).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #fetch(turn: number): Promise<void> {
    const late = () => new Error('no answer in time');
    try {
      const { issuer, jwks } = await withDeadline(
        { ms: this.#options.deadlineMs, signal: this.#closed.signal, late },
        (signal) => raceAbort(this.#ask(signal), signal),
      );
      this.#known = { issuer, find: createLocalJWKSet(jwks as JSONWebKeySet) };
      this.#fetchedAt = this.#options.now();
      this.#succeeded = turn;
      this.#failures = 0;
      this.#pauseMs = 0;
      this.#sayThatItIsOver();
    } catch (error) {
      this.#failed = turn;
      this.#failures += 1;
      this.#pauseMs = backoffMs(this.#failures, BACKOFF);
      if (!this.#isClosed()) this.#complain(error);
    }
  }

  /** Every few minutes, however often it comes and goes. */
  #complain(error: unknown): void {
    const { name, logger, now } = this.#options;
    if (now() - this.#complainedAt < COMPLAIN_AGAIN_MS) return;
    this.#complained = true;
    this.#complainedAt = now();
    const why = error instanceof Error ? error.message : String(error);
    const known = this.#known !== undefined;
    logger.warn({ issuer: name, why, known }, 'the keys of an issuer cannot be had; those that are known go on');
  }

  #sayThatItIsOver(): void {
    if (!this.#complained) return;
    this.#complained = false;
    this.#options.logger.info({ issuer: this.#options.name }, 'the keys of an issuer can be had again');
  }
}

function unavailable(): LabwrightError {
  const message = 'The token cannot be checked at the moment; try again in a few seconds';
  return new LabwrightError('not_ready', 503, message, { retryAfter: 2 });
}
