import type { Logger } from 'pino';
import type { BuildNamespaceObjects } from '../../builder/build/build-pod-builder.ts';
import type { KubeClient } from '../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../storage/kubernetes/kube-error.ts';
import { Namespaces, NetworkPolicies, ServiceAccounts } from '../../storage/kubernetes/resources.ts';
import { Controller } from '../controller.ts';

export interface BuildNamespaceOptions {
  /** Name of the controller: `build-namespace`, with the executor's name for another cluster. */
  readonly name?: string;
  readonly client: KubeClient;
  /** What has to be there; undefined while that is not known yet. */
  readonly objects: () => BuildNamespaceObjects | undefined;
  /** Its objects are there, for the first time or again. */
  readonly onProvisioned?: () => void;
  readonly logger: Logger;
  /** The longest delay between two attempts, in milliseconds. */
  readonly maxDelayMs?: number;
}

/** The only key of `build-namespace`. */
export const NAMESPACE = 'namespace';
const MAX_DELAY_MS = 60_000;

/**
 * Ensures that the namespace of builds is there, with its rules and an account without rights.
 *
 * Every replica does so, not only the leader: what is applied follows from the configuration alone, applying it twice changes
 * nothing, and a replica that has accepted a request and found the namespace missing must not wait for another one.
 */
export class BuildNamespace {
  readonly controller: Controller;
  /** Resolves when all of it is there for the first time. */
  readonly provisioned: Promise<void>;
  readonly #options: BuildNamespaceOptions;
  readonly #markProvisioned: () => void;
  #isProvisioned = false;

  constructor(options: BuildNamespaceOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.provisioned = promise;
    this.#markProvisioned = resolve;
    this.controller = new Controller({
      name: options.name ?? 'build-namespace',
      caches: [],
      sources: [],
      keys: () => [NAMESPACE],
      reconcile: () => this.ensure(),
      needsLeader: false,
      maxDelayMs: options.maxDelayMs ?? MAX_DELAY_MS,
      logger: options.logger,
    });
  }

  get isProvisioned(): boolean {
    return this.#isProvisioned;
  }

  /** It was found missing: it is made again, and until then nothing is started in it. */
  namespaceMissing(): void {
    this.#isProvisioned = false;
    this.controller.enqueue(NAMESPACE);
  }

  /** @throws {KubeError} */
  async ensure(): Promise<void> {
    const { client, objects, onProvisioned } = this.#options;
    const wanted = objects();
    if (wanted === undefined) return;
    const { namespace, serviceAccount, networkPolicy } = wanted;
    // Where an administrator has made it, there need be no right to make it.
    await client.apply(Namespaces, namespace).catch((error: unknown) => {
      if (!isKubeError(error, 403)) throw error;
    });
    await client.apply(ServiceAccounts, serviceAccount);
    if (networkPolicy !== undefined) await client.apply(NetworkPolicies, networkPolicy);
    this.#isProvisioned = true;
    this.#markProvisioned();
    onProvisioned?.();
  }
}
