import type { KubeClient } from '../kubernetes/kube-client.ts';
import { KubeError } from '../kubernetes/kube-error.ts';
import { Secrets } from '../kubernetes/resources.ts';
import { reread } from '../../util/memo.ts';
import { parseDockerConfig } from './docker-config.ts';
import { RegistryProblem } from './problems.ts';

export interface RegistryCredentialsOptions {
  readonly client: KubeClient;
  /** That of the controller. */
  readonly namespace: string;
  /** Name of the Secret, `builds.registry.credentials`; none where the registry asks for nothing. */
  readonly secret: string | undefined;
  /** How long what was read is believed, in milliseconds. */
  readonly maxAgeMs?: number;
}

const KEYS = ['config.json', '.dockerconfigjson'] as const;
const MAX_AGE_MS = 15_000;

/** The docker `config.json` that builds push with and Labwright asks with, from its Secret. */
export class RegistryCredentials {
  readonly #options: RegistryCredentialsOptions;
  readonly #text: () => Promise<string | null>;

  constructor(options: RegistryCredentialsOptions) {
    const { secret, maxAgeMs = MAX_AGE_MS } = options;
    this.#options = options;
    this.#text = secret === undefined ? () => Promise.resolve(null) : reread(maxAgeMs, () => this.#read(secret));
  }

  /**
   * The text of the file, checked, or null where none is configured. Many who ask at once make one call.
   *
   * @throws {RegistryProblem} `MissingSecret`, `RegistryDenied` for a file that cannot be used, `RegistryUnavailable`
   * (transient) when the Secret cannot be read at the moment
   */
  read(): Promise<string | null> {
    return this.#text();
  }

  async #read(name: string): Promise<string> {
    const { client, namespace } = this.#options;
    const secret = await client.get(Secrets, { namespace, name }).catch((cause: unknown) => {
      if (!(cause instanceof KubeError)) throw cause;
      const message = 'The registry credentials of this site cannot be read at the moment.';
      throw new RegistryProblem({ reason: 'RegistryUnavailable', message }, { cause, transient: true });
    });
    const value = KEYS.map((key) => secret?.data?.[key]).find((each) => each !== undefined);
    if (value === undefined) {
      const message = `The Secret "${name}" with the registry credentials of this site does not exist, or has no config.json. Tell an administrator.`;
      throw new RegistryProblem({ reason: 'MissingSecret', message });
    }
    const text = Buffer.from(value, 'base64').toString();
    parseDockerConfig(text);
    return text;
  }
}
