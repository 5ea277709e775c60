import type { V1Pod } from '@kubernetes/client-node';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import { timestamp } from '../objects.ts';
import { BringUp } from './bring-up.ts';
import { BuildContainer, type Push } from './build-container.ts';
import { isBuild } from './build-pod.ts';
import { type BuildScript, usualScript } from './build-script.ts';
import { ContainerLog, type LogQuery } from './container-log.ts';
import type { Containers, Exit, PodContainer } from './containers.ts';
import { type Delays, isInstant } from './delays.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { FaultPlan } from './fault-plan.ts';
import { LogRefusal } from './log-server.ts';
import { messages } from './messages.ts';
import { pause } from './pause.ts';
import { PodHandle, terminatedState } from './pod-handle.ts';
import type { ContainerState } from './pod-status.ts';
import { Stuck } from './stuck.ts';
import { within } from './within.ts';

const MAX_TIMER_MS = 2 ** 31 - 1;

/** What the worker of a pod needs; the same for all pods of a kubelet. */
export interface WorkerTools {
  readonly client: KubeClient;
  readonly events: EventRecorder;
  readonly node: string;
  readonly delays: Delays;
  readonly containers: Containers;
  /** What a build does; undefined: a recorded one is played. */
  readonly builds: (pod: V1Pod) => BuildScript | undefined;
  readonly push: Push;
}

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
 * A build is a pod like any other, ready as soon as it runs, and a script is played in it.
 *
 * Without delays only the binding and the last status of a simulated pod are written. `run` ends when the pod is stuck or
 * has ended; `stop` is called when it is to be deleted.
 */
export class PodWorker {
  readonly #tools: WorkerTools;
  readonly #plan: FaultPlan;
  readonly #handle: PodHandle;
  readonly #delays: Delays;
  readonly #brief: boolean;
  readonly #container: PodContainer;
  readonly #bringUp: BringUp;
  readonly #script: BuildScript | undefined;
  readonly #log = new ContainerLog();
  /** Its node does not answer any more. */
  #lost = false;

  constructor(tools: WorkerTools, pod: V1Pod, plan: FaultPlan, podIP: string) {
    this.#tools = tools;
    this.#plan = plan;
    this.#handle = new PodHandle(tools.client, tools.events, pod, podIP);
    this.#delays = slowed(tools.delays, plan);
    this.#script = isBuild(pod) ? (tools.builds(pod) ?? usualScript(pod, plan, this.#delays.build)) : undefined;
    this.#container =
      this.#script === undefined ? tools.containers.at(this.#handle.podIP) : this.#buildContainer(this.#script);
    const real = tools.containers.real && this.#script === undefined;
    const [handle, container, delays] = [this.#handle, this.#container, this.#delays];
    this.#bringUp = new BringUp({ handle, container, delays, plan, present: real });
    // A pod with faults is shown in full, so that what is wrong with it looks real.
    this.#brief = isInstant(tools.delays) && plan.isEmpty && !real;
  }

  /** @returns when nothing more happens to the pod by itself. @throws KubeError, or AbortError when `signal` aborts */
  async run(signal: AbortSignal): Promise<void> {
    try {
      if (this.#handle.pod.status?.phase === 'Running') {
        await this.#resume(signal);
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

  #buildContainer(script: BuildScript): BuildContainer {
    const denied = () => Promise.reject(new Error(messages.pushDenied));
    const push = this.#plan.get('pushFails') === undefined ? this.#tools.push : denied;
    return new BuildContainer({ script, push, log: this.#log, stopMs: this.#delays.stop });
  }

  /** The log of a container of the pod. @throws LogRefusal */
  openLog(container: string, query: LogQuery, signal: AbortSignal): AsyncIterable<Buffer> {
    const { name, pod, hasStarted } = this.#handle;
    if (hasStarted) return this.#log.read(query, signal);
    const state = pod.status?.containerStatuses?.find((each) => each.name === container)?.state;
    throw new LogRefusal(400, messages.notStartedYet(container, name, state?.waiting?.reason));
  }

  /** Ends what runs in the pod, without a word about it. */
  async close(): Promise<void> {
    await this.#container.kill();
    this.#log.end();
  }

  /** Ends a pod that is being deleted: as a kubelet does, with a last status and a delete without grace. */
  async stop(graceMs: number, signal: AbortSignal): Promise<void> {
    if (this.#lost || this.#plan.get('stuckTerminating') !== undefined) return this.close();
    // What has ended already keeps the end it had.
    if (this.#handle.hasEnded) return this.remove(signal);
    if (!this.#brief) {
      const { container } = this.#handle;
      await this.#handle.event({ reason: 'Killing', message: `Stopping container ${container}`, container }, signal);
    }
    const exit = await this.#container.stop(graceMs, signal);
    if (!this.#brief || this.#isHeld) await this.#ended(exit, signal);
    await this.#handle.remove(signal);
  }

  /** The pod is gone without a word. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.close();
    await this.#handle.remove(signal);
    if (this.#isHeld && !this.#handle.hasEnded) await this.#ended({ exitCode: 137 }, signal);
  }

  /** Something keeps the pod after its end, and waits for it to show that: the controller of a Job, say. */
  get #isHeld(): boolean {
    return (this.#handle.pod.metadata?.finalizers ?? []).length > 0;
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
    await this.#ended({ exitCode }, signal);
  }

  async #ended({ exitCode, message }: Exit, signal: AbortSignal): Promise<void> {
    this.#log.end();
    const containerReason = exitCode === 0 ? 'Completed' : 'Error';
    const ending = { containerReason, ...(message === undefined ? {} : { containerMessage: message }) };
    await this.#handle.end(exitCode, ending, signal);
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
        await this.#bringUp.pulled({ container: name, image, init: true }, signal);
        await this.#bringUp.started({ container: name, init: true }, signal);
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
    if (this.#brief) await this.#container.start(this.#handle.pod, signal);
    else await this.#bringUp.run(signal);
    const main = this.#handle.running(true);
    if (this.#script?.exitBeforeRunning === true) return this.#finish(await this.#container.end(signal), signal);
    if (this.#plan.get('fail') !== undefined) return this.#finish({ exitCode: 1 }, signal);
    if (this.#plan.get('succeed') !== undefined) return this.#finish({ exitCode: 0 }, signal);
    if (!this.#brief) {
      if (this.#script === undefined) await this.#handle.show({ phase: 'Running', main }, signal);
      await pause(this.#script === undefined ? this.#delays.ready : 0, signal);
    }
    if (this.#plan.get('neverReady') !== undefined) {
      await this.#handle.warn('Unhealthy', messages.notListening(this.#handle.podIP), signal);
      return this.#finish(await this.#container.end(signal), signal);
    }
    const tell = (message: string) => this.#handle.warn('Unhealthy', message, signal);
    if (!(await this.#container.ready(tell, signal))) return this.#finish(await this.#container.end(signal), signal);
    await this.#handle.show({ phase: 'Running', main, ready: true }, signal);
  }

  async #resume(signal: AbortSignal): Promise<void> {
    if ((await this.#container.resume(this.#handle.pod, signal)) === 'running') return;
    const ending = { containerReason: 'ContainerStatusUnknown', containerMessage: messages.containerLost };
    await this.#handle.end(137, ending, signal);
    throw new Stuck();
  }

  /** The container has ended, or ends now, before the pod was ready. */
  async #finish(exit: Exit, signal: AbortSignal): Promise<never> {
    await this.close();
    await this.#ended(exit, signal);
    throw new Stuck();
  }

  /** What happens to a pod after it was ready: its first fault in time, or what the container itself does before that. */
  async #afterwards(signal: AbortSignal): Promise<void> {
    const timed = ['crash', 'oom', 'evict', 'vanish', 'nodeLost'] as const;
    const fault = timed.map((name) => this.#plan.get(name)).find((found) => found !== undefined);
    const { activeDeadlineSeconds: deadline } = this.#handle.pod.spec ?? {};
    if (fault === undefined && deadline !== undefined) return this.#endInTime(deadline * 1000, signal);
    if (fault === undefined) return this.#ended(await this.#container.end(signal), signal);
    const exit = await within(fault.after * 1000, (either) => this.#container.end(either), signal);
    if (exit !== undefined) return this.#ended(exit, signal);
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

  /** The pod may not run for longer than this, whatever it does. */
  async #endInTime(ms: number, signal: AbortSignal): Promise<void> {
    const exit = await within(Math.min(ms, MAX_TIMER_MS), (either) => this.#container.end(either), signal);
    if (exit !== undefined) return this.#ended(exit, signal);
    await this.close();
    const ending = { containerReason: 'Error', reason: 'DeadlineExceeded', message: messages.podDeadline };
    await this.#handle.end(137, ending, signal);
  }

  /**
   * The node does not answer any more. The node controller says that the pod is not ready, and once the pod's tolerations are over,
   * which is at once here, that it is disrupted; then it deletes it, and nobody confirms the end.
   */
  async #loseNode(signal: AbortSignal): Promise<void> {
    this.#lost = true;
    await this.close();
    const silent = { phase: 'Running', main: this.#handle.running(), ready: true, nodeAnswers: false } as const;
    await this.#handle.show(silent, signal);
    const disruption = { reason: 'DeletionByTaintManager', message: messages.nodeTaint };
    await this.#handle.show({ ...silent, disruption }, signal);
    await this.#handle.delete(signal);
  }
}

/** A slow pod takes so many times as long at every stage, and so many seconds more to be ready. */
function slowed(delays: Delays, plan: FaultPlan): Delays {
  const slow = plan.get('slow');
  if (slow === undefined) return delays;
  const { schedule, init, pull, start, ready, build, stop } = delays;
  const { factor, seconds } = slow;
  return {
    schedule: schedule * factor,
    init: init * factor,
    pull: pull * factor,
    start: start * factor,
    ready: ready * factor + seconds * 1000,
    build: build * factor + seconds * 1000,
    stop,
  };
}
