import type { Logger } from 'pino';
import { LabBuilder } from '../../builder/lab/lab-builder.ts';
import type { Config } from '../../config/config.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { KubeError } from '../../storage/kubernetes/kube-error.ts';
import { describeOutage } from '../../storage/kubernetes/checks/outage.ts';
import type { BuildService } from '../builds/build-service.ts';
import { LabImages } from './lab-images.ts';
import { LabReconciler } from './lab-reconciler.ts';
import type { LabTokens } from './lab-service.ts';
import { Labs } from './labs.ts';
import { LabWatches } from './lab-watches.ts';
import { Operations } from './operations.ts';
import { SourceSecrets } from './objects/source-secrets.ts';
import { TokenRenewal } from './token-renewal.ts';
import { WorkQueue } from '../work-queue.ts';

export interface LabControllerOptions {
  readonly client: KubeClient;
  readonly config: Config;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** Signs the tokens of labs; to be given where `lab.token.source` is `signed`. */
  readonly tokens?: LabTokens | undefined;
  /** Where images are built from repositories. */
  readonly builds?: BuildService | undefined;
  /** See LabReconcilerOptions; tests shorten it. */
  readonly leftoverGrace?: number;
}

/** Every lab is looked at so often even if nothing seems to happen: a net under everything else. */
const RESYNC_MS = 10 * 60_000;
const OUTAGE_CHECK_MS = 1_000;
/** Longest pause between two tries of one lab: when the API server is back, somebody is waiting for it. */
const BACKOFF_MS = 5_000;

/**
 * All that keeps labs as they are wanted, in one piece: the picture of the cluster, the queue of labs to look at, and the
 * reconciler that looks.
 */
export class LabController {
  readonly labs: Labs;
  readonly watches: LabWatches;
  readonly #queue: WorkQueue;
  readonly #renewal: TokenRenewal | undefined;
  readonly #images: LabImages | undefined;
  readonly #logger: Logger;
  readonly #server: string;
  #outage: string | undefined;

  constructor({ client, config, controller, logger, tokens, builds, leftoverGrace }: LabControllerOptions) {
    if (config.lab.token.source === 'signed' && tokens === undefined) {
      throw new TypeError('the configuration asks for signed tokens, and there is nobody to sign them');
    }
    const operations = new Operations();
    const builder = new LabBuilder(config.lab, { baseUrl: config.baseUrl, namespace: controller });
    const sources = new SourceSecrets(client, config.lab, controller);
    this.#logger = logger;
    this.#server = client.server;
    this.#queue = new WorkQueue((slug) => reconciler.reconcile(slug), {
      concurrency: config.kubernetes.concurrency,
      maxDelayMs: BACKOFF_MS,
      onError: (lab, err, failures) => this.#report(lab, err, failures),
    });
    this.watches = new LabWatches({
      client,
      controller,
      logger,
      onChange: (slug) => this.#queue.add(slug),
      onPodEvent: (slug, event) => this.labs.onPodEvent(slug, event),
    });
    const shared = { client, watches: this.watches, operations, config: config.lab, controller, logger, tokens };
    this.#images =
      builds === undefined ? undefined : new LabImages({ builds, logger, wake: (slug) => this.#queue.add(slug) });
    const reconciler = new LabReconciler({
      ...shared,
      images: this.#images,
      builder,
      sources,
      ...(leftoverGrace === undefined ? {} : { leftoverGrace }),
    });
    this.labs = new Labs({ ...shared, queue: this.#queue });
    this.#renewal = tokens === undefined ? undefined : new TokenRenewal({ ...shared, tokens });
  }

  /** Works until `signal` aborts and everything that was under way has ended. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const watching = Promise.all([this.watches.run(signal), this.#renewal?.run(signal)]);
    void this.watches.ready.then(() => this.#lookAtAll());
    const resync = setInterval(() => this.#lookAtAll(), RESYNC_MS);
    const outage = setInterval(() => this.#reportOutage(), OUTAGE_CHECK_MS);
    await watching;
    clearInterval(resync);
    clearInterval(outage);
    await this.#images?.stop();
    await this.#queue.stop();
  }

  #lookAtAll(): void {
    if (!this.watches.isReady) return;
    for (const slug of this.watches.slugs()) this.#queue.add(slug);
  }

  /** Says once what is wrong while there is no picture of the cluster yet. */
  #reportOutage(): void {
    const sentence = this.watches.isReady ? undefined : describeOutage(this.#server, this.watches.lastError);
    if (sentence !== undefined && sentence !== this.#outage) this.#logger.error(`${sentence} Trying again.`);
    if (sentence === undefined && this.#outage !== undefined) this.#logger.info('The Kubernetes API answers.');
    this.#outage = sentence;
  }

  /** What passes by itself is no news to anybody; what goes on is. */
  #report(lab: string, err: unknown, failures: number): void {
    const level = err instanceof KubeError && failures < 5 ? 'debug' : 'warn';
    this.#logger[level]({ lab, err, failures }, 'a lab could not be moved on; it is tried again');
  }
}
