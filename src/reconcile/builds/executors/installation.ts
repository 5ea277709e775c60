import { readInstallation } from '../../../storage/kubernetes/checks/installation.ts';
import { backoffMs } from '../../../util/backoff.ts';
import { Memo } from '../../../util/memo.ts';
import { sleep } from '../../../util/sleep.ts';
import type { BuildScope } from '../build-scope.ts';

/** Of the cluster with the intents. */
export interface InstallationOptions extends Omit<BuildScope, 'config'> {
  readonly firstRetryMs?: number;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;

/**
 * What this installation is called outside of its own cluster. It follows from the uid of the namespace of builds, so that the
 * API server has to be asked once; before that, executors elsewhere do not know what there is ours, and are not ready.
 */
export class Installation {
  readonly #options: InstallationOptions;
  readonly #reading = new Memo<string>();
  #name: string | undefined;
  #lastError: Error | undefined;

  constructor(options: InstallationOptions) {
    this.#options = options;
  }

  /** Why it is not known yet. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /**
   * Its name, as soon as it is known. The API server is asked until it answers, once for all who wait.
   *
   * @returns undefined when the signal aborts before
   */
  async read(signal: AbortSignal): Promise<string | undefined> {
    if (this.#name !== undefined) return this.#name;
    return this.#reading.get('', signal, (shared) => this.#readUntilKnown(shared)).catch(() => undefined);
  }

  async #readUntilKnown(signal: AbortSignal): Promise<string> {
    const { client, controller, namespace, logger, firstRetryMs: firstMs = FIRST_RETRY_MS } = this.#options;
    for (let failures = 1; ; failures += 1) {
      signal.throwIfAborted();
      try {
        this.#name = await readInstallation(client, controller, namespace, signal);
        this.#lastError = undefined;
        return this.#name;
      } catch (err) {
        this.#lastError = err as Error;
        logger.debug({ err }, 'the name of this installation is not known yet; will retry');
      }
      await sleep(backoffMs(failures, { firstMs, longestMs: LONGEST_RETRY_MS }), signal);
    }
  }
}
