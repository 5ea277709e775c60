import type { LabSpec } from '../../domain/lab/lab.ts';
import type { ObservedIntent } from '../../domain/lab/observed.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError, KubeError } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces } from '../../storage/kubernetes/resources.ts';
import { Backoff } from '../../util/backoff.ts';
import { sleep } from '../../util/sleep.ts';

export interface LabScopeOptions {
  readonly client: KubeClient;
  /** The namespace that labs share, where they do. */
  readonly sharedNamespace: string | undefined;
  /** Selects the namespaces of labs. */
  readonly labels: string;
}

/**
 * Which namespaces are looked into. Labs with namespaces of their own need all of them. Where labs share one, Labwright may have no rights
 * elsewhere, and then looks into that one only; with the rights it also sees labs that have a namespace of their own from before.
 */
export class LabScope {
  /** Resolves when it is known. */
  readonly known: Promise<void>;
  readonly #options: LabScopeOptions;
  readonly #markKnown: () => void;
  #isNarrow = false;
  #lastError: KubeError | undefined;
  #refusal: Error | undefined;

  constructor(options: LabScopeOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.known = promise;
    this.#markKnown = resolve;
  }

  /** The only namespace that is looked into; none where all are. */
  get only(): { readonly namespace?: string } {
    const { sharedNamespace } = this.#options;
    return this.#isNarrow && sharedNamespace !== undefined ? { namespace: sharedNamespace } : {};
  }

  /** Whether namespaces of labs can be seen. */
  get seesNamespaces(): boolean {
    return !this.#isNarrow;
  }

  /** Whether what belongs to a lab can be seen. */
  sees({ namespace }: Pick<LabSpec, 'namespace'>): boolean {
    return !this.#isNarrow || namespace === this.#options.sharedNamespace || namespace === '';
  }

  /** Why it is not known, or does not do. */
  get lastError(): Error | undefined {
    return this.#refusal ?? this.#lastError;
  }

  /** That there are labs which cannot be seen. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  /** Asks the API server until it answers, or `signal` aborts. Never rejects. */
  async find(signal: AbortSignal): Promise<void> {
    const { client, sharedNamespace, labels } = this.#options;
    const backoff = new Backoff({ firstMs: 250, longestMs: 10_000 });
    while (sharedNamespace !== undefined && !signal.aborted) {
      try {
        await client.listPages(Namespaces, { metadataOnly: true, labelSelector: labels, pageSize: 1, signal }).next();
        break;
      } catch (error) {
        if (isKubeError(error, 403)) {
          this.#isNarrow = true;
          break;
        }
        if (error instanceof KubeError) this.#lastError = error;
        await sleep(backoff.next(), signal);
      }
    }
    if (signal.aborted) return;
    this.#lastError = undefined;
    this.#markKnown();
  }

  /** There is a lab that cannot be seen: nothing is said of any lab, or it would be taken for lost. Never resolves. */
  refuse({ spec }: ObservedIntent): Promise<never> {
    this.#refusal = new Error(
      `There is a lab in the namespace ${spec.namespace}, from before lab.namespaces was "shared", and Labwright has no right to see it: ` +
        'grant the ClusterRole again until such labs have been stopped, and start Labwright again.',
    );
    return Promise.withResolvers<never>().promise;
  }
}
