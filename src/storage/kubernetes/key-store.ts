import type { V1Secret } from '@kubernetes/client-node';
import { CONTROLLER_LABEL, KIND_LABEL, MANAGED_BY, MANAGED_BY_LABEL } from '../../domain/names.ts';
import { type KubeClient, METADATA_ONLY } from './kube-client.ts';
import { isKubeError, isOutdated } from './kube-error.ts';
import { Secrets } from './resources.ts';

/** Name of the Secret that holds the controller's keys, in its own namespace. No lab's intent can have it. */
export const KEYS_SECRET_NAME = 'labwright-keys';
const KEYS_KIND = 'keys';
/** Kubernetes lets nobody change the type of a Secret: what has this one was made here. */
const KEYS_TYPE = 'labwright.dev/keys';

/**
 * One Secret in the controller's own namespace. Its version decides between controllers that change it at once, its name
 * between those that make it.
 */
export class KeyStore {
  readonly name: string;
  readonly #client: KubeClient;
  readonly #namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.name = `Secret ${namespace}/${KEYS_SECRET_NAME}`;
    this.#client = client;
    this.#namespace = namespace;
  }

  /**
   * @returns text by key, and the version to name when it is changed; undefined when there is no such Secret
   * @throws KubeError
   */
  async read(signal: AbortSignal): Promise<{ data: Record<string, string>; version: string } | undefined> {
    const ref = { namespace: this.#namespace, name: KEYS_SECRET_NAME };
    const secret = await this.#client.get(Secrets, ref, { signal });
    if (secret === undefined) return undefined;
    const own = secret.type === KEYS_TYPE ? Object.entries(secret.data ?? {}) : [];
    const data = own.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')] as const);
    return { data: Object.fromEntries(data), version: secret.metadata?.resourceVersion ?? '' };
  }

  /**
   * Makes the Secret, or changes the one of this version.
   *
   * @returns false when it is there already, has changed, or has gone
   * @throws KubeError
   */
  async write(
    data: Readonly<Record<string, string>>,
    version: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const options = { ...METADATA_ONLY, signal };
    const encoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const);
    const content = { type: KEYS_TYPE, data: Object.fromEntries(encoded) };
    const metadata = { namespace: this.#namespace, name: KEYS_SECRET_NAME };
    try {
      if (version === undefined)
        await this.#client.create(Secrets, { metadata: this.#labelled(), ...content }, options);
      else {
        const patch = { metadata: { resourceVersion: version }, ...content };
        await this.#client.patch(Secrets, metadata, patch, options);
      }
      return true;
    } catch (error) {
      if (version === undefined ? isKubeError(error, 409) : isOutdated(error)) return false;
      throw error;
    }
  }

  #labelled(): V1Secret['metadata'] & object {
    return {
      namespace: this.#namespace,
      name: KEYS_SECRET_NAME,
      labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [KIND_LABEL]: KEYS_KIND, [CONTROLLER_LABEL]: this.#namespace },
    };
  }
}
