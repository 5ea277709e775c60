import type { V1Pod } from '@kubernetes/client-node';
import { raceAbort } from '../../src/util/abort.ts';
import type { KubeClient } from '../../src/storage/kubernetes/kube-client.ts';
import type { Containers, Exit, Found, PodContainer } from './containers.ts';
import { pause } from './pause.ts';
import { PodServer } from './pod-server.ts';

export interface SimulationOptions {
  readonly client: KubeClient;
  /** Whether containers listen on the address of their pod. */
  readonly serve: boolean;
  /** How long one takes to end, in milliseconds, if its grace is not shorter. */
  readonly stopMs: number;
}

/** Containers in which nothing runs: a small HTTP server answers in the lab's place. */
export class SimulatedContainers implements Containers {
  readonly real = false;
  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
  }

  at(podIP: string): PodContainer {
    return new SimulatedContainer(this.#options, podIP);
  }
}

class SimulatedContainer implements PodContainer {
  readonly #options: SimulationOptions;
  readonly #podIP: string;
  #pod: V1Pod = {};
  #server: PodServer | undefined;

  constructor(options: SimulationOptions, podIP: string) {
    this.#options = options;
    this.#podIP = podIP;
  }

  start(pod: V1Pod): Promise<void> {
    this.#pod = pod;
    return Promise.resolve();
  }

  async resume(pod: V1Pod, signal: AbortSignal): Promise<Found> {
    this.#pod = pod;
    await this.#serve(signal);
    return 'running';
  }

  async ready(_onFailedProbe: unknown, signal: AbortSignal): Promise<boolean> {
    await this.#serve(signal);
    return true;
  }

  end(signal: AbortSignal): Promise<Exit> {
    return raceAbort(new Promise<never>(() => undefined), signal);
  }

  async stop(graceMs: number, signal: AbortSignal): Promise<Exit> {
    await this.kill();
    await pause(Math.min(this.#options.stopMs, graceMs), signal);
    return { exitCode: 137 };
  }

  async kill(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  async #serve(signal: AbortSignal): Promise<void> {
    const { client, serve } = this.#options;
    if (serve) this.#server = await PodServer.start(client, this.#pod, this.#podIP, signal);
  }
}
