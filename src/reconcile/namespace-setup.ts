import type { Logger } from 'pino';
import type { V1Namespace, V1NetworkPolicy, V1ServiceAccount } from '@kubernetes/client-node';
import type { KubeClient } from '../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../storage/kubernetes/kube-error.ts';
import { Namespaces, NetworkPolicies, ServiceAccounts } from '../storage/kubernetes/resources.ts';
import { Controller } from './controller.ts';

/** What a namespace is to have before anything is started in it. */
export interface NamespaceObjects {
  /** Absent where it is there, and somebody else's. */
  readonly namespace?: V1Namespace;
  readonly serviceAccount?: V1ServiceAccount;
  readonly networkPolicy?: V1NetworkPolicy | undefined;
}

export interface NamespaceSetupOptions {
  /** Name of the controller. */
  readonly name: string;
  readonly client: KubeClient;
  /** What has to be there; undefined while that is not known yet. */
  readonly objects: () => NamespaceObjects | undefined;
  /** Its objects are there, for the first time or again. */
  readonly onProvisioned?: () => void;
  readonly logger: Logger;
  /** The longest delay between two attempts, in milliseconds. */
  readonly maxDelayMs?: number;
}

/** The only key of the controller. */
export const NAMESPACE = 'namespace';
const MAX_DELAY_MS = 60_000;

/**
 * Ensures that a namespace in which Labwright starts pods has its rules: that of builds, and the one that labs share. A namespace of
 * Labwright's own is made, with an account without rights.
 *
 * Every replica does so, not only the leader: what is applied follows from the configuration alone, applying it twice changes
 * nothing, and a replica that has accepted a request and found the namespace missing must not wait for another one.
 */
export class NamespaceSetup {
  readonly controller: Controller;
  /** Resolves when all of it is there for the first time. */
  readonly provisioned: Promise<void>;
  readonly #options: NamespaceSetupOptions;
  readonly #markProvisioned: () => void;
  #isProvisioned = false;
  /** Counts how often it was said that all of it is to be applied again. */
  #asked = 0;

  constructor(options: NamespaceSetupOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.provisioned = promise;
    this.#markProvisioned = resolve;
    this.controller = new Controller({
      name: options.name,
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

  /** It was found missing, or is to have other objects than before: they are applied again, and until then nothing is started in it. */
  applyAgain(): void {
    this.#asked += 1;
    this.#isProvisioned = false;
    this.controller.enqueue(NAMESPACE);
  }

  /** @throws {KubeError} */
  async ensure(): Promise<void> {
    const { client, objects, onProvisioned } = this.#options;
    const asked = this.#asked;
    const wanted = objects();
    if (wanted === undefined) return;
    const { namespace, serviceAccount, networkPolicy } = wanted;
    // Where an administrator has made it, there need be no right to make it.
    if (namespace !== undefined) {
      await client.apply(Namespaces, namespace).catch((error: unknown) => {
        if (!isKubeError(error, 403)) throw error;
      });
    }
    if (serviceAccount !== undefined) await client.apply(ServiceAccounts, serviceAccount);
    if (networkPolicy !== undefined) await client.apply(NetworkPolicies, networkPolicy);
    // What has just been applied may be outdated, and may have arrived after what is newer.
    if (asked !== this.#asked) return this.ensure();
    this.#isProvisioned = true;
    this.#markProvisioned();
    onProvisioned?.();
  }
}
