import type { V1Namespace } from '@kubernetes/client-node';
import { LabBuilder } from '../src/builder/lab/lab-builder.ts';
import type { Config } from '../src/config/index.ts';
import { sizeResources } from '../src/config/index.ts';
import { MANAGED_BY_LABEL } from '../src/domain/names.ts';
import type { KubeClient } from '../src/storage/kubernetes/kube-client.ts';
import * as resources from '../src/storage/kubernetes/resources.ts';

/**
 * The floor: a lab's objects made by a bare loop over the same client, in the same three steps as the brief names
 * (namespace, everything else at once, pod). It decides nothing, remembers nothing and writes no intent, so no
 * controller that makes these objects can be faster by much.
 */
export class Floor {
  readonly #client: KubeClient;
  readonly #config: Config;
  readonly #builder: LabBuilder;

  constructor(client: KubeClient, config: Config) {
    this.#client = client;
    this.#config = config;
    this.#builder = new LabBuilder(config, 'labwright');
  }

  /** Makes one lab's objects; resolves when the API server has answered for the pod. */
  async make(username: string): Promise<void> {
    const objects = this.#build(username);
    const { namespace, serviceAccount, files, limitRange } = objects;
    if (!namespace || !serviceAccount || !files || !limitRange)
      throw new Error('labs have namespaces of their own here');
    await this.#client.create(resources.Namespaces, foreign(namespace));
    await Promise.all([
      this.#client.create(resources.ServiceAccounts, serviceAccount),
      this.#client.create(resources.Secrets, objects.envSecret),
      objects.secret === undefined ? undefined : this.#client.create(resources.Secrets, objects.secret),
      this.#client.create(resources.ConfigMaps, files),
      this.#client.create(resources.LimitRanges, limitRange),
      objects.networkPolicy === undefined
        ? undefined
        : this.#client.create(resources.NetworkPolicies, objects.networkPolicy),
      this.#client.create(resources.Services, objects.service),
    ]);
    await this.#client.create(resources.Pods, foreign(objects.pod));
  }

  #build(username: string): ReturnType<LabBuilder['buildLab']> {
    const size = this.#config.lab.sizes[0]!;
    const { reference } = this.#config.images.list[0]!;
    const servicePrefix = `/user/${username}/`;
    return this.#builder.buildLab({
      user: { username, name: null, uid: 1000, gid: 1000, groups: [] },
      lab: {
        namespace: `floor-${username}`,
        spawnId: '0000000000000000',
        user: { username, name: null, uid: 1000, gid: 1000, groups: [] },
        servername: '',
        options: { size: size.name, enable_debug: false, reset_user_env: false, image: reference },
        image: { reference, name: reference, digest: '' },
        resources: sizeResources(size),
        extendedResources: size.extendedResources,
        quota: null,
        servicePrefix,
        createdAt: 0,
        deadline: 0,
      },
      image: { reference, name: reference, digest: '' },
      secrets: { env: { JUPYTERHUB_SERVICE_PREFIX: servicePrefix }, token: null, data: {} },
      pullSecret: null,
    });
  }
}

/** The controller that is measured must not take these objects for labs of its own. */
function foreign<T extends Pick<V1Namespace, 'metadata'>>(object: T): T {
  const labels = { ...object.metadata?.labels, [MANAGED_BY_LABEL]: 'bare-loop' };
  return { ...object, metadata: { ...object.metadata, labels } };
}
