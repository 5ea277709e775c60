import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { tokenPatch } from '../../builder/lab/environment.ts';
import { renewedPatch } from '../../domain/lab/intent.ts';
import { LAB_SECRET_NAME } from '../../domain/lab/object-names.ts';
import { currentPod, type ObservedIntent, type ObservedLab } from '../../domain/lab/observed.ts';
import { findEnd } from '../../domain/lab/reasons.ts';
import { type CallOptions, type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import { type LabTokens, tokenSubject } from './lab-service.ts';
import type { LabWatches } from './lab-watches.ts';

export interface TokenRenewalOptions {
  readonly client: KubeClient;
  readonly watches: LabWatches;
  readonly tokens: LabTokens;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

const LONGEST_ROUND_MS = 60_000;
/** Rounds in one lifetime. */
const ROUNDS = 20;
const AT_ONCE = 4;
/** A time so far ahead was written while the clock was wrong. */
const SKEW_MS = 60_000;
/** The part of the lifetime after which a token is renewed: spread, since labs of a class are started in one moment. */
const RENEW_AFTER = { least: 0.45, spread: 0.05 };

/**
 * Whether the token in a lab is to be replaced. A lab that is still being started is not left out: it may wait for a node
 * for longer than its token is valid.
 *
 * @param madeAt when this process made the token, if it did; the intent says so otherwise
 */
export function isRenewalDue(
  { intent, ...rest }: ObservedLab,
  tokens: { readonly lifetime: number; readonly validSince: number },
  now: number,
  madeAt?: number,
): boolean {
  if (intent?.spec.signedToken !== true || intent.deleting || intent.failure !== null) return false;
  const pod = currentPod({ intent, ...rest });
  if (pod === undefined || pod.terminating || findEnd(pod) !== undefined) return false;
  // The first token is made some time after the lab was asked for: this may be early, and is never late.
  const at = Math.max(madeAt ?? 0, intent.tokenRenewedAt ?? 0) || intent.spec.createdAt;
  if (at < tokens.validSince || at > now + SKEW_MS) return true;
  return now >= at + tokens.lifetime * (RENEW_AFTER.least + RENEW_AFTER.spread * share(intent.spec.spawnId));
}

/**
 * Keeps the signed tokens in labs fresh: at half of the lifetime, the token in the lab's Secret is replaced, and then the
 * intent says when that was. So a controller that has just started knows what is due without reading a single Secret.
 *
 * docs/decisions/lab-tokens.md says what happens when it dies in between, and when a lab ends in the same moment.
 */
export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  readonly #now: () => number;
  /** By spawn: when this process renewed the token; what a lost write to the intent would otherwise make it forget. */
  readonly #made = new Map<string, number>();
  /** By spawn: not before this moment of `performance.now()`, after a failure. */
  readonly #postponed = new Map<string, number>();

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Works until `signal` aborts and what was under way has ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const every = Math.min(LONGEST_ROUND_MS, this.#options.tokens.lifetime / ROUNDS);
    const stopped = () => signal.aborted;
    while (!stopped()) {
      await delay(every * (0.9 + Math.random() * 0.2), undefined, { signal }).catch(() => undefined);
      if (!stopped() && this.#options.watches.isReady) await this.#round(signal);
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const due = this.#due();
    const failures: unknown[] = [];
    const work = async () => {
      for (let slug = due.pop(); slug !== undefined && !signal.aborted; slug = due.pop()) {
        // Some time has passed since it was found due.
        const { intent } = this.#options.watches.observe(slug);
        if (intent !== undefined && this.#isDue(slug)) {
          await this.#renew(intent, signal).catch((error: unknown) => {
            this.#postpone(intent, this.#options.tokens.lifetime / ROUNDS);
            failures.push(error);
          });
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (failures.length > 0 && !signal.aborted) {
      const { logger } = this.#options;
      logger.warn(
        { err: failures[0], labs: failures.length },
        'tokens of labs could not be renewed; tried again later',
      );
    }
  }

  /** Those whose turn it is, the oldest token last. */
  #due(): string[] {
    const intents = [...this.#options.watches.intents()];
    const alive = new Set(intents.map(({ spec }) => spec.spawnId));
    for (const memory of [this.#made, this.#postponed]) {
      for (const spawnId of memory.keys()) if (!alive.has(spawnId)) memory.delete(spawnId);
    }
    const age = ({ tokenRenewedAt, spec }: ObservedIntent) => tokenRenewedAt ?? spec.createdAt;
    const due = intents.filter(({ slug }) => this.#isDue(slug)).sort((a, b) => age(b) - age(a));
    return due.map(({ slug }) => slug);
  }

  #isDue(slug: string): boolean {
    const { watches, tokens } = this.#options;
    const observed = watches.observe(slug);
    const spawnId = observed.intent?.spec.spawnId ?? '';
    if ((this.#postponed.get(spawnId) ?? 0) > performance.now()) return false;
    try {
      const { lifetime } = tokens;
      const validity = { lifetime, validSince: tokens.validSince() };
      return isRenewalDue(observed, validity, this.#now(), this.#made.get(spawnId));
    } catch {
      // There are no keys yet.
      return false;
    }
  }

  async #renew(intent: ObservedIntent, signal: AbortSignal): Promise<void> {
    const { client, watches, tokens, controller } = this.#options;
    const { namespace, spawnId } = intent.spec;
    const { token, issuedAt } = await tokens.mint(tokenSubject(intent.spec));
    const options: CallOptions = { ...METADATA_ONLY, priority: 'background', signal };
    try {
      await client.patch(Secrets, { namespace, name: LAB_SECRET_NAME }, tokenPatch(token), options);
    } catch (error) {
      if (isForeignOrGone(error)) return this.#giveUp(intent);
      throw error;
    }
    this.#made.set(spawnId, issuedAt);
    try {
      const ref = { namespace: controller, name: intent.name };
      watches.observeIntent(await client.patch(Secrets, ref, renewedPatch(intent, issuedAt), options));
    } catch (error) {
      // The lab has ended, or its intent was changed in this moment: whoever reads it may renew once more, no harm done.
      if (!isOutdated(error)) throw error;
    }
  }

  /** Most often the lab is just ending. Where it is not, nothing helps but to start it again. */
  #giveUp(intent: ObservedIntent): void {
    this.#postpone(intent, this.#options.tokens.lifetime * RENEW_AFTER.least);
    const { watches, logger } = this.#options;
    const now = watches.observe(intent.slug).intent;
    const isWanted = now?.spec.spawnId === intent.spec.spawnId && !now.deleting && now.failure === null;
    const message = 'the Secret with the token of a lab is gone, or was replaced; it is not renewed';
    logger[isWanted ? 'warn' : 'debug']({ lab: intent.slug }, message);
  }

  #postpone({ spec }: ObservedIntent, ms: number): void {
    this.#postponed.set(spec.spawnId, performance.now() + ms * (1 + Math.random()));
  }
}

/** Not there (404), or of another type, which nobody can change (422). */
function isForeignOrGone(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 404 || error.status === 422);
}

/** A number from 0 to 1 that goes with a spawn. */
function share(spawnId: string): number {
  const digits = Number.parseInt(spawnId.slice(0, 8), 16);
  return Number.isNaN(digits) ? 0 : (digits % 2 ** 32) / 2 ** 32;
}
