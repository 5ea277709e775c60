import type { V1Container, V1Pod } from '@kubernetes/client-node';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import type { Containers, Exit, Found, PodContainer } from '../kubelet/containers.ts';
import { ContainerProblem } from '../kubelet/containers.ts';
import { messages } from '../kubelet/messages.ts';
import { ContainerEnvironment, expandReferences } from './container-environment.ts';
import { findCommand, notStarted } from './find-command.ts';
import type { LabLog } from './lab-log.ts';
import { LabProcess } from './lab-process.ts';
import type { LocalLabs } from './local-labs.ts';
import { listens, type Probe, probeOf } from './probe.ts';
import { processEnvironment } from './process-environment.ts';

const PROBE_INTERVAL_MS = 100;
const PROBE_TIMEOUT_MS = 1_000;
/** How long a lab that was left behind is waited for: a guard kills what it finds within a second or two. */
const LEFTOVER_MS = 5_000;
/** The end of an address of each range that no pod is given. */
const NOBODYS = '255.253';

/** Containers that are processes of this machine, with nothing around them. */
export class ProcessContainers implements Containers {
  readonly real = true;
  readonly #client: KubeClient;
  readonly #labs: LocalLabs;

  constructor(client: KubeClient, labs: LocalLabs) {
    this.#client = client;
    this.#labs = labs;
  }

  at(podIP: string): PodContainer {
    return new ProcessContainer(this.#client, this.#labs, podIP);
  }
}

class ProcessContainer implements PodContainer {
  readonly #client: KubeClient;
  readonly #labs: LocalLabs;
  readonly #podIP: string;
  #process: LabProcess | undefined;
  #probe: Probe | undefined;

  constructor(client: KubeClient, labs: LocalLabs, podIP: string) {
    this.#client = client;
    this.#labs = labs;
    this.#podIP = podIP;
  }

  async start(pod: V1Pod, signal: AbortSignal): Promise<void> {
    const container = pod.spec?.containers[0];
    if (container === undefined) throw notStarted('no command specified');
    const declared = await new ContainerEnvironment(this.#client, pod, this.#podIP, signal).of(container);
    this.#probe = probeOf(pod);
    await this.#requireFreePort(signal);
    const { home, log } = await this.#files(pod);
    try {
      const env = processEnvironment({
        ours: process.env,
        container: declared,
        fixed: { HOME: home },
        firstPath: this.#labs.commands,
        podIP: this.#podIP,
      });
      const [command, ...args] = commandOf(container, declared);
      if (command === undefined) throw notStarted('no command specified');
      const file = await findCommand(command, env['PATH'] ?? '', home);
      signal.throwIfAborted();
      this.#process = await LabProcess.start({ file, args, env, cwd: home, mark: this.#labs.markOf(pod) }, log);
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  /** A process of an earlier kubelet is nobody's child, and its output is lost. */
  resume(): Promise<Found> {
    return Promise.resolve('lost');
  }

  async ready(onFailedProbe: (message: string) => Promise<void>, signal: AbortSignal): Promise<boolean> {
    const lab = this.#started();
    if (this.#probe === undefined) return !lab.over;
    const { port, patienceMs } = this.#probe;
    const deadline = performance.now() + patienceMs;
    for (let attempt = 1; !lab.over; attempt += 1) {
      if (await listens(this.#podIP, port, PROBE_TIMEOUT_MS)) return !lab.over;
      if (attempt === 1) await onFailedProbe(messages.notListening(this.#podIP, port));
      if (performance.now() > deadline) await lab.kill();
      await sleep(PROBE_INTERVAL_MS, undefined, { signal });
    }
    return false;
  }

  end(signal: AbortSignal): Promise<Exit> {
    return this.#started().end(signal);
  }

  async stop(graceMs: number, signal: AbortSignal): Promise<Exit> {
    return this.#process === undefined ? { exitCode: 137 } : this.#process.stop(graceMs, signal);
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  #started(): LabProcess {
    if (this.#process === undefined) throw new Error('The container was not started');
    return this.#process;
  }

  /**
   * Whoever listens on every address of the machine would be taken for the lab, and the lab could not listen. Whoever listens on this
   * address alone is a lab of a sandbox that was killed and had the address before: the guard of that sandbox is about to end it.
   */
  async #requireFreePort(signal: AbortSignal): Promise<void> {
    if (this.#probe === undefined) return;
    const { port } = this.#probe;
    const patience = performance.now() + LEFTOVER_MS;
    while (await listens(this.#podIP, port, PROBE_TIMEOUT_MS)) {
      if (await listens(this.#podIP.replace(/\d+\.\d+$/, NOBODYS), port, PROBE_TIMEOUT_MS)) {
        throw notStarted(`another program of this machine listens on port ${String(port)} of every address`);
      }
      if (performance.now() > patience) {
        throw notStarted(`another program of this machine listens on ${this.#podIP}:${String(port)}`);
      }
      await sleep(PROBE_INTERVAL_MS, undefined, { signal });
    }
  }

  async #files(pod: V1Pod): Promise<{ home: string; log: LabLog }> {
    try {
      return { home: await this.#labs.homeOf(pod), log: await this.#labs.logOf(pod) };
    } catch (cause) {
      const { code = 'unknown' } = cause as NodeJS.ErrnoException;
      throw new ContainerProblem('start', `the home folder or the log of the lab cannot be made: ${code}`, { cause });
    }
  }
}

function commandOf({ command = [], args = [] }: V1Container, env: Readonly<Record<string, string>>): string[] {
  return [...command, ...args].map((word) => expandReferences(word, env));
}
