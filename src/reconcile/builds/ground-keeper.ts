import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BuildGround } from '../../builder/build-pod-builder.ts';
import type { KubeClient } from '../../storage/kube-client.ts';
import { isKubeError } from '../../storage/kube-error.ts';
import { Namespaces, NetworkPolicies, ServiceAccounts } from '../../storage/resources.ts';

export interface GroundKeeperOptions {
  readonly client: KubeClient;
  readonly ground: BuildGround;
  readonly logger: Logger;
}

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

/** Sees to it that what all builds stand on is there: their namespace, its rules, and an account without rights. */
export class GroundKeeper {
  /** Resolves when it is all there. */
  readonly laid: Promise<void>;
  isLaid = false;
  readonly #options: GroundKeeperOptions;
  #markLaid!: () => void;

  constructor(options: GroundKeeperOptions) {
    this.#options = options;
    this.laid = new Promise((resolve) => {
      this.#markLaid = resolve;
    });
  }

  /** Tries until it has succeeded or `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const stopped = () => signal.aborted;
    for (let wait = FIRST_RETRY_MS; !stopped(); wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
      try {
        await this.#lay(signal);
        this.isLaid = true;
        this.#markLaid();
        return;
      } catch (err) {
        if (stopped()) return;
        this.#options.logger.warn({ err }, 'the namespace of builds could not be prepared; it is tried again');
      }
      await delay(wait * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
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
