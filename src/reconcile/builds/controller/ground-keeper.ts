import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BuildGround } from '../../../builder/build/build-pod-builder.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { Namespaces, NetworkPolicies, ServiceAccounts } from '../../../storage/kubernetes/resources.ts';

export interface GroundKeeperOptions {
  readonly client: KubeClient;
  readonly ground: BuildGround;
  readonly logger: Logger;
  readonly firstRetryMs?: number;
}

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** It is laid so often anyway: a network policy that somebody has removed would not be missed. */
const ANYWAY_MS = 10 * 60_000;

/** Sees to it that what all builds stand on is there: their namespace, its rules, and an account without rights. */
export class GroundKeeper {
  /** Resolves when it is all there for the first time. */
  readonly laid: Promise<void>;
  readonly #options: GroundKeeperOptions;
  #isLaid = false;
  #markLaid!: () => void;
  #wake: (() => void) | undefined;

  constructor(options: GroundKeeperOptions) {
    this.#options = options;
    this.laid = new Promise((resolve) => {
      this.#markLaid = resolve;
    });
  }

  get isLaid(): boolean {
    return this.#isLaid;
  }

  /** It was found missing. */
  layAgain(): void {
    this.#isLaid = false;
    this.#wake?.();
  }

  /**
   * Lays it, again whenever it is missing, until `signal` aborts. Never rejects.
   *
   * @param onLaid it is there, for the first time or again
   */
  async run(signal: AbortSignal, onLaid?: () => void): Promise<void> {
    const stopped = () => signal.aborted;
    while (!stopped()) {
      const missing = new Promise<void>((resolve) => (this.#wake = resolve));
      if (!(await this.#layUntilLaid(signal))) return;
      this.#isLaid = true;
      this.#markLaid();
      onLaid?.();
      await waitFor(missing, ANYWAY_MS * (0.9 + Math.random() / 5), signal);
    }
  }

  async #layUntilLaid(signal: AbortSignal): Promise<boolean> {
    const { logger, ground, firstRetryMs = FIRST_RETRY_MS } = this.#options;
    const stopped = () => signal.aborted;
    for (let wait = firstRetryMs; !stopped(); wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
      try {
        await this.#lay(signal);
        return true;
      } catch (err) {
        if (stopped()) return false;
        const { name } = ground.namespace.metadata ?? {};
        logger.warn({ err, namespace: name }, 'the namespace of builds could not be prepared; it is tried again');
      }
      await delay(wait * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
    return false;
  }

  async #lay(signal: AbortSignal): Promise<void> {
    const { client, ground } = this.#options;
    const { namespace, serviceAccount, networkPolicy } = ground;
    // Where an administrator has made it, there need be no right to make it.
    await client.apply(Namespaces, namespace, { signal }).catch((error: unknown) => {
      if (!isKubeError(error, 403)) throw error;
    });
    await client.apply(ServiceAccounts, serviceAccount, { signal });
    if (networkPolicy !== undefined) await client.apply(NetworkPolicies, networkPolicy, { signal });
  }
}

/** Until it resolves, the time is over or the signal aborts; leaves no timer behind. */
async function waitFor(news: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const late = delay(ms, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(() => undefined);
  await Promise.race([news, late]);
  over.abort();
}
