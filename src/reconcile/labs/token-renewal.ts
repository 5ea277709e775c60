import type { Logger } from 'pino';
import { tokenPatch } from '../../builder/lab/environment.ts';
import { LabwrightError } from '../../domain/errors.ts';
import { renewedPatch } from '../../domain/lab/intent.ts';
import { buildObjectNames } from '../../domain/lab/object-names.ts';
import { currentPod, type ObservedIntent, type ObservedLab } from '../../domain/lab/observed.ts';
import { findEnd } from '../../domain/lab/reasons.ts';
import { type CallOptions, type KubeClient, METADATA_ONLY } from '../../storage/kubernetes/kube-client.ts';
import { isOutdated, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Secrets } from '../../storage/kubernetes/resources.ts';
import { jittered } from '../../util/backoff.ts';
import { SKEW_TOLERANCE_MS } from '../../util/clock.ts';
import { Controller, type Run } from '../controller.ts';
import { TerminalError } from '../terminal-error.ts';
import type { Result } from '../work-queue.ts';
import type { LabCache } from './lab-cache.ts';
import { type LabTokens, tokenSubject } from './lab-service.ts';

export interface TokenRenewalOptions {
  readonly client: KubeClient;
  readonly cache: LabCache;
  readonly tokens: LabTokens;
  /** The controller's own namespace. */
  readonly controller: string;
}

const LONGEST_PAUSE_MS = 60_000;
/** Looks at a lab in one lifetime of its token, at least. */
const LOOKS = 20;
const AT_ONCE = 4;
/** A time so far ahead was written while the clock was wrong: far more than the clocks of two replicas may be apart. */
const AHEAD_MS = 6 * SKEW_TOLERANCE_MS;
/** The part of the lifetime after which a token is renewed: spread, since labs of a class are started in one moment. */
const RENEW_AFTER = { least: 0.45, spread: 0.05 };
const GONE = 'the Secret with the token of a lab is gone, or was replaced; it is not renewed';

/** Whether the lab has a token that is to be renewed: also while it waits for a node, which may take longer than a token is valid. */
export function hasRenewableToken(
  observed: ObservedLab,
): observed is ObservedLab & { readonly intent: ObservedIntent } {
  const { intent } = observed;
  if (intent?.spec.signedToken !== true || intent.deleting || intent.failure !== null) return false;
  const pod = currentPod(observed);
  return pod !== undefined && !pod.terminating && findEnd(pod) === undefined;
}

/**
 * In how many milliseconds the token of a lab is to be replaced; 0 or less is now.
 *
 * @param madeAt when this process made the token, if it did; the intent says so otherwise
 */
export function renewalDueIn(
  intent: ObservedIntent,
  tokens: { readonly lifetime: number; readonly validSince: number },
  now: number,
  madeAt?: number,
): number {
  // The first token is made some time after the lab was asked for: this may be early, and is never late.
  const at = Math.max(madeAt ?? 0, intent.tokenRenewedAt ?? 0) || intent.spec.createdAt;
  if (at < tokens.validSince || at > now + AHEAD_MS) return 0;
  return at + tokens.lifetime * (RENEW_AFTER.least + RENEW_AFTER.spread * share(intent.spec.spawnId)) - now;
}

/**
 * Keeps the signed tokens in labs fresh: at half of the lifetime, the token in the lab's Secret is replaced, and then the
 * intent says when that was. So a controller that has just started knows what is due without reading a single Secret.
 *
 * docs/decisions/lab-tokens.md says what happens when it dies in between, and when a lab ends in the same moment.
 */
export class TokenRenewal {
  readonly #options: TokenRenewalOptions;
  /** By slug: when this process renewed the token of which spawn; what a lost write to the intent would make it forget. */
  readonly #made = new Map<string, { readonly spawnId: string; readonly at: number }>();

  constructor(options: TokenRenewalOptions) {
    this.#options = options;
  }

  /** Longest time between two looks at a lab: keys may have been replaced, which no watch tells. */
  get #lookAgainMs(): number {
    return Math.min(LONGEST_PAUSE_MS, this.#options.tokens.lifetime / LOOKS);
  }

  /** Renews the token of one lab if that is due. It throws what may pass: the queue comes back to it. */
  async reconcile(slug: string, { clock, logger }: Run): Promise<Result> {
    const { cache, tokens } = this.#options;
    const observed = cache.observe(slug);
    const { intent } = observed;
    const made = this.#made.get(slug);
    if (intent?.spec.spawnId !== made?.spawnId) this.#made.delete(slug);
    if (!hasRenewableToken(observed)) return {};
    const validSince = validSinceOf(tokens);
    if (validSince === undefined) return { requeueAfterMs: jittered(this.#lookAgainMs) };
    const madeAt = this.#made.get(slug)?.at;
    const dueIn = renewalDueIn(observed.intent, { lifetime: tokens.lifetime, validSince }, clock.now(), madeAt);
    if (dueIn > 0) return { requeueAfterMs: Math.min(dueIn, jittered(this.#lookAgainMs)) };
    return this.#renew(observed.intent, logger);
  }

  async #renew(intent: ObservedIntent, logger: Logger): Promise<Result> {
    const { client, cache, tokens, controller } = this.#options;
    const { slug } = intent;
    const { namespace, spawnId, user, servername } = intent.spec;
    const { token, issuedAt } = await tokens.mint(tokenSubject(intent.spec));
    const options: CallOptions = { ...METADATA_ONLY, priority: 'background' };
    try {
      const { secret: name } = buildObjectNames({ username: user.username, servername }, intent.spec);
      await client.patch(Secrets, { namespace, name }, tokenPatch(token), options);
    } catch (error) {
      if (!isForeignOrGone(error)) throw error;
      // Most often the lab is just ending. Where it is not, nothing helps but to start it again.
      const now = cache.intentOf(slug);
      const isWanted = now?.spec.spawnId === spawnId && !now.deleting && now.failure === null;
      if (isWanted) throw new TerminalError(GONE);
      logger.debug({ lab: slug }, GONE);
      return {};
    }
    this.#made.set(slug, { spawnId, at: issuedAt });
    try {
      const ref = { namespace: controller, name: intent.name };
      cache.observeIntent(await client.patch(Secrets, ref, renewedPatch(intent, issuedAt), options));
    } catch (error) {
      // The lab has ended, or its intent was changed in this moment: another replica may renew once more, no harm done.
      if (!isOutdated(error)) throw error;
    }
    return { requeueAfterMs: jittered(this.#lookAgainMs) };
  }
}

/** The controller `lab-tokens`. */
export function labTokensController(renewal: TokenRenewal, cache: LabCache, logger: Logger): Controller {
  return new Controller({
    name: 'lab-tokens',
    caches: [cache],
    sources: [cache.changes],
    keys: () => [...cache.intents()].map(({ slug }) => slug),
    reconcile: (slug, run) => renewal.reconcile(slug, run),
    concurrency: AT_ONCE,
    maxDelayMs: LONGEST_PAUSE_MS,
    logger,
  });
}

/** Undefined while there are no keys. What else goes wrong is thrown. */
function validSinceOf(tokens: LabTokens): number | undefined {
  try {
    return tokens.validSince();
  } catch (error) {
    if (error instanceof LabwrightError && error.code === 'not_ready') return undefined;
    throw error;
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
