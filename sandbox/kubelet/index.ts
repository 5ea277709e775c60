import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { type Logger, pino } from 'pino';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { isKubeError } from '../../src/storage/kubernetes/kube-error.ts';
import { Reflector } from '../../src/storage/kubernetes/reflector.ts';
import { Nodes, Pods, type Ref } from '../../src/storage/kubernetes/resources.ts';
import { completeFaults, type Fault } from '../faults.ts';
import { claimLoopbackRange, type LoopbackRange, unclaimed } from '../loopback.ts';
import { timestamp } from '../objects.ts';
import { PodAddresses } from './addresses.ts';
import type { Push } from './build-container.ts';
import type { BuildScript } from './build-script.ts';
import type { LogQuery } from './container-log.ts';
import type { Containers } from './containers.ts';
import { DELAYS, type Delays } from './delays.ts';
import { EventRecorder } from './event-recorder.ts';
import { FaultBook } from './fault-plan.ts';
import { type LogPlace, LogRefusal, LogServer } from './log-server.ts';
import { messages } from './messages.ts';
import { NODE_ADDRESS } from './pod-status.ts';
import { PodWorker, type WorkerTools } from './pod-worker.ts';
import { pusher } from './push.ts';
import { SimulatedContainers } from './simulated-containers.ts';

export interface KubeletOptions {
  /** It is not closed with the kubelet. */
  readonly client: KubeClient;
  /** Default: none, and as few writes as can be. */
  readonly delays?: Delays;
  readonly faults?: readonly Fault[];
  /** Whether running pods listen on an address of their own. */
  readonly serve?: boolean;
  /** What runs the containers of pods, each on an address of its own; default: nothing runs, it is simulated. */
  readonly containers?: Containers;
  /** Only pods in namespaces whose name begins so; for several kubelets on one API server. */
  readonly namespacePrefix?: string;
  readonly podLabelSelector?: string;
  /** Name of the node that the pods run on; it is made when it is missing. */
  readonly node?: string;
  readonly logger?: Logger;
  /** What builds do; undefined for one that does what builds usually do: a recorded log, a push, the end. */
  readonly builds?: (pod: V1Pod) => BuildScript | undefined;
  /** Pushes the image of a build; default: to the registry that its name says, if that is on this machine. */
  readonly push?: Push;
}

/** A running simulation of scheduler and kubelet. A pod is named by namespace and name. */
export interface Kubelet {
  /** From now on, for pods not seen before. */
  setFaults(faults: readonly Fault[]): void;
  /** The pod is evicted as by a node short of memory. */
  evict(pod: Ref): Promise<void>;
  /** The pod's container is killed for its memory. */
  oom(pod: Ref): Promise<void>;
  /** The pod's container ends by itself. */
  crash(pod: Ref, exitCode?: number): Promise<void>;
  /** The pod is deleted without grace, as by somebody behind the controller's back. */
  remove(pod: Ref): Promise<void>;
  close(): Promise<void>;
}

interface KnownPod {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly pod: V1Pod;
}

interface Running {
  readonly worker: PodWorker;
  readonly abort: AbortController;
  readonly podIP: string;
  /** Ends when the worker has nothing more to do. */
  task: Promise<void>;
  stopping: boolean;
}

/** The addresses of pods where nothing listens on them. */
const PODS = '127.64';

/**
 * Starts to schedule and run the pods of a cluster. Resolves when it has seen those that are there.
 *
 * @throws Error when `containers` need addresses and the machine has none
 */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const needsRange = options.serve === true || options.containers !== undefined;
  const range = needsRange ? await claimLoopbackRange(PODS) : unclaimed(PODS);
  if (options.containers !== undefined && !range.claimed) {
    throw new Error(
      'Labs cannot run on this machine: it has no free loopback addresses (127.65.0.0 and above) for them',
    );
  }
  const kubelet = new SimulatedKubelet(options, range);
  try {
    await kubelet.start();
    return kubelet;
  } catch (error) {
    await kubelet.close();
    throw error;
  }
}

class SimulatedKubelet implements Kubelet {
  readonly #options: KubeletOptions;
  readonly #tools: WorkerTools;
  readonly #faults: FaultBook;
  readonly #logger: Logger;
  readonly #range: LoopbackRange;
  readonly #addresses: PodAddresses;
  readonly #abort = new AbortController();
  readonly #pods: Reflector<V1Pod, KnownPod>;
  /** By uid. */
  readonly #running = new Map<string, Running>();
  readonly #ending = new Set<Promise<void>>();
  readonly #logs = new LogServer((where, query, signal) => this.#openLog(where, query, signal));
  #watching: Promise<void> = Promise.resolve();

  constructor(options: KubeletOptions, range: LoopbackRange) {
    const { client, delays = DELAYS.instant, node = 'sandbox-node', podLabelSelector } = options;
    this.#options = options;
    this.#range = range;
    this.#addresses = new PodAddresses(range.prefix);
    this.#logger = options.logger ?? pino({ level: 'silent' });
    if (options.serve === true && !range.claimed) {
      this.#logger.warn('simulated labs do not answer HTTP: this machine has no free loopback addresses for them');
    }
    const simulated = () => new SimulatedContainers({ client, serve: range.claimed, stopMs: delays.stop });
    const containers = options.containers ?? simulated();
    const events = new EventRecorder(client, node);
    const { builds = () => undefined, push = pusher(client) } = options;
    this.#tools = { client, delays, node, containers, events, builds, push };
    this.#faults = new FaultBook(completeFaults(options.faults ?? []));
    this.#pods = new Reflector<V1Pod, KnownPod>({
      client,
      resource: Pods,
      select: podLabelSelector === undefined ? {} : { labelSelector: podLabelSelector },
      project: (pod) => this.#keep(pod),
      onChange: (_key, current, before) => this.#onChange(current, before),
      logger: this.#logger,
    });
  }

  async start(): Promise<void> {
    await this.#ensureNode(await this.#logs.listen());
    this.#watching = this.#pods.run(this.#abort.signal);
    await this.#pods.ready;
  }

  setFaults(faults: readonly Fault[]): void {
    this.#faults.replace(completeFaults(faults));
  }

  evict(pod: Ref): Promise<void> {
    return this.#interrupt(pod, (worker) => worker.evict(this.#abort.signal));
  }

  oom(pod: Ref): Promise<void> {
    return this.#interrupt(pod, (worker) => worker.oom(this.#abort.signal));
  }

  crash(pod: Ref, exitCode = 1): Promise<void> {
    return this.#interrupt(pod, (worker) => worker.crash(exitCode, this.#abort.signal));
  }

  remove(pod: Ref): Promise<void> {
    return this.#interrupt(pod, (worker) => worker.remove(this.#abort.signal));
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#watching;
    await this.#logs.close();
    const running = [...this.#running.values()];
    await Promise.allSettled([...this.#ending, ...running.map(({ task }) => task)]);
    await Promise.all(running.map(({ worker }) => worker.close()));
    await this.#range.release();
  }

  #keep(pod: V1Pod): KnownPod | undefined {
    const { namespace = '', uid = '', resourceVersion = '' } = pod.metadata ?? {};
    if (!namespace.startsWith(this.#options.namespacePrefix ?? '')) return undefined;
    return { uid, resourceVersion, pod };
  }

  #onChange(current: KnownPod | undefined, before: KnownPod | undefined): void {
    if (this.#abort.signal.aborted) return;
    if (before !== undefined && before.uid !== current?.uid) this.#forget(before.uid);
    if (current === undefined) return;
    const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = current.pod.metadata ?? {};
    const running = this.#running.get(current.uid) ?? this.#begin(current, deletionTimestamp !== undefined);
    if (deletionTimestamp !== undefined) this.#stop(running, deletionGracePeriodSeconds * 1000);
  }

  #begin({ uid, pod }: KnownPod, idle: boolean): Running {
    const podIP = this.#addresses.take();
    const worker = new PodWorker(this.#tools, pod, this.#faults.planFor(pod), podIP);
    const abort = new AbortController();
    const ended = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
    const signal = AbortSignal.any([abort.signal, this.#abort.signal]);
    const task = idle || ended ? Promise.resolve() : this.#guard(worker.run(signal), signal);
    const running: Running = { worker, abort, podIP, task, stopping: false };
    this.#running.set(uid, running);
    return running;
  }

  #stop(running: Running, graceMs: number): void {
    if (running.stopping) return;
    running.stopping = true;
    running.abort.abort();
    const { signal } = this.#abort;
    running.task = running.task.then(() => this.#guard(running.worker.stop(graceMs, signal), signal));
  }

  #forget(uid: string): void {
    const running = this.#running.get(uid);
    if (running === undefined) return;
    this.#running.delete(uid);
    if (!running.stopping) running.abort.abort();
    const ending = running.task
      .then(() => running.worker.close())
      .finally(() => {
        // Not before: what still runs in the pod listens there.
        this.#addresses.release(running.podIP);
        this.#ending.delete(ending);
      });
    this.#ending.add(ending);
  }

  /** Stops what the pod is doing, then does the given thing to it. @throws Error when there is no such pod */
  async #interrupt({ namespace = '', name }: Ref, act: (worker: PodWorker) => Promise<void>): Promise<void> {
    const known = this.#pods.get(`${namespace}/${name}`);
    const running = known === undefined ? undefined : this.#running.get(known.uid);
    if (running === undefined) throw new Error(`The kubelet knows no pod ${namespace}/${name}`);
    running.abort.abort();
    await running.task;
    await act(running.worker);
  }

  #openLog({ namespace, pod, container, previous }: LogPlace, query: LogQuery, signal: AbortSignal) {
    const running = this.#running.get(this.#pods.get(`${namespace}/${pod}`)?.uid ?? '');
    if (running === undefined) throw new LogRefusal(404, `pod "${pod}" does not exist`);
    if (previous) throw new LogRefusal(400, messages.noPrevious(container, pod));
    return running.worker.openLog(container, query, signal);
  }

  /** A pod that goes away while it is worked on is not an error, nor is the end of the kubelet. */
  async #guard(work: Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (signal.aborted || isKubeError(error, 404) || isKubeError(error, 409)) return;
      this.#logger.error({ err: error }, 'simulated kubelet lost a pod');
    }
  }

  async #ensureNode(port: number): Promise<void> {
    const { client, node } = this.#tools;
    const ready = {
      ...{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' },
      ...{ lastHeartbeatTime: timestamp(), lastTransitionTime: timestamp() },
    };
    const size = { cpu: '1000', memory: '4Ti', pods: '100000' };
    try {
      await client.create(Nodes, { metadata: { name: node } } satisfies V1Node);
    } catch (error) {
      // Not allowed: pods can be bound to a node that is only a name.
      if (isKubeError(error, 403)) return;
      // Of an earlier run: it is ours now.
      if (!isKubeError(error, 409)) throw error;
    }
    const status = {
      ...{ capacity: size, allocatable: size, conditions: [ready] },
      addresses: [{ type: 'InternalIP', address: NODE_ADDRESS }],
      // As containerd reports for the handler without a name.
      runtimeHandlers: [{ name: '', features: { recursiveReadOnlyMounts: true, userNamespaces: true } }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    };
    await client.patch(Nodes, { name: node }, { status }, { subresource: 'status' });
  }
}
