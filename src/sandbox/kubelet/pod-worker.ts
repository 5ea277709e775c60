import { setTimeout as sleep } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../storage/kube-client.ts';
import { timestamp } from '../objects.ts';
import { type Delays, isInstant } from './delays.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { FaultPlan } from './fault-plan.ts';
import { messages } from './messages.ts';
import { PodHandle, terminatedState } from './pod-handle.ts';
import { PodServer } from './pod-server.ts';
import type { ContainerState } from './pod-status.ts';

/** What the worker of a pod needs; the same for all pods of a kubelet. */
export interface WorkerTools {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly node: string;
  readonly delays: Delays;
  readonly serve: boolean;
}

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
  readonly #handle: PodHandle;
  readonly #delays: Delays;
  readonly #brief: boolean;
  #server: PodServer | undefined;
  /** Its node does not answer any more. */
  #lost = false;

  constructor(tools: WorkerTools, pod: V1Pod, plan: FaultPlan, podIP: string) {
    this.#tools = tools;
    this.#plan = plan;
    this.#handle = new PodHandle(tools.client, tools.events, pod, podIP);
    this.#delays = slowed(tools.delays, plan);
    // A pod with faults is shown in full, so that what is wrong with it looks real.
    this.#brief = isInstant(tools.delays) && plan.isEmpty;
  }

  /** @returns when nothing more happens to the pod by itself. @throws KubeError, or AbortError when `signal` aborts */
  async run(signal: AbortSignal): Promise<void> {
    try {
      if (this.#handle.pod.status?.phase === 'Running') {
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
      const { container } = this.#handle;
      await this.#handle.event({ reason: 'Killing', message: `Stopping container ${container}`, container }, signal);
      await pause(Math.min(this.#delays.stop, graceMs), signal);
      await this.#handle.end(137, { containerReason: 'Error' }, signal);
    }
    await this.#handle.remove(signal);
  }

  /** The pod is gone without a word. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#handle.remove(signal);
  }

  /** The node is short of memory: the pod ends as Failed with the reason Evicted. */
  async evict(signal: AbortSignal): Promise<void> {
    await this.close();
    const message = messages.evicted(this.#handle.container);
    await this.#handle.event({ type: 'Warning', reason: 'Evicted', message }, signal);
    const disruption = { reason: 'TerminationByKubelet', message };
    await this.#handle.end(137, { containerReason: 'Error', reason: 'Evicted', message, disruption }, signal);
  }

  /** The kernel kills the lab for using more memory than its limit. */
  async oom(signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#handle.end(137, { containerReason: 'OOMKilled' }, signal);
  }

  /** The lab's process ends by itself. */
  async crash(exitCode: number, signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#handle.end(exitCode, { containerReason: exitCode === 0 ? 'Completed' : 'Error' }, signal);
  }

  async #schedule(signal: AbortSignal): Promise<void> {
    await pause(this.#delays.schedule, signal);
    const unschedulable = this.#plan.get('unschedulable');
    if (unschedulable === undefined) return this.#handle.bind(this.#tools.node, !this.#brief, signal);
    await this.#handle.refuseNode(unschedulable.message ?? messages.noNode, signal);
    throw new Stuck();
  }

  async #prepare(signal: AbortSignal): Promise<void> {
    const containers = this.#handle.pod.spec?.initContainers ?? [];
    const main = { waiting: { reason: containers.length === 0 ? 'ContainerCreating' : 'PodInitializing' } };
    if (!this.#brief) await this.#handle.show({ main, podIP: null }, signal);
    const mount = this.#plan.get('mount');
    if (mount !== undefined) {
      const text = { type: 'Warning', reason: 'FailedMount', message: messages.failedMount(mount.volume) } as const;
      await this.#handle.event(text, signal);
      throw new Stuck();
    }
    const exitCode = this.#plan.get('initContainer')?.exitCode ?? 0;
    const done: ContainerState[] = [];
    for (const { name, image = '' } of containers) {
      const startedAt = timestamp();
      if (!this.#brief) {
        await this.#started(name, image, true, signal);
        await this.#handle.show({ init: [...done, { running: { startedAt } }], main }, signal);
        await pause(this.#delays.init, signal);
      }
      done.push({ terminated: terminatedState(exitCode, exitCode === 0 ? 'Completed' : 'Error', startedAt) });
      this.#handle.setInit(done);
      if (exitCode === 0) continue;
      await this.#handle.show({ phase: 'Failed', main }, signal);
      throw new Stuck();
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    if (!this.#brief) {
      await this.#pull(signal);
      await this.#create(signal);
    }
    const main = this.#handle.running(true);
    if (this.#plan.get('fail') !== undefined) return this.crash(1, signal);
    if (this.#plan.get('succeed') !== undefined) return this.crash(0, signal);
    if (!this.#brief) {
      await this.#handle.show({ phase: 'Running', main }, signal);
      await pause(this.#delays.ready, signal);
    }
    if (this.#plan.get('neverReady') !== undefined) {
      await this.#handle.warn('Unhealthy', messages.notListening(this.#handle.podIP), signal);
      throw new Stuck();
    }
    await this.#serve(signal);
    await this.#handle.show({ phase: 'Running', main, ready: true }, signal);
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { client, serve } = this.#tools;
    if (serve) this.#server = await PodServer.start(client, this.#handle.pod, this.#handle.podIP, signal);
  }

  async #pull(signal: AbortSignal): Promise<void> {
    const { image, container } = this.#handle;
    if (this.#plan.get('invalidImageName') !== undefined) {
      const message = messages.invalidImageName(image);
      await this.#handle.warn('InspectFailed', message, signal);
      await this.#handle.warn('Failed', 'Error: InvalidImageName', signal);
      return this.#stickAt('InvalidImageName', message, signal);
    }
    await this.#handle.event({ reason: 'Pulling', message: `Pulling image "${image}"`, container }, signal);
    const fault = this.#plan.get('imagePull');
    for (let attempt = 1; fault !== undefined && attempt <= fault.attempts; attempt += 1) {
      await this.#failPull(messages.pullError(fault.reason, image), signal);
      if (fault.reason !== 'transient') throw new Stuck();
      await pause(PULL_RETRY_MS, signal);
    }
    await pause(this.#delays.pull, signal);
  }

  async #failPull(error: string, signal: AbortSignal): Promise<void> {
    const { image, container } = this.#handle;
    await this.#handle.warn('Failed', `Failed to pull image "${image}": ${error}`, signal);
    await this.#handle.warn('Failed', 'Error: ErrImagePull', signal);
    await this.#handle.show({ main: { waiting: { reason: 'ErrImagePull', message: error } } }, signal);
    await pause(this.#delays.start, signal);
    await this.#handle.event({ reason: 'BackOff', message: `Back-off pulling image "${image}"`, container }, signal);
    await this.#handle.warn('Failed', 'Error: ImagePullBackOff', signal);
    const message = `Back-off pulling image "${image}": ErrImagePull: ${error}`;
    await this.#handle.show({ main: { waiting: { reason: 'ImagePullBackOff', message } } }, signal);
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { image, container } = this.#handle;
    const config = this.#plan.get('containerConfig');
    if (config !== undefined) {
      const message = messages.pulled(image, this.#delays.pull);
      await this.#handle.event({ reason: 'Pulled', message, container }, signal);
      await this.#handle.warn('Failed', `Error: ${config.message}`, signal);
      return this.#stickAt('CreateContainerConfigError', config.message, signal);
    }
    const start = this.#plan.get('containerStart');
    if (start !== undefined) {
      const containerMessage = start.message ?? messages.noExecutable;
      await this.#handle.warn('Failed', `Error: ${containerMessage}`, signal);
      await this.#handle.end(128, { containerReason: 'StartError', containerMessage }, signal);
      throw new Stuck();
    }
    await this.#started(container, image, false, signal);
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

  /** The node does not answer any more: the pod is not ready, and whoever deletes it waits in vain. */
  async #loseNode(signal: AbortSignal): Promise<void> {
    this.#lost = true;
    await this.close();
    const message = messages.nodeLost(this.#tools.node, this.#handle.name);
    const disruption = { reason: 'DeletionByTaintManager', message: messages.nodeTaint };
    const main = this.#handle.running();
    await this.#handle.show({ phase: 'Running', main, reason: 'NodeLost', message, disruption }, signal);
  }

  async #stickAt(reason: string, message: string, signal: AbortSignal): Promise<never> {
    await this.#handle.show({ main: { waiting: { reason, message } } }, signal);
    throw new Stuck();
  }

  async #started(container: string, image: string, init: boolean, signal: AbortSignal): Promise<void> {
    const about = { container, init };
    const message = messages.pulled(image, this.#delays.pull);
    await this.#handle.event({ ...about, reason: 'Pulled', message }, signal);
    await this.#handle.event({ ...about, reason: 'Created', message: `Created container: ${container}` }, signal);
    await this.#handle.event({ ...about, reason: 'Started', message: `Started container ${container}` }, signal);
  }
}

/** A slow pod takes so many times as long at every stage, and so many seconds more to be ready. */
function slowed(delays: Delays, plan: FaultPlan): Delays {
  const slow = plan.get('slow');
  if (slow === undefined) return delays;
  const { schedule, init, pull, start, ready, stop } = delays;
  const { factor, seconds } = slow;
  return {
    schedule: schedule * factor,
    init: init * factor,
    pull: pull * factor,
    start: start * factor,
    ready: ready * factor + seconds * 1000,
    stop,
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal });
}
