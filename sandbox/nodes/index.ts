import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { type Logger, pino } from 'pino';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../src/storage/kubernetes/kube-error.ts';
import { Reflector } from '../../src/storage/kubernetes/reflector.ts';
import { Nodes, Pods } from '../../src/storage/kubernetes/resources.ts';
import { pause } from '../kubelet/pause.ts';
import { timestamp } from '../objects.ts';
import { NodePod, type Pull } from './node-pod.ts';

export { PullProblem, type Pull } from './node-pod.ts';

export interface NodeOptions {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
  readonly architecture?: string;
  readonly ephemeralStorage?: string;
  /** Most images in its status: `nodeStatusMaxImages` of the kubelet. */
  readonly maxImages?: number;
}

export interface ImageNodesOptions {
  /** It is not closed with the nodes. */
  readonly client: KubeClient;
  /** Pods of this namespace only. */
  readonly namespace: string;
  readonly nodes: readonly NodeOptions[];
  /** Fetches an image that the node lacks; it throws PullProblem where that fails. Default: it is there at once. */
  readonly pull?: Pull;
  /** How long a node takes to list an image that it has pulled, in milliseconds: 30 s with a real kubelet. */
  readonly statusMs?: number;
  /** Bytes of an image, by which its node orders them. */
  readonly sizeOf?: (image: string) => number;
  readonly logger?: Logger;
}

interface NodeState extends NodeOptions {
  /** References as pulled, to the digests that they name. */
  readonly images: Map<string, number>;
  readonly conditions: Map<string, object>;
  /** Pulls so far. */
  changes: number;
  isReporting: boolean;
  isSilent: boolean;
}

interface KnownPod {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly pod: V1Pod;
}

const MAX_IMAGES = 50;

/**
 * Nodes that pull images: for pods that are bound to one of them by affinity on `metadata.name`, as scheduler and kubelet of a real
 * 1.34 cluster with containerd were seen to do it. The containers of a pod are pulled one after another and told of together; a
 * node lists its largest images, by the digest that they were pulled by (that of an index, too), some time later.
 */
export class ImageNodes {
  readonly #options: ImageNodesOptions;
  readonly #nodes = new Map<string, NodeState>();
  readonly #abort = new AbortController();
  readonly #pods: Reflector<V1Pod, KnownPod>;
  readonly #running = new Map<string, { readonly abort: AbortController; readonly task: Promise<void> }>();
  readonly #tasks = new Set<Promise<void>>();
  readonly #logger: Logger;
  #watching: Promise<void> = Promise.resolve();
  #pulling = 0;
  /** Pulls so far, and the most at the same moment. */
  pulls = 0;
  mostAtOnce = 0;

  /** Resolves when the nodes are there. */
  static async start(options: ImageNodesOptions): Promise<ImageNodes> {
    const nodes = new ImageNodes(options);
    for (const each of options.nodes) await nodes.add(each);
    nodes.#watching = nodes.#pods.run(nodes.#abort.signal);
    await nodes.#pods.ready;
    return nodes;
  }

  private constructor(options: ImageNodesOptions) {
    this.#options = options;
    this.#logger = options.logger ?? pino({ level: 'silent' });
    this.#pods = new Reflector<V1Pod, KnownPod>({
      ...{ client: options.client, logger: this.#logger, resource: Pods, select: { namespace: options.namespace } },
      project: (pod) => ({
        uid: pod.metadata?.uid ?? '',
        resourceVersion: pod.metadata?.resourceVersion ?? '',
        pod,
      }),
      onChange: (_key, now, before) => this.#onChange(now, before),
    });
  }

  /** One more node. */
  async add(options: NodeOptions): Promise<void> {
    const { client } = this.#options;
    const { name, labels = {}, taints = [], architecture = 'amd64', ephemeralStorage = '1Ti' } = options;
    this.#nodes.set(name, {
      ...options,
      images: new Map(),
      conditions: new Map(),
      changes: 0,
      isReporting: false,
      isSilent: false,
    });
    await client.create(Nodes, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    } satisfies V1Node);
    // The API server gives a new node the taint not-ready, which the node controller takes away.
    await client.patch(Nodes, { name }, { spec: { taints } });
    const size = { cpu: '1000', memory: '4Ti', pods: '1000', 'ephemeral-storage': ephemeralStorage };
    const status = { capacity: size, allocatable: size, nodeInfo: { architecture, operatingSystem: 'linux' } };
    await client.patch(Nodes, { name }, { status }, { subresource: 'status' });
    await this.setCondition(name, 'Ready', true);
  }

  async setCondition(name: string, type: string, holds: boolean): Promise<void> {
    const { client } = this.#options;
    const times = { lastHeartbeatTime: timestamp(), lastTransitionTime: timestamp() };
    const conditions = this.#nodes.get(name)?.conditions ?? new Map<string, object>();
    conditions.set(type, { type, status: holds ? 'True' : 'False', reason: type, message: '', ...times });
    await client.patch(
      Nodes,
      { name },
      { status: { conditions: [...conditions.values()] } },
      { subresource: 'status' },
    );
  }

  /** The node does nothing any more, for pods that come from now on. */
  silence(name: string): void {
    const node = this.#nodes.get(name);
    if (node !== undefined) node.isSilent = true;
  }

  async remove(name: string): Promise<void> {
    this.#nodes.delete(name);
    await this.#options.client.delete(Nodes, { name });
  }

  /** References of the images that the node has, whether it lists them or not. */
  images(name: string): string[] {
    return [...(this.#nodes.get(name)?.images.keys() ?? [])].sort();
  }

  /** Puts images on the node, and its status says so. */
  async give(name: string, images: readonly string[]): Promise<void> {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`There is no node ${name}`);
    for (const image of images) node.images.set(image, this.#sizeOf(image));
    await this.#report(node);
  }

  /** The kubelet's garbage collection. */
  async take(name: string, image: string): Promise<void> {
    const node = this.#nodes.get(name);
    node?.images.delete(image);
    if (node !== undefined) await this.#report(node);
  }

  /** Ends what runs. Nodes and pods stay in the cluster. */
  async close(): Promise<void> {
    this.#abort.abort();
    await this.#watching;
    await Promise.all([...this.#tasks]);
  }

  #onChange(now: KnownPod | undefined, before: KnownPod | undefined): void {
    if (before !== undefined && before.uid !== now?.uid) {
      this.#running.get(before.uid)?.abort.abort();
      this.#running.delete(before.uid);
    }
    if (now === undefined || this.#running.has(now.uid) || this.#abort.signal.aborted) return;
    const abort = new AbortController();
    const task = this.#run(now.pod, AbortSignal.any([abort.signal, this.#abort.signal]));
    this.#running.set(now.uid, { abort, task });
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  async #run(pod: V1Pod, signal: AbortSignal): Promise<void> {
    const { client, pull = () => Promise.resolve() } = this.#options;
    const node = this.#nodes.get(pinnedTo(pod) ?? '');
    if (node === undefined || node.isSilent) return;
    const handle = new NodePod({ client, pod, node: node.name, taints: node.taints ?? [] });
    try {
      await handle.run({
        has: (image) => node.images.has(image),
        pull: (image, where, ends) => this.#pull(pull, image, where, ends),
        onPulled: (image) => {
          node.images.set(image, this.#sizeOf(image));
          node.changes += 1;
          this.#reportSoon(node);
        },
        signal,
      });
    } catch (error) {
      if (signal.aborted || isKubeError(error, 404) || isKubeError(error, 409)) return;
      this.#logger.error({ err: error }, 'a simulated node lost a pod');
    }
  }

  async #pull(pull: Pull, image: string, node: string, signal: AbortSignal): Promise<void> {
    this.#pulling += 1;
    this.pulls += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#pulling);
    try {
      await pull(image, node, signal);
    } finally {
      this.#pulling -= 1;
    }
  }

  #reportSoon(node: NodeState): void {
    if (node.isReporting) return;
    node.isReporting = true;
    const { signal } = this.#abort;
    const task = (async () => {
      try {
        await pause(this.#options.statusMs ?? 0, signal);
        // One after another, as a kubelet does.
        for (let told = -1; told !== node.changes;) {
          told = node.changes;
          await this.#report(node);
        }
        node.isReporting = false;
      } catch (error) {
        if (!signal.aborted && !isKubeError(error, 404)) throw error;
      }
    })();
    this.#tasks.add(task);
    void task.finally(() => this.#tasks.delete(task));
  }

  async #report({ name, images, maxImages = MAX_IMAGES }: NodeState): Promise<void> {
    const largest = [...images].sort(([, one], [, other]) => other - one).slice(0, maxImages);
    const list = largest.map(([image, sizeBytes]) => ({ names: [namedByDigest(image)], sizeBytes }));
    await this.#options.client.patch(Nodes, { name }, { status: { images: list } }, { subresource: 'status' });
  }

  #sizeOf(image: string): number {
    return this.#options.sizeOf?.(image) ?? 1_000_000;
  }
}

/** `registry/repository:tag@sha256:…` is listed as `registry/repository@sha256:…`. */
function namedByDigest(image: string): string {
  const [named = '', digest] = image.split('@');
  return digest === undefined ? named : `${named.replace(/:[^:/]*$/, '')}@${digest}`;
}

function pinnedTo({ spec }: V1Pod): string | undefined {
  const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const fields = terms.flatMap(({ matchFields = [] }) => matchFields);
  return fields.find(({ key }) => key === 'metadata.name')?.values?.[0];
}
