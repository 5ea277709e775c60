import type { V1Node, V1OwnerReference, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { prepullLabels, prepullSelector } from '../../../builder/prepull/puller-pod.ts';
import type { PullNode } from '../../../domain/image/prepull/node.ts';
import { observePuller, type Puller } from '../../../domain/image/prepull/puller.ts';
import { NO_RECORD, type PrepullRecord } from '../../../domain/image/prepull/record.ts';
import { parseRecord, RECORD_NAME, writeRecord } from '../../../domain/image/prepull/record-map.ts';
import type { KubeClient } from '../../../storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../../storage/kubernetes/kube-error.ts';
import { Reflector } from '../../../storage/kubernetes/reflector.ts';
import { Nodes, Pods } from '../../../storage/kubernetes/resources.ts';
import { type Cache, type Health, stalenessOf } from '../../health.ts';
import { SharedDocument } from '../../shared-document.ts';
import { type CachedNode, interner, isSameNode, observeNode } from './observe-node.ts';

export interface PrepullCacheOptions {
  readonly client: KubeClient;
  /** The controller's own namespace. */
  readonly controller: string;
  readonly logger: Logger;
  /** What the ConfigMap is deleted with, once that is known. */
  readonly owner: () => V1OwnerReference | undefined;
}

const RIGHTS_CHECK_MS = 1_000;
/** Without the right to see nodes, it is asked for so seldom, in milliseconds. */
const LONGEST_DELAY_MS = 30_000;
const NO_RIGHTS =
  'Images are not pulled ahead: Labwright may not see nodes or start pods for it; deploy/kubernetes-prepull has the rights';

/** The local copy of what decides about images on nodes: three watches. */
export class PrepullCache implements Cache {
  readonly name = 'prepull-cache';
  readonly synced: Promise<void>;
  readonly record: SharedDocument<PrepullRecord>;
  readonly #options: PrepullCacheOptions;
  readonly #nodes: Reflector<V1Node, CachedNode>;
  readonly #pullers: Reflector<V1Pod, Puller>;
  readonly #listeners = new Set<() => void>();
  #version = 0;
  #toldOfRights = false;

  constructor(options: PrepullCacheOptions) {
    this.#options = options;
    const { client, controller, logger, owner } = options;
    const labels = prepullLabels(controller);
    const intern = interner();
    this.#nodes = new Reflector<V1Node, CachedNode>({
      ...{ client, logger, resource: Nodes, select: {}, maxDelayMs: LONGEST_DELAY_MS },
      project: (node) => observeNode(node, intern),
      onChange: (_key, now, before) => {
        if (!isSameNode(now?.node, before?.node)) this.#changed();
      },
    });
    this.#pullers = new Reflector<V1Pod, Puller>({
      ...{ client, logger, resource: Pods, maxDelayMs: LONGEST_DELAY_MS },
      select: { namespace: controller, labelSelector: prepullSelector(controller) },
      project: observePuller,
      onChange: () => this.#changed(),
    });
    this.record = new SharedDocument<PrepullRecord>({
      ...{ name: 'prepull-record', client, logger, namespace: controller, mapName: RECORD_NAME, empty: NO_RECORD },
      parse: parseRecord,
      build: (record, resourceVersion) => {
        const reference = owner();
        return {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {
            ...{ name: RECORD_NAME, namespace: controller, labels },
            ...(resourceVersion === undefined ? {} : { resourceVersion }),
            ...(reference === undefined ? {} : { ownerReferences: [{ ...reference }] }),
          },
          data: writeRecord(record),
        };
      },
      onChange: () => this.#changed(),
    });
    this.synced = Promise.all([this.#nodes.ready, this.#pullers.ready, this.record.synced]).then(() => undefined);
  }

  get isSynced(): boolean {
    return this.#nodes.isReady && this.#pullers.isReady && this.record.isSynced;
  }

  /** Grows with each change that may decide something. */
  get version(): number {
    return this.#version;
  }

  get nodes(): readonly PullNode[] {
    return [...this.#nodes.values()].map(({ node }) => node);
  }

  get pullers(): readonly Puller[] {
    return [...this.#pullers.values()];
  }

  /** Calls the listener after each change, until `signal` aborts. */
  onChange(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  /** Takes the answer of a create into the store. */
  observe(pod: V1Pod): void {
    this.#pullers.observe(pod);
  }

  /** The same for a delete that the API server has confirmed. */
  forget({ name, uid }: Puller): void {
    this.#pullers.forget(`${this.#options.controller}/${name}`, uid);
  }

  /** Ready whatever it knows: labs do not depend on it. */
  health(): Health {
    const error = this.#lastError;
    const stale = stalenessOf([this.#nodes, this.#pullers]);
    const staleMs = Math.max(this.#nodes.staleMs, this.#pullers.staleMs);
    const notice = isKubeError(error, 403) ? NO_RIGHTS : undefined;
    return { component: this.name, ready: true, message: error?.message, notice, staleMs, stale };
  }

  async run(signal: AbortSignal): Promise<void> {
    const rights = setInterval(() => this.#reportRights(), RIGHTS_CHECK_MS);
    await Promise.all([this.#nodes.run(signal), this.#pullers.run(signal), this.record.run(signal)]);
    clearInterval(rights);
  }

  get #lastError(): Error | undefined {
    return this.#nodes.lastError ?? this.#pullers.lastError ?? this.record.lastError;
  }

  /** Once, and once that they are there. */
  #reportRights(): void {
    const { logger } = this.#options;
    const error = this.#lastError;
    if (isKubeError(error, 403) && !this.#toldOfRights) {
      this.#toldOfRights = true;
      logger.warn({ component: this.name, err: error }, NO_RIGHTS);
    } else if (error === undefined && this.#toldOfRights && this.isSynced) {
      this.#toldOfRights = false;
      logger.info({ component: this.name }, 'images are pulled ahead: the rights are there now');
    }
  }

  #changed(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }
}
