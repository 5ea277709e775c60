import type { Api } from '../api.ts';
import { quotaStatus } from '../admission/resource-quota.ts';
import { objectAt, specOf } from '../kinds/common.ts';
import { namespaces } from '../kinds/namespaces.ts';
import { PVC_PROTECTION, persistentVolumeClaims } from '../kinds/persistent-volume-claims.ts';
import { pods } from '../kinds/pods.ts';
import { resourceQuotas } from '../kinds/resource-quotas.ts';
import { serviceAccounts } from '../kinds/service-accounts.ts';
import { type KubeObject, sameJson, withMetadata } from '../objects.ts';
import { RESOURCE_TYPES } from '../resource-types.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { JobController } from './job-controller.ts';
import type { Store } from '../store.ts';

const NO_OPTIONS = {
  ...{ dryRun: false, uid: undefined, resourceVersion: undefined, gracePeriodSeconds: undefined },
  propagation: 'Background',
} as const;

/**
 * The controllers of a control plane without which an API server is not a cluster: the `default` ServiceAccount of a
 * namespace, the emptying of a terminating one, the usage in a quota's status, and the protection of claims; and, each in
 * a file of its own, Jobs and the garbage of owners that are gone.
 *
 * Each of those here works on one namespace at a time, one turn of the event loop after a change in it, as a real controller does a
 * moment later.
 */
export class Controllers {
  readonly #store: Store;
  readonly #api: Api;
  readonly #dirty = new Set<string>();
  readonly #unsubscribe: (() => void)[];
  readonly #jobs: JobController;
  readonly #garbage: GarbageCollector;
  #scheduled: NodeJS.Immediate | undefined;

  constructor(store: Store, api: Api) {
    this.#store = store;
    this.#api = api;
    this.#jobs = new JobController(store, api);
    this.#garbage = new GarbageCollector(store, api);
    this.#unsubscribe = RESOURCE_TYPES.map((type) =>
      store.subscribe(type, ({ object }) =>
        this.#touch(type === namespaces ? object.metadata.name : (object.metadata.namespace ?? '')),
      ),
    );
  }

  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    clearImmediate(this.#scheduled);
    this.#jobs.close();
    this.#garbage.close();
  }

  #touch(namespace: string): void {
    if (namespace === '') return;
    this.#dirty.add(namespace);
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      const touched = [...this.#dirty];
      this.#dirty.clear();
      for (const name of touched) this.#reconcile(name);
    });
  }

  #reconcile(name: string): void {
    const namespace = this.#store.get(namespaces, '', name);
    if (namespace === undefined) return;
    this.#releaseClaims(name);
    if (namespace.metadata.deletionTimestamp !== undefined) {
      this.#terminate(namespace);
      return;
    }
    if (this.#store.get(serviceAccounts, name, 'default') === undefined) {
      this.#api.create(serviceAccounts, name, { metadata: { name: 'default' } }, NO_OPTIONS);
    }
    this.#countQuotas(name);
  }

  /** Pods first; when they are gone, everything else; when nothing is left, the namespace. */
  #terminate(namespace: KubeObject): void {
    const { name } = namespace.metadata;
    const ending = [...this.#store.objects(pods, name)];
    this.#api.deleteAll(pods, ending.filter(isKept), NO_OPTIONS);
    if (this.#isLeft(pods, name)) return;
    const others = RESOURCE_TYPES.filter((type) => type.namespaced && type !== pods);
    for (const type of others) {
      this.#api.deleteAll(type, [...this.#store.objects(type, name)].filter(isKept), NO_OPTIONS);
    }
    this.#releaseClaims(name);
    if (others.some((type) => this.#isLeft(type, name))) return;
    this.#store.remove(namespaces, { ...namespace, spec: {} });
  }

  #isLeft(type: (typeof RESOURCE_TYPES)[number], namespace: string): boolean {
    return !this.#store.objects(type, namespace)[Symbol.iterator]().next().done;
  }

  #countQuotas(namespace: string): void {
    for (const quota of [...this.#store.objects(resourceQuotas, namespace)]) {
      const status = quotaStatus(this.#store, quota);
      if (!sameJson(status, quota['status'])) this.#store.update(resourceQuotas, { ...quota, status }, quota);
    }
  }

  /** A claim that is being deleted goes when no pod mounts it. */
  #releaseClaims(namespace: string): void {
    for (const claim of [...this.#store.objects(persistentVolumeClaims, namespace)]) {
      const { deletionTimestamp, finalizers = [], name } = claim.metadata;
      if (deletionTimestamp === undefined || this.#isMounted(namespace, name)) continue;
      const left = finalizers.filter((finalizer) => finalizer !== PVC_PROTECTION);
      const released = withMetadata(claim, { finalizers: left });
      if (left.length === 0) this.#store.remove(persistentVolumeClaims, released);
      else if (left.length < finalizers.length) this.#store.update(persistentVolumeClaims, released, claim);
    }
  }

  #isMounted(namespace: string, claim: string): boolean {
    return [...this.#store.objects(pods, namespace)].some((pod) => {
      const { volumes } = specOf(pod);
      return (
        Array.isArray(volumes) &&
        volumes.some((volume: KubeObject) => objectAt(volume, 'persistentVolumeClaim')['claimName'] === claim)
      );
    });
  }
}

function isKept({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp === undefined;
}
