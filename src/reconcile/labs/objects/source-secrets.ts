import type { V1Secret } from '@kubernetes/client-node';
import type { LabConfig } from '../../../config/config.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { Secrets } from '../../../storage/kubernetes/resources.ts';
import { Refused } from './refusal.ts';

/** What is copied into a lab from Secrets of the controller's namespace; values are base64. */
export interface CopiedSecrets {
  readonly data: Readonly<Record<string, string>>;
  readonly pullSecret: { readonly type: string; readonly data: Readonly<Record<string, string>> } | null;
}

/** Reads the Secrets that the configuration names: one call for each, none when it names none. */
export class SourceSecrets {
  readonly #client: KubeClient;
  readonly #config: Pick<LabConfig, 'secrets' | 'pullSecret'>;
  readonly #namespace: string;

  constructor(client: KubeClient, config: Pick<LabConfig, 'secrets' | 'pullSecret'>, namespace: string) {
    this.#client = client;
    this.#config = config;
    this.#namespace = namespace;
  }

  /** @throws Refused `MissingSecret` when a Secret or a key is not there */
  async read(): Promise<CopiedSecrets> {
    const { secrets, pullSecret } = this.#config;
    const names = new Set(secrets.map(({ secretName }) => secretName));
    if (pullSecret !== undefined) names.add(pullSecret);
    const found = new Map(
      await Promise.all([...names].map(async (name) => [name, await this.#readOne(name)] as const)),
    );
    const data: Record<string, string> = {};
    for (const { secretName, secretKey } of secrets) {
      const value = found.get(secretName)?.data?.[secretKey];
      if (value === undefined) throw missing(`The key "${secretKey}" is missing in the Secret "${secretName}"`);
      data[secretKey] = value;
    }
    const pull = pullSecret === undefined ? undefined : found.get(pullSecret);
    return { data, pullSecret: pull === undefined ? null : { type: pull.type ?? 'Opaque', data: pull.data ?? {} } };
  }

  async #readOne(name: string): Promise<V1Secret> {
    const secret = await this.#client.get(Secrets, { namespace: this.#namespace, name });
    if (secret === undefined) throw missing(`The Secret "${name}" does not exist`);
    return secret;
  }
}

function missing(what: string): Refused {
  return new Refused('MissingSecret', `${what}, from which every lab gets a copy. Tell an administrator.`);
}
