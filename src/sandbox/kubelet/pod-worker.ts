import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../storage/kube-client.ts';
import { Pods, type Ref } from '../../storage/resources.ts';
import { timestamp } from '../objects.ts';
import { type Delays, isInstant } from './delays.ts';
import type { EventRecorder, EventText } from './event-recorder.ts';
import type { FaultPlan } from './fault-plan.ts';
import { PodServer } from './pod-server.ts';
import { type ContainerState, type PodPicture, podStatus, type Terminated, unschedulableStatus } from './pod-status.ts';

/** What the worker of a pod needs; the same for all pods of a kubelet. */
export interface WorkerTools {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly node: string;
  readonly delays: Delays;
  readonly serve: boolean;
}

const NO_NODE =
  '0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: ' +
  '1 Preemption is not helpful for scheduling.';
const PULL_RETRY_MS = 1_000;

/** Thrown inside of a worker to say that the pod has come as far as its faults let it. */
class Stuck extends Error {}

/**
 * Takes one pod through its life, from pending to ready, and through what its faults do to it on the way.
 *
 * | stage | writes |
 * |---|---|
 * | scheduling | binding, event Scheduled |
 * | preparing | status ContainerCreating, init containers one by one |
 * | pulling, creating | events Pulling, Pulled, Created, Started |
 * | running | phase Running, then Ready |
 *
 * Without delays only the binding and the last status are written. `run` ends when the pod is ready, is stuck or has
 * ended; `stop` is called when it is to be deleted.
 */
export class PodWorker {
  readonly #tools: WorkerTools;
  readonly #plan: FaultPlan;
  readonly #ref: Ref;
  readonly #delays: Delays;
  readonly #brief: boolean;
  readonly #podIP: string;
  #pod: V1Pod;
  #init: ContainerState[] = [];
  #startTime = timestamp();
  #startedAt = timestamp();
  #server: PodServer | undefined;
  /** Its node does not answer any more. */
  #lost = false;

  constructor(tools: WorkerTools, pod: V1Pod, plan: FaultPlan, podIP: string) {
    this.#tools = tools;
    this.#pod = pod;
    this.#plan = plan;
    this.#podIP = pod.status?.podIP ?? podIP;
    this.#ref = { namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? '' };
    this.#delays = slowed(tools.delays, plan);
    // A pod with faults is shown in full, so that what is wrong with it looks real.
    this.#brief = isInstant(tools.delays) && plan.isEmpty;
  }

  /** @returns when nothing more happens to the pod by itself. @throws KubeError, or AbortError when `signal` aborts */
  async run(signal: AbortSignal): Promise<void> {
    try {
      if (this.#pod.status?.phase === 'Running') {
        await this.#serve(signal);
      } else {
        await this.#schedule(signal);
        await this.#prepare(signal);
        await this.#start(signal);
      }
      await this.#afterwards(signal);
    } catch (error) {
      if (!(error instanceof Stuck)) throw error;
    }
  }

  /** Closes what the pod listens on. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  /** Ends a pod that is being deleted: as a kubelet does, with a last status and a delete without grace. */
  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    await this.close();
    if (this.#lost || this.#plan.get('stuckTerminating') !== undefined) return;
    if (!this.#brief) {
      await this.#event(
        { reason: 'Killing', message: `Stopping container ${this.#name}`, container: this.#name },
        signal,
      );
      await pause(Math.min(this.#delays.stop, graceMs), signal);
      await this.#end(137, 'Error', {}, signal).catch(() => undefined);
    }
    await this.remove(signal);
  }

  async remove(signal: AbortSignal): Promise<void> {
    const uid = this.#pod.metadata?.uid;
    await this.#tools.client.delete(Pods, this.#ref, {
      signal,
      gracePeriodSeconds: 0,
      ...(uid === undefined ? {} : { uid }),
    });
  }

  /** The node is short of memory: the pod ends as Failed with the reason Evicted. */
  async evict(signal: AbortSignal): Promise<void> {
    await this.close();
    const message = `The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi. Container ${this.#name} was using 1Gi, request is 0, has larger consumption of memory. `;
    await this.#event({ type: 'Warning', reason: 'Evicted', message }, signal);
    const disruption = { reason: 'TerminationByKubelet', message };
    await this.#end(137, 'Error', { reason: 'Evicted', message, disruption }, signal);
  }

  /** The kernel kills the lab for using more memory than its limit. */
  async oom(signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#end(137, 'OOMKilled', {}, signal);
  }

  async crash(exitCode: number, signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#end(exitCode, exitCode === 0 ? 'Completed' : 'Error', {}, signal);
  }

  get #name(): string {
    return this.#pod.spec?.containers[0]?.name ?? '';
  }

  async #schedule(signal: AbortSignal): Promise<void> {
    await pause(this.#delays.schedule, signal);
    const { client, events, node } = this.#tools;
    const unschedulable = this.#plan.get('unschedulable');
    if (unschedulable !== undefined) {
      const message = unschedulable.message ?? NO_NODE;
      await client.patch(Pods, this.#ref, { status: unschedulableStatus(message) }, { subresource: 'status', signal });
      await events.scheduler(this.#pod, 'Scheduling', { type: 'Warning', reason: 'FailedScheduling', message }, signal);
      throw new Stuck();
    }
    if ((this.#pod.spec?.nodeName ?? '') !== '') return;
    const metadata = { name: this.#ref.name, namespace: this.#ref.namespace };
    const target = { kind: 'Node', name: node };
    await client.createSubresource(
      Pods,
      this.#ref,
      'binding',
      { apiVersion: 'v1', kind: 'Binding', metadata, target },
      { signal },
    );
    if (this.#brief) return;
    const message = `Successfully assigned ${metadata.namespace ?? ''}/${metadata.name} to ${node}`;
    await events.scheduler(this.#pod, 'Binding', { reason: 'Scheduled', message }, signal);
  }

  async #prepare(signal: AbortSignal): Promise<void> {
    this.#startTime = timestamp();
    const mount = this.#plan.get('mount');
    const init = this.#pod.spec?.initContainers ?? [];
    const reason = init.length === 0 ? 'ContainerCreating' : 'PodInitializing';
    if (!this.#brief) await this.#show({ main: { waiting: { reason } }, podIP: null }, signal);
    if (mount !== undefined) {
      const message = `MountVolume.SetUp failed for volume "${mount.volume}" : secret "${mount.volume}" not found`;
      await this.#event({ type: 'Warning', reason: 'FailedMount', message }, signal);
      throw new Stuck();
    }
    const fault = this.#plan.get('initContainer');
    for (const container of init) {
      const startedAt = timestamp();
      if (!this.#brief) {
        await this.#containerEvents(container.name, container.image ?? '', true, signal);
        await this.#show({ init: [...this.#init, { running: { startedAt } }], main: { waiting: { reason } } }, signal);
        await pause(this.#delays.init, signal);
      }
      const exitCode = fault?.exitCode ?? 0;
      const done = { terminated: ended(exitCode, exitCode === 0 ? 'Completed' : 'Error', startedAt) };
      this.#init = [...this.#init, done];
      if (exitCode === 0) continue;
      await this.#show({ phase: 'Failed', main: { waiting: { reason } } }, signal);
      throw new Stuck();
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    if (!this.#brief) {
      await this.#pull(signal);
      await this.#create(signal);
    }
    this.#startedAt = timestamp();
    const main = { running: { startedAt: this.#startedAt } };
    if (this.#plan.get('fail') !== undefined) return this.crash(1, signal);
    if (this.#plan.get('succeed') !== undefined) return this.crash(0, signal);
    if (!this.#brief) {
      await this.#show({ phase: 'Running', main }, signal);
      await pause(this.#delays.ready, signal);
    }
    if (this.#plan.get('neverReady') !== undefined) {
      const message = `Startup probe failed: dial tcp ${this.#podIP}:8888: connect: connection refused`;
      await this.#event({ type: 'Warning', reason: 'Unhealthy', message, container: this.#name }, signal);
      throw new Stuck();
    }
    await this.#serve(signal);
    await this.#show({ phase: 'Running', main, ready: true }, signal);
  }

  async #serve(signal: AbortSignal): Promise<void> {
    if (this.#tools.serve) this.#server = await PodServer.start(this.#tools.client, this.#pod, this.#podIP, signal);
  }

  async #pull(signal: AbortSignal): Promise<void> {
    const image = this.#pod.spec?.containers[0]?.image ?? '';
    const invalid = this.#plan.get('invalidImageName');
    if (invalid !== undefined) {
      const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
      await this.#event({ type: 'Warning', reason: 'InspectFailed', message, container: this.#name }, signal);
      await this.#event(
        { type: 'Warning', reason: 'Failed', message: 'Error: InvalidImageName', container: this.#name },
        signal,
      );
      return this.#stickAt('InvalidImageName', message, signal);
    }
    await this.#event({ reason: 'Pulling', message: `Pulling image "${image}"`, container: this.#name }, signal);
    const fault = this.#plan.get('imagePull');
    for (let attempt = 1; fault !== undefined; attempt += 1) {
      const error = pullError(fault.reason, image);
      await this.#failPull(image, error, signal);
      if (fault.reason !== 'transient') throw new Stuck();
      await pause(PULL_RETRY_MS, signal);
      if (attempt >= fault.attempts) break;
    }
    await pause(this.#delays.pull, signal);
  }

  async #failPull(image: string, error: string, signal: AbortSignal): Promise<void> {
    const container = this.#name;
    const warn = (message: string) => this.#event({ type: 'Warning', reason: 'Failed', message, container }, signal);
    await warn(`Failed to pull image "${image}": ${error}`);
    await warn('Error: ErrImagePull');
    await this.#show({ main: { waiting: { reason: 'ErrImagePull', message: error } } }, signal);
    await pause(this.#delays.start, signal);
    await this.#event({ reason: 'BackOff', message: `Back-off pulling image "${image}"`, container }, signal);
    await warn('Error: ImagePullBackOff');
    const message = `Back-off pulling image "${image}": ErrImagePull: ${error}`;
    await this.#show({ main: { waiting: { reason: 'ImagePullBackOff', message } } }, signal);
  }

  async #create(signal: AbortSignal): Promise<void> {
    const image = this.#pod.spec?.containers[0]?.image ?? '';
    const config = this.#plan.get('containerConfig');
    if (config !== undefined) {
      await this.#event({ reason: 'Pulled', message: pulled(image, this.#delays.pull), container: this.#name }, signal);
      const failed = {
        type: 'Warning',
        reason: 'Failed',
        message: `Error: ${config.message}`,
        container: this.#name,
      } as const;
      await this.#event(failed, signal);
      return this.#stickAt('CreateContainerConfigError', config.message, signal);
    }
    await this.#containerEvents(this.#name, image, false, signal);
    const start = this.#plan.get('containerStart');
    if (start !== undefined) {
      const message =
        start.message ??
        'failed to create containerd task: exec: "jupyterhub-singleuser": executable file not found in $PATH';
      await this.#end(128, 'StartError', {}, signal, message);
      throw new Stuck();
    }
    await pause(this.#delays.start, signal);
  }

  /** What happens to a pod after it was ready. */
  async #afterwards(signal: AbortSignal): Promise<void> {
    const timed = ['crash', 'oom', 'evict', 'vanish', 'nodeLost'] as const;
    const fault = timed.map((name) => this.#plan.get(name)).find((found) => found !== undefined);
    if (fault === undefined) return;
    await pause(fault.after * 1000, signal);
    switch (fault.fault) {
      case 'crash':
        return this.crash(fault.exitCode, signal);
      case 'oom':
        return this.oom(signal);
      case 'evict':
        return this.evict(signal);
      case 'vanish':
        return this.remove(signal);
      case 'nodeLost':
        return this.#loseNode(signal);
    }
  }

  /** The node does not answer any more: the pod is not ready, is told to go, and nobody ends it. */
  async #loseNode(signal: AbortSignal): Promise<void> {
    this.#lost = true;
    await this.close();
    const message = 'Taint manager: deleting due to NoExecute taint';
    const main = { running: { startedAt: this.#startedAt } };
    const disruption = { reason: 'DeletionByTaintManager', message };
    await this.#show(
      {
        phase: 'Running',
        main,
        reason: 'NodeLost',
        message: `Node ${this.#tools.node} which was running pod ${this.#ref.name} is unresponsive`,
        disruption,
      },
      signal,
    );
  }

  async #stickAt(reason: string, message: string, signal: AbortSignal): Promise<never> {
    await this.#show({ main: { waiting: { reason, message } } }, signal);
    throw new Stuck();
  }

  async #end(
    exitCode: number,
    reason: string,
    more: Pick<PodPicture, 'reason' | 'message' | 'disruption'>,
    signal: AbortSignal,
    message?: string,
  ): Promise<void> {
    const phase = exitCode === 0 ? 'Succeeded' : 'Failed';
    await this.#show(
      { phase, main: { terminated: ended(exitCode, reason, this.#startedAt, message) }, ...more },
      signal,
    );
  }

  async #show(picture: Partial<PodPicture> & Pick<PodPicture, 'main'>, signal: AbortSignal): Promise<void> {
    const whole = { phase: 'Pending', init: this.#init, ready: false, podIP: this.#podIP, ...picture } as const;
    const status = podStatus(this.#pod, whole, this.#startTime);
    this.#pod = await this.#tools.client.patch(Pods, this.#ref, { status }, { subresource: 'status', signal });
  }

  async #containerEvents(container: string, image: string, init: boolean, signal: AbortSignal): Promise<void> {
    await this.#event({ reason: 'Pulled', message: pulled(image, this.#delays.pull), container, init }, signal);
    await this.#event({ reason: 'Created', message: `Created container: ${container}`, container, init }, signal);
    await this.#event({ reason: 'Started', message: `Started container ${container}`, container, init }, signal);
  }

  async #event(text: EventText, signal: AbortSignal): Promise<void> {
    await this.#tools.events.kubelet(this.#pod, text, signal);
  }
}

function slowed(delays: Delays, plan: FaultPlan): Delays {
  const slow = plan.get('slow');
  if (slow === undefined) return delays;
  const slower = Object.entries(delays).map(([stage, ms]: [string, number]) => [stage, ms * slow.factor] as const);
  return {
    ...(Object.fromEntries(slower) as unknown as Delays),
    ready: delays.ready * slow.factor + slow.seconds * 1000,
  };
}

function ended(exitCode: number, reason: string, startedAt: string, message?: string): Terminated {
  return {
    ...{ exitCode, reason, startedAt, finishedAt: timestamp() },
    ...(message === undefined ? {} : { message }),
    containerID: `sandbox://${randomBytes(32).toString('hex')}`,
  };
}

function pulled(image: string, ms: number): string {
  return `Successfully pulled image "${image}" in ${String(ms)}ms (${String(ms)}ms including waiting). Image size: 116700694 bytes.`;
}

function pullError(reason: 'notFound' | 'unauthorized' | 'transient', image: string): string {
  const head = `failed to pull and unpack image "${image}": failed to resolve image`;
  switch (reason) {
    case 'notFound':
      return `rpc error: code = NotFound desc = ${head}: ${image}: not found`;
    case 'unauthorized':
      return `${head}: unexpected status from HEAD request: 401 Unauthorized`;
    case 'transient':
      return `${head}: failed to do request: dial tcp: i/o timeout`;
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal });
}
