import type { KubernetesObject } from '@kubernetes/client-node';
import { Memo } from '../../util/memo.ts';
import type { KubeClient } from './kube-client.ts';
import { isKubeError } from './kube-error.ts';
import * as resources from './resources.ts';

/** For how long it is remembered where a kind is found, in milliseconds. What is not found is asked for again. */
const KEEP_MS = 10 * 60_000;
/** Most kinds that are remembered. */
const MAX = 100;

const KNOWN = new Map<string, resources.Resource<KubernetesObject>>(
  Object.values(resources)
    .filter((value) => typeof value === 'object')
    .map((resource) => [keyOf(resource), resource]),
);

/** Where objects of a kind are in the API, also of kinds that Labwright itself knows nothing of: by the discovery of the API server. */
export class ApiKinds {
  readonly #client: KubeClient;
  readonly #found = new Memo<resources.Resource<KubernetesObject>>({ keepMs: KEEP_MS, max: MAX });

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /**
   * @returns undefined when the API server has no such kind
   * @throws KubeError when it cannot be asked
   */
  async find({
    apiVersion = '',
    kind = '',
  }: KubernetesObject): Promise<resources.Resource<KubernetesObject> | undefined> {
    const key = keyOf({ apiVersion, kind });
    const known = KNOWN.get(key);
    if (known !== undefined) return known;
    try {
      return await this.#found.get(key, undefined, (signal) => this.#discover(apiVersion, kind, signal));
    } catch (error) {
      if (error instanceof NoSuchKind || isKubeError(error, 404)) return undefined;
      throw error;
    }
  }

  async #discover(
    apiVersion: string,
    kind: string,
    signal: AbortSignal,
  ): Promise<resources.Resource<KubernetesObject>> {
    const found = (await this.#client.resources(apiVersion, { signal })).find(
      (each) => each.kind === kind && !each.name.includes('/'),
    );
    if (found === undefined) throw new NoSuchKind();
    return { apiVersion, kind, plural: found.name, namespaced: found.namespaced };
  }
}

/** So that it is not remembered: the kind may be installed in this moment. */
class NoSuchKind extends Error {}

function keyOf({ apiVersion, kind }: { readonly apiVersion: string; readonly kind: string }): string {
  return `${apiVersion} ${kind}`;
}
