import type { V1Job, V1Pod } from '@kubernetes/client-node';
import { BUILD_CONTAINER, BUILD_LABEL, BUILD_USER_LABEL } from '../../src/domain/build/build-intent.ts';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { Jobs, Pods, type Resource } from '../../src/storage/kubernetes/resources.ts';

/** When something of a build was first seen in the API, in milliseconds since the epoch. */
export interface Seen {
  job?: number;
  /** Its turn had come. */
  released?: number;
  pod?: number;
  running?: number;
  /** The builder's container had ended. */
  terminated?: number;
  readonly pods: Set<string>;
}

/** Follows the Jobs and pods of one namespace with watches of its own. */
export class Observer {
  readonly builds = new Map<string, Seen>();
  /** Pods that had not ended at the same moment, at most: of everybody, and of one user. */
  most = 0;
  mostOfUser = 0;
  /** Users by uid of their pod. */
  readonly #live = new Map<string, string>();
  readonly #stop = new AbortController();
  readonly #done: Promise<unknown>;
  readonly #checks = new Set<() => void>();

  static async start(client: KubeClient, namespace: string): Promise<Observer> {
    const versions = await Promise.all([Jobs, Pods].map((resource) => versionOf(client, resource, namespace)));
    return new Observer(client, namespace, versions);
  }

  private constructor(client: KubeClient, namespace: string, [jobs = '', pods = '']: string[]) {
    const { signal } = this.#stop;
    const follow = async <T extends V1Job | V1Pod>(
      resource: Resource<T>,
      version: string,
      take: (object: T, isGone: boolean) => void,
    ) => {
      // Longer than a part lasts; one that breaks ends the measurement.
      const options = { namespace, resourceVersion: version, signal, timeoutSeconds: 1800 };
      for await (const { type, object } of client.watch(resource, options)) {
        if (type !== 'BOOKMARK') take(object, type === 'DELETED');
      }
    };
    this.#done = Promise.all([
      follow(Jobs, jobs, (job) => this.#job(job)),
      follow(Pods, pods, (pod, isGone) => this.#pod(pod, isGone)),
    ]);
    this.#done.catch((error: unknown) => process.stderr.write(`the observer's watch broke: ${String(error)}\n`));
  }

  get(id: string): Seen {
    const seen = this.builds.get(id) ?? { pods: new Set() };
    this.builds.set(id, seen);
    return seen;
  }

  /** Resolves when `isTrue` holds after some change. @throws Error at the deadline, in milliseconds */
  until(what: string, isTrue: () => boolean, deadlineMs: number): Promise<void> {
    if (isTrue()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearTimeout(timer);
        this.#checks.delete(check);
        settle();
      };
      const timer = setTimeout(
        () => end(() => reject(new Error(`Waited ${deadlineMs} ms in vain for ${what}`))),
        deadlineMs,
      );
      const check = (): void => {
        if (isTrue()) end(resolve);
      };
      this.#checks.add(check);
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#done.catch(() => undefined);
  }

  #job({ metadata, spec }: V1Job): void {
    const id = metadata?.labels?.[BUILD_LABEL];
    if (id === undefined) return;
    const seen = this.get(id);
    seen.job ??= Date.now();
    if (spec?.suspend !== true) seen.released ??= Date.now();
    this.#changed();
  }

  #pod(pod: V1Pod, isGone: boolean): void {
    const { labels, uid = '' } = pod.metadata ?? {};
    const id = labels?.[BUILD_LABEL];
    if (id === undefined) return;
    const seen = this.get(id);
    const now = Date.now();
    seen.pod ??= now;
    seen.pods.add(uid);
    const stage = isGone ? 'terminated' : stageOf(pod);
    if (stage !== 'waiting') seen.running ??= now;
    if (stage === 'terminated') seen.terminated ??= now;
    this.#count(uid, labels?.[BUILD_USER_LABEL] ?? '', stage !== 'terminated');
    this.#changed();
  }

  #count(uid: string, user: string, isLive: boolean): void {
    if (isLive) this.#live.set(uid, user);
    else this.#live.delete(uid);
    this.most = Math.max(this.most, this.#live.size);
    const ofUser = [...this.#live.values()].filter((other) => other === user).length;
    this.mostOfUser = Math.max(this.mostOfUser, ofUser);
  }

  #changed(): void {
    for (const check of this.#checks) check();
  }
}

function stageOf({ status }: V1Pod): 'waiting' | 'running' | 'terminated' {
  const state = status?.containerStatuses?.find(({ name }) => name === BUILD_CONTAINER)?.state;
  const { phase } = status ?? {};
  if (state?.terminated !== undefined || phase === 'Succeeded' || phase === 'Failed') return 'terminated';
  return state?.running === undefined ? 'waiting' : 'running';
}

async function versionOf(client: KubeClient, resource: Resource<V1Job | V1Pod>, namespace: string): Promise<string> {
  const { resourceVersion } = await client.list(resource, { namespace, metadataOnly: true });
  return resourceVersion;
}
